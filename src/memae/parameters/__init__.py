"""What can be set, each setting written once: the estimators and `memae fit` are made from the same fields.

Nothing heavy is imported here, so that `memae --help` stays fast. `Common` has what all kinds of data share; a kind
adds its own, and says anew what is different for it.
"""

from memae.parameters.common import (
    Choice,
    Common,
    Criterion,
    Device,
    Init,
    OnEmpty,
    Reduction,
    Scaling,
    Similarity,
)
from memae.parameters.image import Image
from memae.parameters.settings import Parameter, Setting, described, former_names, parameters_of, renamed
from memae.parameters.tabular import Tabular
from memae.parameters.video import Video

__all__ = [
    "Choice",
    "Common",
    "Criterion",
    "Device",
    "Image",
    "Init",
    "OnEmpty",
    "Parameter",
    "Reduction",
    "Scaling",
    "Setting",
    "Similarity",
    "Tabular",
    "Video",
    "described",
    "former_names",
    "parameters_of",
    "renamed",
]
