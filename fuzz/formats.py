"""What is fuzzed: a format has valid files, ways to spoil them, and a target that must take or refuse them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from memae.errors import MemaeError, ResourceError

Surface = Callable[[], object]


@dataclass(frozen=True)
class Format:
    """Files of one kind.

    Args:
        name: for the command line and the record.
        seeds: valid files, the same in every process.
        spoiled: a file made of these, by what a random generator draws.
        target: reads a file as the command line does; gives how many of its surfaces took it. A refusal is an error of
            memae's and counts as not taken; whatever else it raises is a bug.
        bombs: small or large files that ask for much memory or time, made when the first is asked for.
        rare: one input in so many is a bomb.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    spoiled: Callable[[Sequence[bytes], Random], bytes]
    target: Callable[[bytes], int]
    bombs: Callable[[], Sequence[bytes]] = tuple
    rare: int = 400

    def input(self, seed: int, number: int) -> bytes:
        """Input `number` of a campaign, which is the same whenever it is asked for."""
        random = Random(f"{self.name} {seed} {number}")  # noqa: S311 (no secret)
        bomb = random.randrange(self.rare) == 0 and self.bombs()
        return random.choice(bomb) if bomb else self.spoiled(self.seeds(), random)


def taken(*surfaces: Surface) -> int:
    """How many of these take what they are given; a `MemaeError` is a refusal, unless memory ran out."""
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
