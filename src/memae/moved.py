"""Modules that have moved keep their former place for one release."""

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any


def moved(here: str, there: str) -> Callable[[str], Any]:
    """A module's `__getattr__` that takes names from another module, with a warning.

    Args:
        here: the former module.
        there: where its names are now; imported when the first is asked for.
    """

    def attribute(name: str) -> Any:
        module = import_module(there)
        if name.startswith("__") or not hasattr(module, name):
            raise AttributeError(f"module {here!r} has no attribute {name!r}")
        warnings.warn(f"{here} is now {there}; import {name} from there", FutureWarning, stacklevel=2)
        return getattr(module, name)

    return attribute
