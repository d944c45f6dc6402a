"""The base class of the three estimators: scikit-learn's contract for training, scoring and model files."""

import json
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from memae.data.samples import Indexed, Samples, Selection, digest, mapped
from memae.engines.own import runnable, stored
from memae.engines.runtimes import Engine, with_engine
from memae.errors import InputError, MemaeWarning, ModelFileError, OptionError
from memae.estimators.accountable import Accountable
from memae.estimators.devices import pick_device
from memae.estimators.examples import Named, nearest_examples
from memae.estimators.networks import MODULE
from memae.estimators.restoring import check_types, parameters_of, without_numpy
from memae.group import join
from memae.health import Health
from memae.model import MemAE
from memae.modelfile import artifact
from memae.modelfile.artifact import Artifact
from memae.options import Epoch, Options, Step, chosen
from memae.scoring import Floats, Scaling, Scorer, Scores, chunk_size
from memae.scoring.calibration import checked_rate
from memae.scoring.fitting import balanced
from memae.scoring.measures import Error, Measure
from memae.spec import MemorySpec, Spec, build, code_shape
from memae.training import Corruption, train, worth_compiling

Tell = Callable[[str], object]
"""Shows the user a line."""


class Prepared(NamedTuple):
    """Training data, read and split."""

    shape: tuple[int, ...]  # of a sample
    center: Tensor
    scale: Tensor
    training: Samples  # raw
    held_out: Samples  # raw
    checksum: str
    named: Named  # names a training sample for the user
    normal: Samples | None = None  # held-out samples as scored, if those of training are longer


class Plan(NamedTuple):
    """The network, its training and the measures of its score."""

    spec: Spec
    options: Options
    scaling: Scaling
    measures: Callable[[Scorer, Samples], Sequence[Measure]]
    """(scorer with the trained network, raw held-out samples) → measures, fitted on normal samples."""
    corrupt: Corruption | None = None  # applied to training samples before they are encoded


class Estimator(Accountable, OutlierMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn has no types
    """A detector with scikit-learn's conventions: `predict` gives 1 for normal and −1 for anomalous samples.

    `anomaly_score` is higher for more anomalous samples; `score_samples` is its negative.
    """

    kind: ClassVar[str]
    precision: ClassVar[torch.dtype] = torch.float32  # of scoring; training is always in float32

    # ------------------------------------------------------------------ what each kind of data implements

    @abstractmethod
    def _prepare(self, X: Any) -> Prepared:
        """Reads and splits the training data; sets the attributes that scoring needs to read data the same way."""

    @abstractmethod
    def _plan(self, prepared: Prepared) -> Plan:
        """Network, training and measures for these data, as the parameters say."""

    @abstractmethod
    def _encoding(self) -> dict[str, Any]:
        """The attributes that `_prepare` set, as JSON-ready data."""

    @abstractmethod
    def _restore(self, source: Artifact) -> None:
        """The inverse of `_encoding`; the file is not trusted."""

    @property
    def trains(self) -> bool:
        """Whether `fit` trains a network, as these parameters say."""
        return True

    # ------------------------------------------------------------------ fitting

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002 (scikit-learn's signature)
        """Trains and calibrates the detector on normal samples.

        Images and videos may be fitted by several processes, started by torchrun: each calls `fit` with the same
        samples and gets the same detector. The first one is to save it.

        Args:
            X: normal samples; see the class.
            y: ignored, for scikit-learn.

        Raises:
            InputError: the data cannot be used.
            OptionError: a parameter has an invalid value.
            TrainingError: the loss became NaN or infinite, or another process has ended.
        """
        for _ in self.fit_steps(X):
            pass
        return self

    def fit_steps(
        self,
        X: Any,
        *,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        every: float = 10.0,
        tell: Tell | None = None,  # noqa: ARG002 (of images)
    ) -> Iterator[Step | Epoch]:
        """`fit` as a generator: yields every step and epoch; the detector is fitted when it is exhausted.

        Args:
            X: normal samples; see the class.
            checkpoint: file that is rewritten every `every` seconds of training, by the first of several processes. It
                remains after training; delete it once the model is saved.
            resume: continue from `checkpoint` if it exists; the weights become the same to the bit as without the
                interruption.
            every: seconds between checkpoints.
            tell: is told, before anything takes time, what the data made `fit` choose and why, if that is of weight.
        """
        check_types(self)
        checked_rate(self.false_alarm_rate)
        prepared = self._prepare(X)
        plan = self._plan(prepared)
        spec, options, scaling = plan.spec, plan.options, plan.scaling
        device = pick_device(self.device)
        group = join(device)
        model, options = built(spec, options, device, len(prepared.training))
        chunk = chunk_size(prepared.shape, spec.task.views)
        scorer = Scorer(model, scaling, [Error(options.reduction)], chunk=chunk)
        training, held_out = (mapped(part, scorer.normalise) for part in (prepared.training, prepared.held_out))
        scaled = digest([scaling.center, scaling.scale])
        identity = [prepared.checksum, scaled, len(training), repr(spec), repr(options), repr(plan.corrupt)]
        history: list[Epoch] = []
        yield from train(
            model,
            training,
            held_out,
            options,
            corrupt=plan.corrupt,
            checkpoint=Path(checkpoint) if checkpoint else None,
            resume=resume,
            every=every,
            identity=json.dumps(identity),
            history=history,
            group=group,
        )
        without_float64 = device.type == "mps" and self.precision == torch.float64
        scorer.to(torch.device("cpu") if without_float64 else device, self.precision)
        normal = prepared.normal or prepared.held_out
        scorer, measured = balanced(scorer, plan.measures(scorer, normal), normal)
        self._settle(scorer, spec, history, chosen(history, options), prepared.checksum, artifact.versions())
        self.learned_ = len(training)
        self.recalibrate(self._held_out_scores(scorer, measured, prepared))
        if self.keep_examples:
            self.examples_ = nearest_examples(self.scorer_, spec.shape, prepared.training, prepared.named, options.seed)
        self._warn_of_collapse()

    def _held_out_scores(self, scorer: Scorer, measures: Tensor, prepared: Prepared) -> Floats:  # noqa: ARG002 (others)
        """The `anomaly_score` of the held-out samples, from their measures."""
        return np.asarray(scorer.score(measures).numpy(), dtype=np.float64)

    def _settle(
        self,
        scorer: Scorer,
        spec: Spec,
        history: Sequence[Epoch],
        best: Epoch,
        checksum: str,
        versions: dict[str, str],
    ) -> None:
        self.scorer_ = scorer
        self.spec_ = spec
        self.history_ = tuple(history)
        self.best_epoch_ = best
        self.checksum_ = checksum
        self.versions_ = versions
        self.examples_ = None

    def _warn_of_unused(self, names: Sequence[str], because: str) -> None:
        """Warns of parameters that were given and have no effect.

        Args:
            names: of the parameters without effect.
            because: why, and what to do.
        """
        defaults = type(self)().get_params(deep=False)
        given = [name for name in names if getattr(self, name) != defaults[name]]
        if given:
            many, its = ("have", "their") if len(given) > 1 else ("has", "its")
            warnings.warn(
                f"{', '.join(given)} {many} no effect: {because}, or leave {its} default", MemaeWarning, stacklevel=5
            )

    def _warn_of_collapse(self) -> None:
        trouble = self.collapse_
        if trouble:
            warnings.warn(f"the memory has collapsed: {trouble}", MemaeWarning, stacklevel=3)

    def _options(self, *, batch_size: int, warmup: int) -> Options:
        """The options of training, from the parameters.

        Args:
            batch_size: samples per step.
            warmup: epochs without memory if the parameter is None.
        """
        names = {field.name for field in fields(Options)} & set(self.get_params(deep=False)) - {"batch_size"}
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        values = {name: getattr(self, name) for name in names}
        if values["warmup"] is None:
            values["warmup"] = min(warmup, int(self.epochs) - 1)  # at least one epoch has the memory
        return Options(**values, seed=seed, batch_size=batch_size)

    def _memory(self, items: int, *, per_position: bool = False) -> MemorySpec | None:
        """The memory's description, from the parameters; None for 0 items."""
        if items < 0:
            raise OptionError(f"n_items must be 0 or more; got {items}")
        if items == 0:
            return None
        return MemorySpec(
            items=items,
            similarity=self.similarity,
            temperature=self.temperature,
            learn_temperature=self.learn_temperature,
            shrinkage=self.shrinkage,
            on_empty=self.on_empty,
            per_position=per_position,
        )

    def _held_out_count(self, samples: int) -> int:
        """Number of held-out samples out of `samples`: the requested share, or more if the false-alarm rate needs it.

        NOTE[DIFF] held-out: the paper has a validation set for images only; here every kind of data has one.
        """
        if samples < 2:
            raise InputError(f"{samples} sample given (n_samples={samples}); at least 2 are needed, and 100 make sense")
        if not 0 < self.held_out < 1:
            raise OptionError(f"held_out must lie between 0 and 1, both excluded; got {self.held_out}")
        promised = int(np.ceil(1 / self.false_alarm_rate - 1e-9)) - 1
        return int(np.clip(max(np.ceil(self.held_out * samples), min(promised, samples // 3)), 1, samples - 1))

    def _split(self, samples: Indexed) -> tuple[Selection, Selection]:
        """A random split into training and held-out samples."""
        index = self._permutation(len(samples))
        count = self._held_out_count(len(samples))
        return Selection(samples, index[count:]), Selection(samples, index[:count].sort().values)

    def _permutation(self, samples: int) -> Tensor:
        return torch.from_numpy(check_random_state(self.random_state).permutation(samples))

    # ------------------------------------------------------------------ scoring

    def _raw(self, X: Any) -> Iterator[Tensor]:
        """Raw samples of X to score, in batches of any size."""
        kind, given = self._reading(X)
        return kind.raw(given)

    def scores(self, X: Any, *, maps: bool = True) -> Iterator[Scores]:
        """Scores of X, with error maps and reconstructions if `maps`, batch by batch, in constant memory."""
        check_is_fitted(self, "scorer_")
        return self.scorer_.batched(self._raw(X), maps=maps)

    def score_samples(self, X: Any) -> Floats:
        """Negative anomaly score of each sample `(n,)`, scikit-learn's convention: lower = more anomalous."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> Floats:
        """`score_samples` less `offset_`: negative = flagged."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """1 for each normal sample and −1 for each that is flagged `(n,)`."""
        scores = torch.from_numpy(self.anomaly_score(X))
        return np.where(self.calibration_.judge(scores).is_anomaly.numpy(), -1, 1)

    def use_engine(self, engine: Engine) -> Self:
        """Scores with another engine from now on; the choice is not saved in the model file.

        Args:
            engine: "torch", or "onnxruntime" or "openvino", which need the extra `memae[engines]` and are several
                times faster for images and video on a CPU. Its scores are first compared with those of torch.

        Raises:
            OptionError: the scores differ by more than 1e-5, or the model is not on the CPU.
            MissingExtraError: the engine is not installed.
        """
        check_is_fitted(self, "scorer_")
        self.scorer_ = with_engine(self.scorer_, self.spec_.raw, engine)
        return self

    @property
    def health_(self) -> Health | None:
        """State of the memory in the chosen epoch; None for a plain autoencoder."""
        return self.best_epoch_.health

    @property
    def collapse_(self) -> str | None:
        """What is wrong with a memory that was trained, and a remedy; None if it is well, or holds kept samples."""
        return self.health_.collapse if self.health_ and self.scorer_.model.trained else None

    # ------------------------------------------------------------------ the model file

    def save(self, path: str | Path) -> None:
        """Writes a model file, to be read by `memae.load`.

        Raises:
            OutputError: the file cannot be written; an existing file is then left unchanged.
            OptionError: a module given as features cannot be converted to ONNX.
            MissingExtraError: that needs the extra "engines", which is not installed.
        """
        artifact.save(self.to_artifact(), path)

    def to_artifact(self) -> Artifact:
        """Everything that the model file holds; errors as of `save`."""
        check_is_fitted(self, "scorer_")
        parameters = {name: _plain(value) for name, value in self.get_params(deep=False).items()}
        spec, scorer = stored(self.spec_, self.scorer_)
        return Artifact(
            self.kind,
            spec,
            scorer,
            parameters,
            self._encoding(),
            self.history_,
            self.history_.index(self.best_epoch_),
            self.checksum_,
            self.versions_,
            self.examples_,
            self.learned_,
        )

    @classmethod
    def from_artifact(cls, source: Artifact) -> Self:
        """The estimator of a model file, on the CPU."""
        if source.kind != cls.kind:
            raise ModelFileError(
                f"the file holds a model for {source.kind} data, not {cls.kind}; load it with memae.load"
            )
        if source.scorer.calibration is None:
            raise ModelFileError("the model is not calibrated; refit it")
        estimator = cls(**parameters_of(source, cls))
        estimator._restore(source)
        best = source.history[source.best]
        estimator._settle(runnable(source.scorer), source.spec, source.history, best, source.checksum, source.versions)
        estimator.examples_, estimator.learned_ = source.examples, source.learned
        return estimator


def built(spec: Spec, options: Options, device: torch.device, samples: int) -> tuple[MemAE, Options]:
    """A model to be trained, with fresh weights, and the options with the decision to compile it."""
    if options.batch_size == 1 and len(spec.shape) > 1 and math.prod(code_shape(spec)[1:]) == 1:
        raise OptionError(
            "batch_size must be 2 or more for a code of one position: BatchNorm cannot learn from one value"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        model = build(spec).to(device)
    compiled = worth_compiling(model, spec.shape, samples, options.epochs)
    return model, replace(options, compiled=True) if compiled else options


def check_kept_samples(wanted: int | None) -> None:
    """Refuses a negative number of kept samples."""
    if wanted is not None and wanted < 0:
        raise OptionError(f"kept_samples must be 0 or more, or None; got {wanted}")


def _plain(value: Any) -> Any:
    """A parameter as JSON-ready data; a random generator becomes None, a network a word."""
    if isinstance(value, nn.Module | Path):
        return str(value) if isinstance(value, Path) else MODULE
    return None if isinstance(value, np.random.RandomState | np.random.Generator) else without_numpy(value)
