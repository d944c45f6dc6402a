"""All settings, each defined once: the constructors of the estimators and the options of `memae fit` come from here.

Nothing heavy is imported here, so that `memae --help` stays fast. `Common` has the settings that all kinds of data
share; each kind adds its own and overrides what differs.
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
from memae.parameters.tabular import OF_LEARNING, Tabular
from memae.parameters.video import Video

__all__ = [
    "OF_LEARNING",
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
