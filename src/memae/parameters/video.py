"""The settings of the detector for video."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Literal

from memae.parameters.common import Common
from memae.parameters.settings import NETWORK, Setting, parameters_of


@dataclass(eq=False, repr=False)
class Video(Common):
    """The settings of the detector for video."""

    PAPER = Common.PAPER | {
        "features": "none",
        "n_items": 2000,
        "score_step": 1,
        "size": (128, 128),
        "length": 16,
        "step": 4,
        "speeds": False,
        "smooth": 1,
        "epochs": 30,
        "batch_size": 4,
    }
    """The paper's values; size, step, batch size and epochs are those that reproduce its Table 2 here."""

    n_items: Annotated[
        int | None,
        Setting(
            "Items of the memory, each the feature of one position; 0 is a plain autoencoder; by default 1000. With "
            "pretrained features nothing is trained, kept positions are the memory; a number here trains a network "
            "from pixels instead."
        ),
    ] = None
    _: KW_ONLY
    features: Annotated[
        str,
        Setting(
            'What the memory remembers: what a network learns from pixels ("none", the paper), or features of a '
            'pretrained network, "efficientnet-lite0", "efficientnet-lite1" or "efficientnet-lite2", from the extra '
            'memae[features]. "auto" takes efficientnet-lite0 where that is installed, for frames of 64 pixels a side '
            "or more, unless n_items is given.",
            panel=NETWORK,
        ),
    ] = "auto"
    size: Annotated[
        tuple[int, int] | Literal["native"] | None,
        Setting(
            "Height and width to scale to; by default a shorter side above 480 pixels becomes 480, where a network is "
            "trained one above 192 becomes 192.",
            api='"native" keeps the size of the frames.',
            panel=NETWORK,
            option=tuple[int, int] | None,
            metavar="H W",
        ),
    ] = None
    channels: Annotated[int, Setting("1 for grey (the paper), 3 for RGB.", panel=NETWORK)] = 1
    length: Annotated[int, Setting("Frames per clip.", panel=NETWORK)] = 9
    strides: Annotated[
        Sequence[Sequence[int]] | None,
        Setting(
            "Strides of the encoder's layers: two numbers each, or three to convolve in time.",
            cli="As 2,2 or 2,2,2; repeat for each layer.",
            panel=NETWORK,
            flags=("--stride",),
            option=list[str] | None,
        ),
    ] = None
    warmup: Annotated[
        int | None,
        Setting("Epochs without memory before the items are initialised; by default two thirds of all epochs."),
    ] = None
    step: Annotated[
        int | None,
        Setting(
            "Frames from the start of one training clip to the next; by default 1, for long videos more, so that an "
            "epoch has 4000 to 8000 clips."
        ),
    ] = None
    score_step: Annotated[
        int | None,
        Setting(
            "Frames from the start of one scored clip to the next; by default 1, with pretrained features a third of a "
            "second.",
            api="Frames in between get the score of the nearest clip.",
        ),
    ] = None
    speeds: Annotated[
        bool,
        Setting(
            "Also score the odds that a clip is not played at its original speed.",
            api="The speed (original, double or triple) is predicted from the memory read-out. Not for networks that "
            "convolve in time.",
            was="paces",
        ),
    ] = True
    kept_samples: Annotated[
        int | None,
        Setting(
            "With pretrained features, positions of training frames that are kept as the memory, by default 6000. Else "
            "positions of training clips whose codes are kept; the score then includes the distance to the nearest of "
            "them. 0 for none, by default 2000.",
            api="Not for networks that convolve in time.",
        ),
    ] = None
    smooth: Annotated[
        int, Setting("Length of the moving average over the scores of frames, an odd number; 1 for none.")
    ] = 15
    epochs: int = 12
    batch_size: Annotated[int, Setting("Clips per training step.")] = 8
    held_out: Annotated[
        float, Setting("Share at the end of each video held out to choose the epoch and to calibrate.")
    ] = 0.1
    false_alarm_rate: Annotated[float, Setting("Share of normal frames that may be flagged.")] = 0.05


OF_KEEPING = (
    "n_items", "features", "size", "channels", "kept_samples", "score_step", "smooth", "false_alarm_rate",
    "keep_examples", "device", "random_state",
)  # fmt: skip
"""Settings that a memory of kept positions uses."""
OF_TRAINING = tuple(each.name for each in parameters_of(Video) if each.name not in OF_KEEPING)
"""Settings that only a trained network uses."""
