"""The former place of `memae.watch.overlay`, for one release."""

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    from memae.watch import overlay as there  # noqa: PLC0415 (or importing this would import all of it)

    if name.startswith("__") or not hasattr(there, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"memae.overlay is now memae.watch.overlay; import {name} from there", FutureWarning, stacklevel=2)
    return getattr(there, name)
