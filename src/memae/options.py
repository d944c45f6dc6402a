"""Options of a training and its reports, as plain data."""

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from memae.errors import OptionError
from memae.health import Health
from memae.parameters import Choice, Init, Reduction
from memae.typed import typed


@dataclass(frozen=True)
class Options:
    """Options of a training.

    Args:
        epochs: maximum number of passes over the training samples.
        batch_size: samples per step.
        learning_rate: of Adam; the paper's is 1e-4.
        decay: whether the rate falls to 0 along half a cosine over all steps; otherwise it is constant.
        alpha: weight α of the entropy in Eq. 10.
        reduction: formula of R in Eq. 10.
        choose: which epoch's weights are kept: "lowest" held-out error, or the "last".
        patience: stop after this many epochs without a lower held-out error; None for never.
        init: initial items of the memory: "uniform", encodings of "samples", or their "kmeans" centres.
        warmup: epochs in which the memory is bypassed, before its items are initialised (NOTE[DIFF] warm-up).
        revive: whether items that no query read in an epoch restart from encodings of training samples.
        seed: of all random numbers of the training.
        l1: weight of the codes' ℓ1 norm, added to Eq. 10 (the paper's AE-ℓ1, section 4.4.2).
        compiled: whether encoder and decoder run through `torch.compile`; see `worth_compiling`.
    """

    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-4
    decay: bool = False
    alpha: float = 0.0002
    reduction: Reduction = "sum"
    choose: Choice = "lowest"
    patience: int | None = None
    init: Init = "uniform"
    warmup: int = 0
    revive: bool = False
    seed: int = 0
    l1: float = 0.0
    compiled: bool = False

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("warmup", 0), ("patience", 1)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise OptionError(f"{name} must be a whole number, {least} or more; got {value!r}")
        if not 0 < self.learning_rate < math.inf:
            raise OptionError(f"learning_rate must be a number above 0; got {self.learning_rate}")
        for name in ("alpha", "l1"):
            if not 0 <= getattr(self, name) < math.inf:
                raise OptionError(f"{name} must be 0 or more; got {getattr(self, name)}")
        if self.warmup >= self.epochs:
            raise OptionError(
                f"warmup must be lower than epochs ({self.epochs}); got {self.warmup}. Lower warmup or raise epochs"
            )
        for name, allowed in (
            ("reduction", ("sum", "mean", "absolute")),
            ("choose", ("lowest", "last")),
            ("init", ("uniform", "samples", "kmeans")),
        ):
            if getattr(self, name) not in allowed:
                raise OptionError(f"{name} must be one of {', '.join(allowed)}; got {getattr(self, name)!r}")


class Step(NamedTuple):
    """Report after one training step; the figures are means over the epoch so far."""

    epoch: int
    step: int
    steps: int  # of the epoch
    loss: float
    entropy: float  # nats per query
    in_use: int  # number of items read so far in this epoch


class Epoch(NamedTuple):
    """Report after one pass over the training samples."""

    epoch: int  # from 1
    loss: float  # Eq. 10 plus the loss of the pretext task, mean over the training samples
    error: float  # R, mean over the training samples, with the views of training
    entropy: float  # E, mean over the training samples
    held_out_error: float  # see `memae.training.held_out_error`; with the views of scoring
    health: Health | None  # of the memory over the epoch's queries
    seconds: float


def chosen(history: list[Epoch], options: Options) -> Epoch:
    """The epoch after the warm-up whose weights were kept, by `options.choose`."""
    return (
        min(history[options.warmup :], key=lambda epoch: epoch.held_out_error)
        if options.choose == "lowest"
        else history[-1]
    )


def epoch_as_json(epoch: Epoch) -> dict[str, Any]:
    """An epoch as JSON-ready data."""
    return epoch._asdict() | {"health": asdict(epoch.health) if epoch.health else None}


def epoch_from_json(data: dict[str, Any]) -> Epoch:
    """The inverse of `epoch_as_json`.

    Raises:
        TypeError: `data` is not an epoch.
    """
    epoch: Epoch = typed(data, Epoch)
    return epoch
