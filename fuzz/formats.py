"""A fuzzed format: valid files, mutations of them, and a target that must accept or refuse every file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from memae.errors import MemaeError, ResourceError

Surface = Callable[[], object]


@dataclass(frozen=True)
class Format:
    """Files of one kind.

    Args:
        name: name on the command line and in the record.
        seeds: gives valid files, the same in every process.
        spoiled: gives a random mutation of these.
        target: reads a file as the command line does, and returns the number of surfaces that accepted it. A
            `MemaeError` is a refusal; any other exception is a bug.
        bombs: gives files that ask for much memory or time; called when the first one is needed.
        rare: on average, one input in `rare` is a bomb.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    spoiled: Callable[[Sequence[bytes], Random], bytes]
    target: Callable[[bytes], int]
    bombs: Callable[[], Sequence[bytes]] = tuple
    rare: int = 400

    def input(self, seed: int, number: int) -> bytes:
        """Input `number` of a campaign; deterministic."""
        random = Random(f"{self.name} {seed} {number}")  # noqa: S311 (no secret)
        bomb = random.randrange(self.rare) == 0 and self.bombs()
        return random.choice(bomb) if bomb else self.spoiled(self.seeds(), random)


def taken(*surfaces: Surface) -> int:
    """The number of surfaces that accept their input; a `MemaeError` is a refusal, except a `ResourceError`."""
    count = 0
    for surface in surfaces:
        try:
            surface()
        except ResourceError:
            raise
        except MemaeError:
            continue
        count += 1
    return count
