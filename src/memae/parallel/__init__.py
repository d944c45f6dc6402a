"""The same detector in many processes, of this machine or of an engine such as Spark, Ray or Dask.

>>> from memae.parallel import Scoring, Pictures, Films, Fitting, ShelfScoring
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memae.parallel.by_group import Fitting, ShelfScoring
    from memae.parallel.scoring import Films, Pictures, Scoring

__all__ = ["Films", "Fitting", "Pictures", "Scoring", "ShelfScoring"]

_ROOMS = {"scoring": ("Films", "Pictures", "Scoring"), "by_group": ("Fitting", "ShelfScoring")}


def __getattr__(name: str) -> Any:
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(f"memae.parallel.{room}"), name)
    raise AttributeError(f"module 'memae.parallel' has no attribute {name!r}")
