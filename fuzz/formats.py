"""What is fuzzed: a format has valid files, ways to spoil them, and a target that must take or refuse them."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from memae.errors import MemaeError

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
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    spoiled: Callable[[Sequence[bytes], Random], bytes]
    target: Callable[[bytes], int]

    def input(self, seed: int, number: int) -> bytes:
        """Input `number` of a campaign, which is the same whenever it is asked for."""
        return self.spoiled(self.seeds(), Random(f"{self.name} {seed} {number}"))  # noqa: S311 (no secret)


def taken(*surfaces: Surface) -> int:
    """How many of these take what they are given; a `MemaeError` is a refusal."""
    count = 0
    for surface in surfaces:
        with suppress(MemaeError):
            surface()
            count += 1
    return count
