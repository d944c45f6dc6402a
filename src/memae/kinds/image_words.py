"""Words for images in texts for users."""

from memae.data.tiles import SIDE, WHOLE
from memae.kinds.kind import Words

LIKE_TRAINING = (
    "Images must be taken like those of training: camera, distance, light and framing. A change of light is an anomaly "
    "to the model."
)

RESTORED = Words(
    data="images",
    one="image",
    many="images",
    learned="images",
    measures={
        "error": "how badly the image is restored from memory",
        "surprise": "how badly the image's rotation is predicted from the memory read-out",
        "distance": "how far it lies from what is remembered of normal images",
        "whole": "how unlike normal images it is as a whole",
    },
    limits=(
        LIKE_TRAINING,
        "Images are scored at the size that the network sees; a defect of few pixels at that size may be missed.",
    ),
    unseen={
        "surprise": "how badly its rotation is predicted",
        "distance": "how far it lies from the training images",
    },
)
"""Of images that are restored from memory."""

PHOTOS = Words(
    data="images",
    one="image",
    many="images",
    learned="images",
    measures={
        "distance": "how far its patches lie from the nearest kept ones of normal images; the farthest count most",
        "whole": "how unlike normal images it is as a whole: what is in it, not how its patches look",
        "error": "how badly the features of its patches are restored from memory",
    },
    limits=(
        LIKE_TRAINING,
        f"An image of up to {WHOLE:,} pixels a side is scaled to what the network sees, a larger one is cut into tiles "
        f"of {SIDE} pixels; a defect that then has less than about three pixels may be missed.",
        "Patches are compared wherever they lie: a part in a wrong place, each of whose patches looks normal, may be "
        "missed, and so may one that is absent.",
        "With few images, what is normal but was in none of them is flagged, and no low false-alarm rate can be "
        "promised.",
    ),
    unseen={"whole": "how unlike normal images it is as a whole"},
    kept="patches",
    apart="by a memory that keeps none of its patches",
    measured_with="mean, spread and covariance of the features of all training images",
)
"""Of photos that are compared with kept patches."""
