"""The settings of the detector for images."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated

from memae.parameters.common import Common, Criterion
from memae.parameters.settings import MEMORY, NETWORK, Setting, parameters_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


@dataclass(eq=False, repr=False)
class Image(Common):
    """The settings of the detector for images."""

    PAPER = Common.PAPER | {
        "features": "none",
        "n_items": 100,
        "criterion": "error",
        "rotations": False,
        "erase": 0.0,
        "epochs": 40,
        "batch_size": 64,
    }
    """The paper's values; batch size and epochs are those that reproduce its Table 1 here."""

    n_items: Annotated[
        int | None,
        Setting(
            "Items of the memory; 0 is a plain autoencoder; by default half the number of images, 10 to 500. With "
            "pretrained features, nothing is trained by default: kept patches are the memory. A number there trains a "
            "network with a learned memory over the features, beside the kept patches."
        ),
    ] = None
    _: KW_ONLY
    features: Annotated[
        "str | Path | nn.Module",
        Setting(
            'What the memory remembers: pixels ("none", the paper), or features of a pretrained network: '
            '"efficientnet-lite0", "efficientnet-lite1" or "efficientnet-lite2", from the extra memae[features], or '
            'the path of an .onnx file of your own. "auto" takes efficientnet-lite0 where that is installed, for '
            "images of 64 pixels a side or more.",
            api="Your own network may also be an `nn.Module`; `save` converts it to ONNX (memae[engines]). It gives "
            "maps `(b, c, h, w)` or tokens `(b, 1 + n, c)` of photos `(b, 3, h, w)` in 0 … 1, normalised by the mean "
            "and deviation of ImageNet.",
            panel=NETWORK,
            option=str,
        ),
    ] = "auto"
    size: Annotated[
        tuple[int, int] | None,
        Setting(
            "Height and width to scale to; by default what an .onnx file of yours fixes, 224 and 224 with other "
            "pretrained features, else those of the images, which must then be equal.",
            panel=NETWORK,
            metavar="H W",
        ),
    ] = None
    channels: Annotated[
        int | None, Setting("1 for grey, 3 for RGB; by default 3 if any training image has colour.", panel=NETWORK)
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
        Setting("Each item is the feature of one position, not a whole code.", panel=MEMORY, flags=("--per-position",)),
    ] = False
    warmup: Annotated[
        int | None, Setting("Epochs without memory before the items are initialised; by default 2, but never all.")
    ] = None
    criterion: Annotated[
        Criterion,
        Setting('Score by the "error" alone (the paper), or by the blurred error "relative" to the image\'s contrast.'),
    ] = "relative"
    rotations: Annotated[
        bool,
        Setting(
            "Also score how badly an image's rotation is predicted from the memory read-out.",
            api="Its weight is 0 if normal images look the same in every orientation.",
            was="turns",
        ),
    ] = True
    kept_samples: Annotated[
        int | None,
        Setting(
            "With pretrained features, patches of training images that are kept as the memory, by default 3,000; with "
            "0, the memory is learned. From pixels, training images whose codes are kept; the score then includes the "
            "distance to the nearest of them; by default as many as fit into 64 MiB. 0 for none."
        ),
    ] = None
    erase: Annotated[
        float,
        Setting(
            "Side, as a share of the image's, of the block that is erased from training images and must be restored; "
            "0 for none."
        ),
    ] = 0.35
    batch_size: Annotated[int | None, Setting("Images per training step; by default a fiftieth of all, 8 to 64.")] = (
        None
    )
    learning_rate: float = 0.002


OF_PIXELS = ("criterion", "rotations", "erase")
"""Settings that only a network from pixels uses."""
OF_KEEPING = (
    "n_items", "features", "size", "channels", "kept_samples", "held_out", "false_alarm_rate", "keep_examples",
    "device", "random_state",
)  # fmt: skip
"""Settings that a memory of kept patches uses."""
OF_TRAINING = tuple(each.name for each in parameters_of(Image) if each.name not in OF_KEEPING)
"""Settings that only a trained network uses."""
