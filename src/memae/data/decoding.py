"""Decodes features of rows, such as reconstructions, into the user's columns."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from memae.data.column import Column
from memae.data.tables import TableEncoder
from memae.data.tallies import hour_at

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
    hours = column.kind == "hour"
    numbers = hour_at(features[:, 0], features[:, 1]) if hours else features[:, 0]
    values: NDArray[np.object_] = on_a_clock(numbers) if hours else numbers.astype(object)
    if column.missing:
        values[features[:, -1] > 0.5] = None
    return values


def shown(encoder: TableEncoder, rows: pd.DataFrame) -> NDArray[np.object_]:
    """Rows in the columns that are encoded as the user should see them, `(n, columns)`; a missing value is None."""
    values = rows.astype(object).where(rows.notna(), None).to_numpy()
    for index, column in enumerate(encoder.columns):
        if column.kind == "hour":
            values[:, index] = on_a_clock(rows.iloc[:, index].to_numpy(np.float64))
    return values


def on_a_clock(hours: NDArray[np.float64]) -> NDArray[np.object_]:
    """Hours as times of day; None where missing.

    Example:
        >>> on_a_clock(np.array([9.25, 23.999, np.nan])).tolist()
        ['09:15', '00:00', None]
    """
    minutes = [None if np.isnan(hour) else round(hour * 60) % 1440 for hour in hours]
    texts = [None if each is None else f"{each // 60:02}:{each % 60:02}" for each in minutes]
    return np.array(texts, dtype=object)


def by_column(encoder: TableEncoder, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the features of each column, `(n, width)` → `(n, columns)`."""
    return np.add.reduceat(features, encoder.places, axis=1)
