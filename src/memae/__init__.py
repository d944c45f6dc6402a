"""memae learns what normal looks like and flags what is not: tables, images and video.

    >>> import memae
    >>> memae.TabularMemAE(n_items=20)
    TabularMemAE(n_items=20)

Names are imported when they are first used, so that `import memae` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memae.data.dialects import Dialect
    from memae.errors import MemaeError, MemaeNotice, MemaeWarning
    from memae.estimators import ImageMemAE, TabularMemAE, VideoMemAE, load
    from memae.evidence import Evidence
    from memae.memory import Memory
    from memae.model import MemAE
    from memae.scoring import Scorer
    from memae.scoring.calibration import Calibration
    from memae.shelves.reading import Shelf, shelf
    from memae.spec import MemorySpec, Spec, build

__version__ = "0.1.0"

__all__ = [
    "Calibration",
    "Dialect",
    "Evidence",
    "ImageMemAE",
    "MemAE",
    "MemaeError",
    "MemaeNotice",
    "MemaeWarning",
    "Memory",
    "MemorySpec",
    "Scorer",
    "Shelf",
    "Spec",
    "TabularMemAE",
    "VideoMemAE",
    "build",
    "load",
    "shelf",
]

_ROOMS = {
    "data.dialects": ("Dialect",),
    "errors": ("MemaeError", "MemaeNotice", "MemaeWarning"),
    "estimators": ("ImageMemAE", "TabularMemAE", "VideoMemAE", "load"),
    "evidence": ("Evidence",),
    "memory": ("Memory",),
    "model": ("MemAE",),
    "scoring": ("Scorer",),
    "scoring.calibration": ("Calibration",),
    "shelves.reading": ("Shelf", "shelf"),
    "spec": ("MemorySpec", "Spec", "build"),
}


def __getattr__(name: str) -> Any:
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(f"memae.{room}"), name)
    raise AttributeError(f"module 'memae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
