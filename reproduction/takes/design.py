"""The design: which settings are tried, and in which order.

1. **Screening**: a two-level fractional factorial, 16 rows for up to 15 factors (resolution III), and then its mirror
   image, in which every level is the other one. Both together, 32 rows, are of resolution IV: the main effect of a
   factor is not mixed up with the joint effect of any two others. Few problems.
2. **Steps**: from the best row, one factor at a time to its levels that were not screened. The same problems.
3. **Finals**: the three best settings of both on all problems, three seeds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from reproduction.takes.settings import Setting

COLUMNS = 15
ROWS = 16


class Level(NamedTuple):
    """One choice for a factor."""

    title: str
    changes: dict[str, Any]  # fields of `Setting`

    def of(self, setting: Setting) -> Setting:
        """A setting with this choice."""
        return replace(setting, **self.changes)

    def holds(self, setting: Setting) -> bool:
        """Whether a setting has this choice."""
        return all(getattr(setting, name) == value for name, value in self.changes.items())


@dataclass(frozen=True)
class Factor:
    """Something that the paper does not disclose.

    Args:
        title: names it on the page.
        low: the one level of the screening.
        high: the other.
        more: further levels, tried in steps.
    """

    title: str
    low: Level
    high: Level
    more: tuple[Level, ...] = ()

    @property
    def levels(self) -> tuple[Level, ...]:
        """All of them."""
        return (self.low, self.high, *self.more)


@dataclass(frozen=True)
class Study:
    """What is tried on a set.

    Args:
        title: names it on the page.
        metric: name of the figure.
        factors: up to 15, in the order of the page.
        parts: problems of screening and steps: few classes, chosen beforehand.
        all_parts: problems of the finals.
        base: what no factor changes.
        published: the paper's figures by variant.
        part_titles: names of the problems.
        unscreened: further factors, tried in steps alone.
    """

    title: str
    metric: str
    factors: tuple[Factor, ...]
    parts: tuple[int, ...]
    all_parts: tuple[int, ...]
    base: Setting
    published: Mapping[str, float]
    part_titles: Mapping[int, str] = field(default_factory=dict)
    unscreened: tuple[Factor, ...] = ()

    def screening(self) -> list[Setting]:
        """The 16 rows, and then their mirror image."""
        return [self._row(levels) for mirrored in (False, True) for levels in array(len(self.factors), mirrored)]

    def _row(self, levels: tuple[bool, ...]) -> Setting:
        setting = self.base
        for factor, high in zip(self.factors, levels, strict=True):
            setting = (factor.high if high else factor.low).of(setting)
        return setting

    def steps(self, best: Setting) -> Iterator[Setting]:
        """The settings one step from another that the screening did not have."""
        screened = self.screening()
        for factor in (*self.factors, *self.unscreened):
            for level in factor.levels:
                step = level.of(best)
                if step != best and step not in screened:
                    yield step


def array(factors: int, mirrored: bool = False) -> list[tuple[bool, ...]]:
    """Rows of levels, high or not, in which any two factors have each pair of levels equally often.

    Column c of row r is the parity of the bits that r and c + 1 share (a Hadamard matrix).

    Raises:
        ValueError: more than 15 factors.
    """
    if factors > COLUMNS:
        raise ValueError(f"the design has room for {COLUMNS} factors; got {factors}")
    return [
        tuple(bool((row & column).bit_count() % 2) != mirrored for column in range(1, factors + 1))
        for row in range(ROWS)
    ]
