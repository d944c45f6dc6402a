"""The model of a command that is for one kind of data."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from memae.estimators import Estimator

E = TypeVar("E", bound="Estimator")


def loaded_as(wanted: type[E], model: Path, otherwise: str) -> E:
    """The detector of a model file.

    Args:
        wanted: class of detectors that the command is for.
        model: file.
        otherwise: for the error message: what the command is for, and what to do with other models.

    Raises:
        OptionError: it is another detector.
    """
    from memae.errors import OptionError
    from memae.estimators import load

    detector = load(model)
    if not isinstance(detector, wanted):
        raise OptionError(f"{model} is a model for {detector.kind} data; {otherwise}")
    return detector
