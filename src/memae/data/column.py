"""One column of numbers, categories or hours, with its statistics in training."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "category", "hour"]

MAX_CATEGORIES = 100


@dataclass(frozen=True)
class Column:
    """One column that is encoded, with its statistics in training.

    A number column gives one feature and, if values were missing in training, a second one that is 1 for a missing
    value. A category column is one-hot encoded: one feature for each known value and a last one for all others. An hour
    of the day gives cosine and sine of its angle on a clock of 24 hours, so that 23:59 lies beside 0:00 and a linear
    regression follows a daily cycle, and the same flag as a number.
    """

    name: str
    kind: Kind
    mean: float = 0.0
    spread: float = 0.0  # standard deviation; of hours, of cosine and sine together
    least: float = 0.0
    most: float = 0.0
    missing: int = 0  # values missing in training
    categories: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()  # of training rows: with each category and any other, or with a missing number
    rare: int = 0  # number of values in training beyond the `MAX_CATEGORIES` most frequent
    circle: tuple[float, ...] = ()  # of hours: mean cosine and mean sine

    @property
    def width(self) -> int:
        """Number of features."""
        if self.kind == "category":
            return len(self.categories) + 1
        return 1 + (self.kind == "hour") + (self.missing > 0)

    @property
    def constant(self) -> bool:
        """Whether the column had a single value in training."""
        return len(self.categories) <= 1 if self.kind == "category" else self.least == self.most and not self.missing

    def features(self) -> list[str]:
        """Names of the features."""
        if self.kind == "category":
            return [*(f"{self.name}={value}" for value in self.categories), f"{self.name}=other"]
        names = [f"{self.name} cosine", f"{self.name} sine"] if self.kind == "hour" else [self.name]
        return [*names, f"{self.name} missing"][: self.width]
