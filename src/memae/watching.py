"""The former place of `memae.watch.watching`, for one release."""

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    from memae.watch import watching as there  # noqa: PLC0415 (or importing this would import all of it)

    if name.startswith("__") or not hasattr(there, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"memae.watching is now memae.watch.watching; import {name} from there", FutureWarning, stacklevel=2)
    return getattr(there, name)
