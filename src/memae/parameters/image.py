"""The settings of the detector for images."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from memae.parameters.common import Common, Criterion
from memae.parameters.settings import MEMORY, NETWORK, Setting


@dataclass(eq=False, repr=False)
class Image(Common):
    """The settings of the detector for images."""

    PAPER = Common.PAPER | {
        "n_items": 100,
        "criterion": "error",
        "rotations": False,
        "erase": 0.0,
        "epochs": 40,
        "batch_size": 64,
    }
    """What the paper says, and the rate and epochs with which its Table 1 is reproduced here."""

    n_items: Annotated[
        int | None,
        Setting("Items of the memory; 0 is a plain autoencoder; by default half as many as images, 10 to 500."),
    ] = None
    _: KW_ONLY
    size: Annotated[
        tuple[int, int] | None,
        Setting(
            "Height and width to scale to; by default those of the images, which must agree.",
            panel=NETWORK,
            metavar="H W",
        ),
    ] = None
    channels: Annotated[
        int | None, Setting("1 for grey, 3 for RGB; by default 3 where a training image has colour.", panel=NETWORK)
    ] = None
    strides: Annotated[
        Sequence[Sequence[int]] | None,
        Setting(
            "Strides of the encoder's layers.",
            cli="As 2,2; repeat for each layer.",
            api="By default as for `widths`.",
            panel=NETWORK,
            flags=("--stride",),
            option=list[str] | None,
        ),
    ] = None
    per_position: Annotated[
        bool,
        Setting(
            "An item holds the feature of one position, not the whole code.", panel=MEMORY, flags=("--per-position",)
        ),
    ] = False
    warmup: Annotated[
        int | None, Setting("Epochs without memory before the items are set; by default 2, if there are more.")
    ] = None
    criterion: Annotated[
        Criterion,
        Setting('Score by the "error" alone (the paper), or "relative" to the contrast of the image, blurred.'),
    ] = "relative"
    rotations: Annotated[
        bool,
        Setting(
            "Also score how badly an image's rotation is predicted from the memory's answer.",
            api="That weighs nothing where normal images look the same in every orientation.",
            was="turns",
        ),
    ] = True
    kept_samples: Annotated[
        int | None,
        Setting(
            "Training images whose codes are kept, so that the score also counts the distance to the nearest of them; "
            "0 for none, by default as many as 64 MiB hold."
        ),
    ] = None
    erase: Annotated[
        float,
        Setting(
            "Side, as a share of the image's, of the block that is erased from training images, to be restored; 0 for "
            "none."
        ),
    ] = 0.35
    batch_size: Annotated[int | None, Setting("Images a step; by default a fiftieth of them, 8 to 64.")] = None
    learning_rate: float = 0.002
