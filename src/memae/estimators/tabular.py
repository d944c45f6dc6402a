"""The detector for tables."""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from memae import parameters
from memae.data.dataframes import as_pandas
from memae.data.dialects import Dialect, Reading
from memae.data.meanings import surveyed
from memae.data.samples import Samples, Streamed
from memae.data.table_files import table_chunks
from memae.data.tables import LIMIT, without
from memae.data.windows import Windows
from memae.errors import InputError, MemaeWarning, OptionError, memory_guard
from memae.estimators.arrays import checked
from memae.estimators.base import Estimator, Plan, Prepared, Tell, check_kept_samples
from memae.estimators.devices import check_alone, pick_device
from memae.estimators.examples import rows_as_examples
from memae.estimators.keeping import OUTLYING, UNUSED, central, keep, rescaled, rows_to_read
from memae.estimators.naming import with_parameters
from memae.estimators.restoring import check_types, restored_columns, restored_dialect, restored_worth
from memae.estimators.splitting import ReadTable, cleaned, in_memory, random_rows, row_name, sampled, streamed
from memae.estimators.updating import grown, updated
from memae.estimators.windowing import in_windows
from memae.kept import KeptMemory
from memae.kinds import Tables
from memae.kinds.windows import WindowedTables
from memae.modelfile import artifact
from memae.modelfile.artifact import Artifact
from memae.networks.tabular import WIDE, default_widths
from memae.options import Epoch, Options, Step
from memae.parameters import former_names, renamed
from memae.pretext.columns import ColumnSpec
from memae.scoring import Scaling, Scorer
from memae.scoring.calibration import checked_rate
from memae.scoring.distances import RowDistance
from memae.scoring.fitting import expected_error
from memae.scoring.measures import Error, Measure, NormalizedError
from memae.spec import Spec

IN_MEMORY = 2**29
"""Bytes of features up to which a file is held in memory; a larger one streams."""
KEPT_ROWS = 10_000
"""Maximum of kept training rows by default: more slow down scoring and hardly change the scores."""


@with_parameters
@dataclass(eq=False, repr=False)
class TabularMemAE(parameters.Tabular, Estimator):
    """Detects anomalous rows of tables with numbers, categories and missing values.

    X is a DataFrame (of pandas, polars, Arrow and others), an array `(n, d)`, or a path: CSV, JSON lines, Parquet,
    Feather, Excel, or a folder of them; large files stream. Columns of text are categories; times are taken as hour,
    weekday and seconds since the row before. Identifiers, free text and row numbers are left out with a warning, unless
    `keep_columns` names them. Missing values are allowed in any column.

    By default nothing is trained: up to 10,000 distinct training rows are kept, and are the memory. A row is anomalous
    if it lies far from the nearest kept rows, or if its columns cannot be restored from these rows, or from each other.
    The model file contains the kept rows.

    With `n_items`, a network with a learned memory is trained instead; only then do the parameters from `widths` on
    have an effect. `paper` gives the paper's settings, whose score is the reconstruction error alone.

    Args: see `memae.parameters.Tabular`.

    Attributes:
        windows_: the `Windows` of rows; None if rows are scored one by one.
        roles_: the `Roles` of the columns: left out, taken as they are, or as times.
        encoder_: the `TableEncoder` of columns to features; with `window`, of the numbers that stand for a window.
        scorer_: the fitted `Scorer`.
        history_: an `Epoch` for each pass; one for all rows if nothing is trained.
        health_: state of the memory in the chosen epoch.
        threshold_: anomaly score above which a row is flagged; `offset_` is its negative.
        dialect_: how the training file is written, which decides where a file to score does not tell.

    References:
        Gong et al., ICCV 2019, section 4.3.

    Example:
        >>> from sklearn.datasets import load_breast_cancer
        >>> X, benign = load_breast_cancer(return_X_y=True, as_frame=True)
        >>> detector = TabularMemAE().fit(X[benign == 1][:300])
        >>> bool(detector.anomaly_score(X[benign == 0]).mean() > detector.anomaly_score(X[benign == 1]).mean())
        True
    """

    kind = "table"
    # The rounding of a matrix product depends on the row's index in the batch. If the error is small compared to the
    # values, float32 would show this in the score (2e-5 on KDDCUP). Convolutions do not have the problem.
    precision = torch.float64

    @classmethod
    def paper(cls, **more: Any) -> Self:
        """A detector with the paper's settings, as far as they are published and work (see docs/method.md).

        Args:
            more: other parameters, which override those of the paper.

        Example:
            >>> TabularMemAE.paper().n_items
            50
        """
        return cls(**(cls.PAPER | renamed(former_names(cls), more)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def fit_steps(
        self,
        X: Any,
        *,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        every: float = 10.0,
        tell: Tell | None = None,
    ) -> Iterator[Step | Epoch]:
        """`fit` as a generator, see `Estimator.fit_steps`. Kept rows are one step, which nothing needs to interrupt."""
        check_alone()
        if self.trains:
            yield from super().fit_steps(X, checkpoint=checkpoint, resume=resume, every=every, tell=tell)
        else:
            yield self._keep(X)

    def read_as(self, dialect: Dialect, *, strict: bool = False) -> Self:
        """Reads files as `dialect` says from now on, and detects only what it leaves open; it is not saved.

        Args:
            dialect: separator, encoding and so on, as far as they are known.
            strict: whether columns that training never had, and another order, are errors when files are scored.
        """
        self.given_dialect, self.given_strict = dialect, strict
        return self

    given_dialect, given_strict = Dialect(), False

    @property
    def trains(self) -> bool:
        """Whether `fit` trains a network; otherwise kept rows are the memory, and nothing is trained."""
        return self.n_items is not None or self.kept_samples == 0

    def _keep(self, X: Any) -> Epoch:
        """Fits the detector by keeping rows; see `keeping`."""
        began = time.perf_counter()
        check_types(self)
        checked_rate(self.false_alarm_rate)
        self._warn_of_unused(parameters.OF_LEARNING, UNUSED)
        if self.window is None:
            self._warn_of_unused(("step", "group"), "without window, rows are scored one by one. Give window")
        read = self._read(X)
        if read.rows < 2:
            raise InputError(f"1 row given (n_samples={read.rows}); at least 2 are needed, and 100 make sense")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        most = KEPT_ROWS if self.kept_samples is None else self.kept_samples
        rows, index, checksum = random_rows(
            read.blocks, read.rows, self.encoder_.width, rows_to_read(self.encoder_.width, most), seed
        )
        scaling = self._scaling()
        fields = tuple(column.width for column in self.encoder_.columns)
        device = pick_device(self.device)
        device = torch.device("cpu") if device.type == "mps" else device  # which has no float64
        rows = rows.to(device)
        scaling.to(device)
        if self.scaling == "standard":
            scaling = rescaled(scaling, rows[central(scaling(rows), OUTLYING)])
        x = scaling(rows)
        random = torch.Generator().manual_seed(seed)
        with memory_guard("give fewer rows or columns, or lower kept_samples"):
            typical = central(x, self.contamination)
            parts = None if read.parts is None else read.parts.at(index)
            kept = keep(x, fields, scaling, most=most, random=random, typical=typical, parts=parts)
        seconds = time.perf_counter() - began
        epoch = Epoch(1, kept.error, kept.error, kept.entropy, kept.error, kept.health, seconds)
        self._settle(kept.scorer, kept.spec, [epoch], epoch, checksum, artifact.versions())
        self.learned_ = read.rows
        self.examples_ = rows_as_examples([*map(read.name, index[kept.which].tolist())])
        self.recalibrate(kept.scores[index[kept.measured].argsort()].numpy())  # in the order of time
        return epoch

    def _scaling(self) -> Scaling:
        center, scale = self.encoder_.center_and_scale(self.scaling)
        return Scaling(center, scale, LIMIT if self.scaling == "standard" else math.inf)

    def _read(self, X: Any) -> ReadTable:
        """Reads a table: fits the encoder, and leaves out rows that may be anomalous."""
        if not isinstance(self.contamination, int | float) or not 0 <= self.contamination < 0.5:
            raise OptionError(f"contamination must be a share, 0 or more and below 0.5; got {self.contamination!r}")
        check_kept_samples(self.kept_samples)
        given = self._given(X)
        self.windows_: Windows | None = None
        if self.window is not None:
            self.windows_, self.roles_, self.encoder_, windows = in_windows(given(), self)
            if isinstance(X, str | Path) or hasattr(self, "feature_names_in_"):
                self._name_features()
            return windows
        self.roles_, self.encoder_, rows, remarks = surveyed(given(), self.keep_columns)
        for remark in remarks:
            warnings.warn(remark, MemaeWarning, stacklevel=6)
        if isinstance(X, str | Path) or hasattr(self, "feature_names_in_"):
            self._name_features()
        streams = isinstance(X, str | Path) and rows * self.encoder_.width * 8 > IN_MEMORY

        def chunks() -> Iterator[pd.DataFrame]:
            return map(self.roles_.reader(), (self.roles_.of_training(chunk)[0] for chunk in given()))

        origin: Tensor | None = None
        if self.contamination and streams:
            raise OptionError(
                f"contamination needs all rows in memory, and {X} is too large; leave it at 0, or give fewer rows"
            )
        if self.contamination:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            clean, origin, self.encoder_ = cleaned(pd.concat(chunks()), self.encoder_, self.contamination, seed)
            rows = len(clean)

            def chunks() -> Iterator[pd.DataFrame]:
                return iter([clean])

        def blocks() -> Iterator[Tensor]:
            return map(self.encoder_.encode, chunks())

        return ReadTable(blocks, rows, streams, origin)

    def _given(self, X: Any) -> Callable[[], Iterator[pd.DataFrame]]:
        """A function that reads a table to be learned, without the columns that the user leaves out."""
        both = [name for name in self.keep_columns if name in self.ignore]
        if both:
            raise OptionError(f"keep_columns and ignore both name {both[0]!r}; take it out of one of them")
        if isinstance(X, str | Path):
            table = table_chunks(Path(X), reading=Reading(self.given_dialect))
            self.dialect_ = table.dialect
            return lambda: (without(chunk, self.ignore, strict=True) for chunk in table())
        frame, self.dialect_ = checked(self, X, reset=True), Dialect()
        return lambda: iter([frame])

    def _name_features(self) -> None:
        """The columns that are read become scikit-learn's features."""
        self.n_features_in_ = len(self.roles_.names)
        self.feature_names_in_ = np.array(self.roles_.names, dtype=object)

    def _prepare(self, X: Any) -> Prepared:
        read, width = self._read(X), self.encoder_.width
        center, scale = self.encoder_.center_and_scale(self.scaling)
        if read.streams:
            split = streamed(read.blocks, read.rows, width, self._held_out_count, self.random_state)
        else:
            split = in_memory(read.blocks, read.rows, width, self._split)
        return Prepared((width,), center, scale, *split, partial(row_name, split[0], read.origin))

    @property
    def kind_(self) -> Tables:
        """Reads, scores and explains rows in the format of the training data."""
        check_is_fitted(self, "scorer_")
        known = (
            self.encoder_,
            self.roles_,
            self.ignore,
            (),
            self.given_strict,
            Reading(self.given_dialect, self.dialect_),
        )
        return Tables(*known) if self.windows_ is None else WindowedTables(*known, windows=self.windows_)

    @property
    def correlated(self) -> bool:  # type: ignore[override]  # a class variable of other detectors
        """Whether consecutive samples are correlated, as windows are."""
        return self.window is not None

    def _reading(self, X: Any) -> tuple[Tables, Any]:
        kind = self.kind_
        if isinstance(X, str | Path):
            return kind, X
        frame = checked(self, X, reset=False)
        if self.windows_ is not None and isinstance(as_pandas(X), pd.DataFrame):
            return kind, as_pandas(X)  # with the columns of groups and times
        return replace(kind, ignored=()), frame

    def encode(self, X: Any) -> Tensor:
        """Rows of a DataFrame or array → features `(n, width)`, float64, the scorer's input."""
        check_is_fitted(self, "scorer_")
        return torch.cat(list(self._raw(X)))

    def _warn_of_collapse(self) -> None:
        if not self.encoder_.constant:  # of which `_read` has warned
            super()._warn_of_collapse()

    def _plan(self, prepared: Prepared) -> Plan:
        samples, (width,) = len(prepared.training), prepared.shape
        items = min(max(samples // 2, 10), 200) if self.n_items is None else int(self.n_items)
        columns = ColumnSpec(tuple(column.width for column in self.encoder_.columns)) if self.masked_columns else None
        spec = Spec((width,), self._widths(width), memory=self._memory(items), pretext=columns)
        options = self._options(batch_size=self._batch_size(samples), warmup=3)
        return Plan(spec, options, self._scaling(), partial(self._measures, prepared.training, options))

    def _widths(self, features: int) -> tuple[int, ...]:
        if self.widths is None:
            return WIDE
        return default_widths(features) if self.widths == "paper" else tuple(self.widths)

    def _batch_size(self, samples: int) -> int:
        if self.batch_size is None:
            return max(min(samples // 10, 256), min(samples // 200, 1024), 16)
        return int(self.batch_size)

    def _measures(self, training: Samples, options: Options, scorer: Scorer, held_out: Samples) -> list[Measure]:
        error = NormalizedError(expected_error(scorer, held_out)) if self.masked_columns else Error(options.reduction)
        wanted = KEPT_ROWS if self.kept_samples is None else self.kept_samples
        if not wanted:
            return [error]
        if isinstance(training, Streamed):
            training = sampled(training, 2 * wanted, options.seed)
        order = torch.Generator().manual_seed(options.seed)
        first = next(training.batches(wanted, order))[:wanted]  # distinct rows in either case
        return [error, RowDistance(scorer.normalise(first.to(scorer.device)))]

    def update(self, X: Any, *, epochs: int = 3) -> Self:
        """A copy of this detector that knows more normal rows; this detector stays unchanged, so keep it to go back.

        Kept rows are chosen anew from the old and the new ones, without training. A learned memory is trained for a few
        epochs on both, so that old rows are not forgotten. Columns, scales and categories stay those of `fit`. The new
        rows set the threshold: give rows that represent current data and contain no anomalies, since `contamination`
        applies to `fit` only. All new rows are held in memory.

        Args:
            X: normal rows, as in `fit`.
            epochs: passes over new and kept rows, for a learned memory.

        Raises:
            InputError, SchemaError: see `fit`; the columns must be the same.
            OptionError: the model keeps no rows (`kept_samples=0`).

        Example:
            >>> old = TabularMemAE().fit(np.random.default_rng(0).normal(size=(200, 3)))
            >>> new = old.update(np.random.default_rng(1).normal(3, 1, size=(200, 3)))
            >>> bool(new.anomaly_score([[3.0, 3.0, 3.0]])[0] < old.anomaly_score([[3.0, 3.0, 3.0]])[0])
            True
        """
        check_is_fitted(self, "scorer_")
        if self.windows_ is not None:
            raise OptionError("a detector of windows cannot be updated; fit it anew on the old and the new rows")
        rows = torch.cat(list(self._raw(X)))
        most = KEPT_ROWS if self.kept_samples is None else self.kept_samples
        if isinstance(self.scorer_.model.memory, KeptMemory):
            return grown(self, rows, most)
        return updated(self, rows, epochs, most)

    def contributions(self, X: Any) -> pd.DataFrame:
        """What each column of the user's table adds to the anomaly score of each row.

        A column adds its reconstruction error and its share of the distance to the nearest kept rows.

        Args:
            X: rows, as in `anomaly_score`.

        Returns:
            a table `(n, columns)` whose rows sum up to the scores. Without kept rows and masked columns, and with a
            `reduction` that is a mean, they sum up to the score times the number of features.
        """
        X = as_pandas(X)
        given, rows = self._reading(X)
        names = [column.name for column in self.encoder_.columns]
        index = X.index if isinstance(X, pd.DataFrame) else None
        return pd.DataFrame(given.contributions(self.scorer_, rows), columns=names, index=index)

    def _encoding(self) -> dict[str, Any]:
        written = {name: value for name, value in asdict(self.dialect_).items() if value is not None}
        return {
            "columns": self.encoder_.as_json(),
            "named": hasattr(self, "feature_names_in_"),
            "roles": self.roles_.as_json(),
            **({"dialect": written} if written else {}),
            **({} if self.windows_ is None else {"windows": self.windows_.as_json(), "independent": self._worth}),
        }

    def _restore(self, source: Artifact) -> None:
        self.encoder_, self.roles_, self.windows_ = restored_columns(source)
        self._worth = restored_worth(source)
        self.dialect_ = restored_dialect(source)
        self.n_features_in_ = len(self.roles_.names) + len(self.roles_.left_out)  # an array has all
        if source.encoding["named"]:
            self._name_features()
