"""Decodes features of rows, such as reconstructions, into the user's columns."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from memae.data.tables import Column, TableEncoder

OTHER = "(other)"
"""Stands for every category without a feature of its own."""


def decoded(encoder: TableEncoder, features: Tensor) -> pd.DataFrame:
    """Rows in the user's columns, decoded from raw features `(n, width)`: the inverse of `TableEncoder.encode`.

    The category with the highest feature is taken. A missing value is None.

    Example:
        >>> encoder, _ = TableEncoder.fit([pd.DataFrame({"size": [1.0, 3.0], "shop": ["a", "b"]})])
        >>> decoded(encoder, encoder.encode(pd.DataFrame({"size": [2.0], "shop": ["b"]}))).iloc[0].tolist()
        [2.0, 'b']
    """
    values = features.double().numpy()
    columns = {
        column.name: _column(column, values[:, start : start + column.width])
        for column, start in zip(encoder.columns, encoder.places.tolist(), strict=True)
    }
    return pd.DataFrame(columns, dtype=object)


def _column(column: Column, features: NDArray[np.float64]) -> NDArray[np.object_]:
    if column.kind == "category":
        names = np.array([*(name or None for name in column.categories), OTHER], dtype=object)  # "" means missing
        categories: NDArray[np.object_] = names[features.argmax(1)]
        return categories
    values: NDArray[np.object_] = features[:, 0].astype(object)
    if column.missing:
        values[features[:, 1] > 0.5] = None
    return values


def by_column(encoder: TableEncoder, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the features of each column, `(n, width)` → `(n, columns)`."""
    return np.add.reduceat(features, encoder.places, axis=1)
