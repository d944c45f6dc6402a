"""Modules that have moved keep their former place for one release."""

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any


def moved(here: str, there: str) -> Callable[[str], Any]:
    """A module's `__getattr__` that takes names from another module, with a FutureWarning.

    Args:
        here: name of the former module.
        there: name of the module that has its names now; imported on first use.
    """

    def attribute(name: str) -> Any:
        module = import_module(there)
        if name.startswith("__") or not hasattr(module, name):
            raise AttributeError(f"module {here!r} has no attribute {name!r}")
        warnings.warn(f"{here} is now {there}; import {name} from there", FutureWarning, stacklevel=2)
        return getattr(module, name)

    return attribute
