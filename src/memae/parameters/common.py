"""Settings that all three detectors share, and the closed choices among them."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from memae.parameters.settings import GENERAL, MEMORY, NETWORK, Setting

if TYPE_CHECKING:
    from numpy.random import RandomState

Similarity = Literal["cosine", "dot"]
OnEmpty = Literal["strongest", "zero"]
Reduction = Literal["sum", "mean", "absolute"]
Criterion = Literal["error", "relative"]
Choice = Literal["lowest", "last"]
Init = Literal["uniform", "samples", "kmeans"]
Scaling = Literal["standard", "minmax"]
Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(eq=False, repr=False)
class Common:
    """The settings of every kind of data."""

    PAPER: ClassVar[dict[str, Any]] = {
        "widths": "paper",
        "temperature": 1.0,
        "on_empty": "zero",
        "kept_samples": 0,
        "init": "uniform",
        "warmup": 0,
    }
    """The paper's values where they differ from the defaults; each kind adds its own."""
    LEARNS_WITH: ClassVar[str] = ""
    """Parameter without which nothing is learned, so that all panels but `GENERAL` have no effect; "" for none."""

    n_items: Annotated[int | None, Setting("Items of the memory; 0 is a plain autoencoder.", panel=MEMORY)] = None
    _: KW_ONLY
    widths: Annotated[
        Sequence[int] | Literal["paper"] | None,
        Setting(
            "Channels of the encoder's layers.",
            cli="Repeat for each layer.",
            api='By default chosen by the size of the samples; "paper" takes the network of the paper.',
            panel=NETWORK,
            flags=("--width",),
            option=list[int] | None,
        ),
    ] = None
    similarity: Annotated[
        Similarity,
        Setting('Similarity of code and item: "cosine" (the paper) or "dot" (the authors\' code).', panel=MEMORY),
    ] = "cosine"
    temperature: Annotated[
        float,
        Setting("Divides the similarity; the lower, the fewer items are read. The paper's value is 1.", panel=MEMORY),
    ] = 0.03
    learn_temperature: Annotated[
        bool, Setting("Train the temperature.", panel=MEMORY, flags=("--learn-temperature",))
    ] = False
    shrinkage: Annotated[
        float, Setting("λ·N of the hard shrinkage; the paper recommends 1 to 3, 0 switches it off.", panel=MEMORY)
    ] = 1.0
    on_empty: Annotated[
        OnEmpty,
        Setting('What a query reads if no weight exceeds λ: the "strongest" item, or "zero".', panel=MEMORY),
    ] = "strongest"
    init: Annotated[
        Init,
        Setting(
            'Initial items: "uniform" random numbers, encodings of "samples", or their "kmeans" centres.', panel=MEMORY
        ),
    ] = "kmeans"
    warmup: Annotated[int | None, Setting("Epochs without memory before the items are initialised.", panel=MEMORY)] = (
        None
    )
    revive: Annotated[bool, Setting("Reinitialise items that no query reads.", panel=MEMORY, flags=("--revive",))] = (
        False
    )
    kept_samples: Annotated[
        int | None, Setting("Training samples kept to measure the distance to the nearest of them.", was="references")
    ] = None
    alpha: Annotated[float, Setting("Weight of the entropy in the training objective.")] = 0.0002
    reduction: Annotated[
        Reduction,
        Setting('Reconstruction error: "sum" or "mean" of the squared errors of a sample, or mean "absolute" error.'),
    ] = "sum"
    epochs: Annotated[int, Setting("Maximum number of passes over the training data.")] = 20
    batch_size: Annotated[int | None, Setting("Samples per training step.")] = None
    learning_rate: Annotated[float, Setting("Learning rate of Adam.")] = 0.001
    decay: Annotated[bool, Setting("Let the learning rate fall to 0 during training.")] = True
    choose: Annotated[Choice, Setting('Keep the epoch with the "lowest" held-out error, or the "last".')] = "lowest"
    patience: Annotated[
        int | None, Setting("Stop after this many epochs without a lower held-out error; by default never.")
    ] = None
    held_out: Annotated[
        float,
        Setting(
            "Share of the samples held out to choose the epoch and to calibrate.",
            api="More are held out if the false-alarm rate needs them.",
        ),
    ] = 0.1
    false_alarm_rate: Annotated[float, Setting("Share of normal samples that may be flagged.")] = 0.05
    keep_examples: Annotated[
        bool,
        Setting(
            "Keep thumbnails of the training samples nearest to each item, to explain scores.",
            api="See `explain`.",
            panel=GENERAL,
            was="keep_samples",
        ),
    ] = True
    device: Annotated[Device, Setting("Where to train.", api='"auto" takes CUDA, then MPS, then the CPU.')] = "auto"
    random_state: Annotated[
        "int | RandomState | None",
        Setting("Seed of everything random.", flags=("--random-state", "--seed"), option=int),
    ] = 0
