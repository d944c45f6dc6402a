"""The former place of `memae.watch.overlay`, for one release."""

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from memae.watch import overlay as there  # noqa: PLC0415 (or importing this would import all of it)

    warnings.warn(f"memae.overlay is now memae.watch.overlay; import {name} from there", FutureWarning, stacklevel=2)
    return getattr(there, name)
