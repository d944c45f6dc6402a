"""What people ask of a detector after its score: how sure, why, and whether that still holds."""

import warnings
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from memae.data.decoding import by_column, decoded
from memae.data.tables import TableEncoder
from memae.errors import MemaeWarning, OptionError
from memae.estimators.following import Seen
from memae.evidence import Cell, Contribution, Evidence, Examples, Explainer, Item, plain
from memae.scoring import Floats, Scorer
from memae.scoring.calibration import Calibration, checked_rate, checked_scores, discoveries
from memae.scoring.drift import Drift, drift


class Accountable:
    """What every detector answers besides the score; to be inherited beside scikit-learn's classes."""

    scorer_: Scorer
    examples_: Examples | None = None
    false_alarm_rate: float
    correlated: ClassVar[bool] = False  # whether samples that follow each other are alike

    @abstractmethod
    def anomaly_score(self, X: Any) -> Floats:
        """Anomaly score of each sample `(n,)`, higher = more anomalous."""

    @abstractmethod
    def _explained(self, X: Any, explainer: Explainer, only: Collection[int] | None) -> Iterator[Evidence]:
        """See `explain`."""

    def explain(self, X: Any, *, items: int = 5, only: Collection[int] | None = None) -> Iterator[Evidence]:
        """Why each sample has its score: one `Evidence` after the other, in constant memory.

        Args:
            X: samples, as in `anomaly_score`.
            items: memory items to tell of each, at most; the heaviest first.
            only: positions of the samples (for video of the frames, all videos counted through) to explain; None for
                all.

        Raises:
            OptionError: `items` is negative.

        Example:
            >>> from memae import TabularMemAE
            >>> detector = TabularMemAE(epochs=4).fit(np.random.default_rng(0).normal(size=(200, 2)))
            >>> [evidence] = detector.explain([[0.0, 9.0]])
            >>> evidence.name, evidence.is_anomaly, evidence.contributions[0].column
            ('row 0', True, 'x1')
        """
        check_is_fitted(self, "scorer_")
        if items < 0:
            raise OptionError(f"items must be 0 or more; got {items}")
        return self._explained(X, Explainer(self.scorer_, self.examples_, items), only)

    def p_value(self, X: Any) -> Floats:
        """Conformal p-value of each sample `(n,)`: small = unlike the held-out normal samples."""
        return self.calibration_.p_value(torch.from_numpy(self.anomaly_score(X))).numpy()

    def discoveries(self, X: Any, rate: float) -> NDArray[np.bool_]:
        """Which samples of a batch are anomalies `(n,)`, so that a share of `rate` of those named is normal on average.

        Where `predict` flags a share of all normal samples, however many anomalies there are, this looks at the whole
        batch; see `memae.calibration.discoveries`.

        Args:
            X: the batch, as in `anomaly_score`.
            rate: the false-discovery rate, in (0, 1).
        """
        return discoveries(torch.from_numpy(self.p_value(X)), rate).numpy()

    def drift(self, X: Any) -> Drift:
        """Whether the scores of samples, most of which should be normal, are still like those of the calibration.

        Args:
            X: samples of today, as in `anomaly_score`.
        """
        return self.drifted(self.anomaly_score(X))

    def drifted(self, scores: Floats) -> Drift:
        """`drift` of anomaly scores that are known already, in the order of their samples."""
        return drift(self.calibration_, torch.from_numpy(scores), correlated=self.correlated)

    def recalibrate(self, scores: Floats | None = None, *, false_alarm_rate: float | None = None) -> Self:
        """Sets a new false-alarm rate, or new scores of normal samples to keep it on, or both; nothing is refitted.

        Args:
            scores: `anomaly_score` of normal samples that the model was not trained on; None keeps those known.
            false_alarm_rate: share of normal samples that may be flagged; None keeps the one in use.

        Raises:
            InputError: these are no scores.
            OptionError: the rate lies outside (0, 1).
        """
        check_is_fitted(self, "scorer_")
        known = self.scorer_.calibration
        rate = known.false_alarm_rate if known and false_alarm_rate is None else false_alarm_rate
        rate = checked_rate(self.false_alarm_rate if rate is None else rate)
        held_out = checked_scores(scores) if scores is not None or known is None else known.scores
        calibration = Calibration(held_out, rate)
        if not calibration.can_keep():
            least = calibration.smallest_rate()
            warnings.warn(
                f"{len(calibration.scores)} held-out samples can promise a false-alarm rate of {least:.3g} at best, "
                f"not {rate:g}; it is set to {least:.3g}. Give more data or a larger held_out",
                MemaeWarning,
                stacklevel=2,
            )
            calibration = Calibration(held_out, least)
        self.scorer_ = self.scorer_.replaced(calibration=calibration.to(self.scorer_.device))
        return self

    @property
    def calibration_(self) -> Calibration:
        """Scores of held-out normal samples, and the false-alarm rate to keep."""
        check_is_fitted(self, "scorer_")
        assert self.scorer_.calibration is not None  # noqa: S101 (fitted means calibrated)
        return self.scorer_.calibration

    @property
    def threshold_(self) -> float:
        """The anomaly score above which a sample is flagged."""
        return self.calibration_.threshold()

    @property
    def offset_(self) -> float:
        """Minus the threshold, for scikit-learn."""
        return -self.threshold_


# ------------------------------------------------------------------------------------------------ one a kind of data


def explained_rows(
    explainer: Explainer, encoder: TableEncoder, tables: Iterable[pd.DataFrame], only: Collection[int] | None
) -> Iterator[Evidence]:
    """Evidence of rows that come as tables, whose columns the encoder knows."""
    start = 0
    for table in tables:
        places = [place for place in range(len(table)) if only is None or start + place in only]
        for first in range(0, len(places), explainer.scorer.chunk):
            part = places[first : first + explainer.scorer.chunk]
            rows = table.iloc[part]
            found = explainer.batch(encoder.encode(rows), [f"row {start + place}" for place in part])
            yield from _of_columns(encoder, rows, found)
        start += len(table)


def _of_columns(encoder: TableEncoder, rows: pd.DataFrame, found: list[Evidence]) -> Iterator[Evidence]:
    """The evidence of rows, told in the user's columns."""
    given = rows.astype(object).where(rows.notna(), None).to_numpy()
    expected = decoded(encoder, torch.stack([each.reconstruction for each in found])).to_numpy()
    adds = by_column(encoder, torch.stack([each.error_map for each in found]).numpy())
    known = {item.number: item.decoded for each in found for item in each.items if item.decoded is not None}
    cells: dict[int, tuple[Cell, ...]] = {}
    if known:
        table = decoded(encoder, torch.stack(list(known.values())))
        told = (tuple(map(Cell, table.columns, row)) for row in table.to_numpy())
        cells = dict(zip(known, told, strict=True))
    for place, each in enumerate(found):
        yield replace(
            each,
            error_map=torch.from_numpy(adds[place]),
            items=tuple(replace(item, row=cells[item.number]) for item in each.items),
            contributions=_contributions(encoder, given[place], expected[place], adds[place]),
        )


def _contributions(
    encoder: TableEncoder, given: NDArray[np.object_], expected: NDArray[np.object_], adds: NDArray[np.float64]
) -> tuple[Contribution, ...]:
    total = float(adds.sum())
    shares = adds / (total or 1.0)
    return tuple(
        Contribution(encoder.columns[place].name, plain(given[place]), plain(expected[place]), float(shares[place]))
        for place in np.argsort(-adds, kind="stable")
    )


def explained_images(explainer: Explainer, batches: Iterator[Tensor], names: Iterator[str]) -> Iterator[Evidence]:
    """Evidence of images `(b, c, h, w)`, raw."""
    for batch in batches:
        for part in torch.split(batch, explainer.scorer.chunk):
            yield from explainer.batch(part, list(islice(names, len(part))))


def explained_frames(
    explainer: Explainer, videos: Iterable[Iterator[tuple[Seen, float]]], prefix: str, only: Collection[int] | None
) -> Iterator[Evidence]:
    """Evidence of the frames of videos, each with its smoothed score.

    Args:
        explainer: makes it.
        videos: frames as their scores come.
        prefix: of the names of videos.
        only: see `Accountable.explain`.
    """
    number = -1
    for frames in videos:
        clip: Tensor | None = None
        items: tuple[Item, ...] = ()
        for seen, score in frames:
            number += 1
            if only is not None and number not in only:
                continue
            if seen.clip.pixels is not clip:  # several frames may have one clip
                clip = seen.clip.pixels
                (items,) = explainer.addressed(clip[None])
            yield explainer.frame(
                f"{prefix}{seen.frame.video} frame {seen.frame.frame}",
                score,
                pixels=seen.pixels.clone(),
                place=seen.place,
                clip=seen.clip.pixels,
                x_hat=seen.clip.x_hat,
                error_map=seen.frame.error_map.clone(),
                items=items,
            )
