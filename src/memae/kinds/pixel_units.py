"""Units of pixel values, and their normalisation to 0 … 1."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from memae.data.samples import Indexed, Selection
from memae.errors import OptionError, SchemaError


def pixel_unit(X: Any) -> str:
    """Unit of pixel values: "grey levels" (files, and arrays of uint8, uint16 and bool) or "numbers"."""
    first = X[0] if isinstance(X, list | tuple) and X else X
    dtype = str(getattr(getattr(first, "frames", first), "dtype", "uint8")).removeprefix("torch.")
    return "grey levels" if dtype in ("uint8", "uint16", "bool") else "numbers"


def check_unit(fitted: str, X: Any) -> None:
    """Refuses pixels of another unit than the training data; see `pixel_unit`.

    Raises:
        SchemaError: the units differ.
    """
    unit = pixel_unit(X)
    if unit != fitted:
        raise SchemaError(f"the model was fitted on {fitted}, this data is {unit}; give it in the same form")


def checked_size(size: Any) -> tuple[int, int] | None:
    """Height and width to scale to, or None.

    Raises:
        OptionError: it is neither None nor two whole numbers above 0.
    """
    if size is None:
        return None
    two = isinstance(size, list | tuple) and len(size) == 2
    if not two or any(not isinstance(side, int | np.integer) or side < 1 for side in size):
        raise OptionError(f"size must be height and width, as (64, 64); got {size!r}")
    return int(size[0]), int(size[1])


def pixel_range(unit: str, samples: Indexed) -> tuple[Tensor, Tensor]:
    """Centre and scale that bring pixels to 0 … 1: 0 and 255 for grey levels, else by the lowest and highest value."""
    if unit == "grey levels":
        return torch.tensor(0.0), torch.tensor(255.0)
    least, most = torch.tensor(torch.inf), torch.tensor(-torch.inf)
    for batch in Selection(samples).batches(256):
        least, most = torch.minimum(least, batch.min()), torch.maximum(most, batch.max())
    return least.float(), torch.where(most > least, most - least, torch.ones(())).float()
