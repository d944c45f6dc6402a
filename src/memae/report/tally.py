"""Statistics of any number of scores in constant memory: a histogram, a sample, the highest, a thinned curve."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from memae.scoring.calibration import Calibration

Floats = NDArray[np.float64]

FINE, REACH = 0.01, 8000
"""Width of a bin, and number of bins on each side of the threshold: asinh of any realistic score is below 80."""
SAMPLE = 2**17
"""Maximum number of scores kept to compare their distribution with that of the calibration."""
POINTS = 600
"""A curve has at most twice this number of points; charts are some hundred pixels wide."""


class Bins:
    """A histogram of scores on an asinh scale: bins widen with their distance from the threshold.

    The threshold is the edge between two bins, so that flagged scores are counted exactly.

    Args:
        calibration: its threshold is the middle, and the distance from the median to the threshold the unit.
    """

    def __init__(self, calibration: Calibration) -> None:
        scores = calibration.scores.numpy()
        self.middle = min(calibration.threshold(), float(scores[-1]))
        self.unit = self.middle - float(np.median(scores)) or abs(self.middle) or 1.0
        self.counts = np.zeros(2 * REACH, dtype=np.int64)

    def add(self, scores: Floats) -> None:
        """Counts scores `(n,)`."""
        index = np.ceil(np.arcsinh((scores - self.middle) / self.unit) / FINE).astype(np.int64) - 1
        np.add.at(self.counts, np.clip(index + REACH, 0, 2 * REACH - 1), 1)

    @property
    def centres(self) -> Floats:
        """The score at the centre of each bin, `(2 * REACH,)`."""
        centres: Floats = self.middle + self.unit * np.sinh((np.arange(-REACH, REACH) + 0.5) * FINE)
        return centres


class Tally:
    """Statistics of all scores of a source.

    Args:
        calibration: held-out scores and threshold.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self.bins = Bins(calibration)
        self.count = self.flagged = 0
        self.low, self.high = np.inf, -np.inf
        self._drawn = np.random.default_rng(0)
        self._share = 1.0
        self._sample: list[Floats] = []
        self._kept = 0

    def add(self, scores: Floats) -> None:
        """Takes the next scores `(n,)`, in order."""
        if not len(scores):
            return
        self.count += len(scores)
        self.flagged += int(self._calibration.judge(torch.from_numpy(scores)).is_anomaly.sum())
        self.low, self.high = min(self.low, float(scores.min())), max(self.high, float(scores.max()))
        self.bins.add(scores)
        self._keep(scores[self._drawn.random(len(scores)) < self._share])

    def _keep(self, scores: Floats) -> None:
        self._sample.append(scores)
        self._kept += len(scores)
        while self._kept > SAMPLE:
            kept = self.sample
            self._sample = [kept[self._drawn.random(len(kept)) < 0.5]]
            self._kept = len(self._sample[0])
            self._share /= 2

    @property
    def sample(self) -> Floats:
        """All scores, or a random subset of them, in order."""
        return np.concatenate([*self._sample, np.zeros(0)])


class Top:
    """The highest scores, each with its first sample and the number of samples that have it.

    Samples with exactly the same score are nearly always duplicates, such as repeated rows of a table.

    Args:
        size: maximum number of scores kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._found: dict[float, tuple[int, int]] = {}

    def add(self, scores: Floats, start: int) -> None:
        """Takes the scores `(n,)` of the samples with the indices `start`, `start` + 1, ..."""
        values, first, counts = np.unique(scores, return_index=True, return_counts=True)
        for value, index, count in zip(
            *(each[-self._size :].tolist() for each in (values, first, counts)), strict=True
        ):
            earliest, before = self._found.get(value, (start + index, 0))
            self._found[value] = earliest, before + count
        highest = sorted(self._found, reverse=True)[: self._size]
        self._found = {value: self._found[value] for value in highest}

    @property
    def places(self) -> dict[int, int]:
        """Index of the first sample of each score, and the number of samples with that score; the highest first."""
        return dict(self._found.values())


class Common:
    """Which columns of a table make its flagged rows unusual.

    Args:
        names: names of all columns of the table.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.rows, columns = 0, len(names)
        self.main = np.zeros(columns, dtype=np.int64)  # number of rows in which the column adds most
        self.example = np.full(columns, -1)  # the one of these rows with the highest score
        self._shares = np.zeros(columns)
        self._highest = np.full(columns, -np.inf)

    def add(self, parts: Floats, scores: Floats, places: NDArray[np.int64]) -> None:
        """Takes flagged rows.

        Args:
            parts: what each column adds to the score `(n, columns)`.
            scores: scores of the rows `(n,)`.
            places: indices of the rows in the table `(n,)`.
        """
        total = parts.sum(1, keepdims=True)
        self._shares += (parts / np.where(total > 0, total, 1.0)).sum(0)
        self.rows += len(parts)
        for column, score, row in zip(parts.argmax(1), scores, places, strict=True):
            self.main[column] += 1
            if score > self._highest[column]:
                self._highest[column], self.example[column] = score, row

    @property
    def shares(self) -> Floats:
        """The average share of each column in the scores, `(columns,)`."""
        return self._shares / max(self.rows, 1)


class Curve:
    """A thinned curve of scores: the maximum over every `step` frames of a video, and whether an alarm covers them."""

    def __init__(self) -> None:
        self.step = 1  # frames per point
        self.frames = 0
        self.scores: list[float] = []
        self.marked: list[bool] = []

    def add(self, score: float) -> None:
        """Takes the score of the next frame."""
        if self.frames % self.step:
            self.scores[-1] = max(self.scores[-1], score)
        else:
            if len(self.scores) == 2 * POINTS:
                self.scores = [max(pair) for pair in zip(self.scores[::2], self.scores[1::2], strict=True)]
                self.marked = [any(pair) for pair in zip(self.marked[::2], self.marked[1::2], strict=True)]
                self.step *= 2
            self.scores.append(score)
            self.marked.append(False)
        self.frames += 1

    def mark(self, first: int, last: int) -> None:
        """Marks the frames `first` to `last` (inclusive) as an alarm."""
        for point in range(first // self.step, last // self.step + 1):
            self.marked[point] = True
