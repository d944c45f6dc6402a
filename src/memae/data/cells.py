"""Cells of a column as numbers or as category names."""

from decimal import Decimal
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memae.errors import CellError, InputError, SchemaError

Kind = Literal["number", "category"]


def kind_of(series: "pd.Series[Any]") -> Kind:
    """Whether a column holds numbers or categories. Booleans, and text of which every cell is a number, are numbers.

    Raises:
        InputError: dates, durations or complex numbers.
        CellError: cells that are neither numbers nor text.
    """
    dtype = series.dtype
    if pd.api.types.is_complex_dtype(dtype):
        raise InputError(
            f"Complex data not supported: column {series.name!r}; put real and imaginary part into separate columns"
        )
    if pd.api.types.is_numeric_dtype(dtype):
        return "number"
    if _is_time(dtype):
        raise InputError(
            f"column {series.name!r} holds dates or durations; turn them into numbers or ignore the column"
        )
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if isinstance(dtype, pd.StringDtype):
        known = pd.Series(pd.unique(series.dropna()), name=series.name)  # many cells have the same text
    else:
        _refuse_containers(series)
        known = series.dropna()
    return "number" if len(known) == _converted(known, str(series.name)).notna().sum() else "category"


def _is_time(dtype: Any) -> bool:
    return pd.api.types.is_datetime64_any_dtype(dtype) or (isinstance(dtype, np.dtype) and dtype.kind in "mM")


def _refuse_containers(series: "pd.Series[Any]") -> None:
    """Raises CellError for lists, dicts and other objects, which are neither numbers nor names."""
    for value in series:
        if not isinstance(value, str | bytes | int | float | Decimal | np.generic | None) and value is not pd.NA:
            raise CellError(
                f"column {series.name!r} holds {type(value).__name__} values; "
                "argument must be a string or a real number; turn them into numbers or text, or ignore the column"
            )


def numbers(series: "pd.Series[Any]", name: str) -> NDArray[np.float64]:
    """A column as numbers, NaN where missing.

    Raises:
        SchemaError: a value is not a number.
        InputError: a value is infinite.
    """
    if _is_time(series.dtype):
        raise SchemaError(
            f"column {name!r} held numbers in training but holds dates or durations now; turn them into numbers"
        )
    if not pd.api.types.is_numeric_dtype(series.dtype):
        converted = _converted(series, name)
        wrong = converted.isna() & series.notna()
        if wrong.any():
            row = int(np.argmax(wrong.to_numpy()))
            raise SchemaError(f"column {name!r} holds numbers, but row {row} has {series.iloc[row]!r}")
        series = converted
    values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = np.isinf(values)
    if infinite.any():
        raise InputError(
            f"column {name!r} has infinite values ({infinite.sum()}, the first in row {int(np.argmax(infinite))}); "
            "replace them with numbers or leave them empty (NaN counts as missing, infinity does not)"
        )
    return values


def _converted(series: "pd.Series[Any]", name: str) -> "pd.Series[Any]":
    """Cells of any type as numbers; NaN for a cell that is not a number."""
    try:
        return pd.to_numeric(series, errors="coerce")
    except OverflowError as error:
        raise InputError(
            f"column {name!r} holds whole numbers beyond ±1e308; correct them, or ignore the column"
        ) from error


def matrix(frame: pd.DataFrame, names: list[str]) -> NDArray[np.float64]:
    """`numbers` of all columns of a table `(n, columns)`; a single conversion if all columns have a number dtype."""
    if all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in frame.dtypes):
        values = frame.to_numpy(dtype=np.float64)
        if finite(values) or not np.isinf(values).any():
            return values
    columns = (frame.iloc[:, index] for index in range(frame.shape[1]))
    return np.stack([numbers(series, name) for series, name in zip(columns, names, strict=True)], 1)


class Texts(NamedTuple):
    """A column as names of categories."""

    names: list[str]  # the different ones; a missing value is a separate category, named ''
    codes: NDArray[np.int64]  # (n,): index of each cell's name

    def counts(self) -> dict[str, int]:
        """Number of rows with each name."""
        return dict(zip(self.names, np.bincount(self.codes, minlength=len(self.names)).tolist(), strict=True))


def texts(series: "pd.Series[Any]") -> Texts:
    """A column as names of categories.

    Raises:
        SchemaError: dates or durations.
    """
    if _is_time(series.dtype):
        raise SchemaError(
            f"column {series.name!r} held text in training but holds dates or durations now; give it as in training"
        )
    if isinstance(series.dtype, pd.StringDtype):
        cells: Any = series  # Arrow counts it without a string of Python for each cell
    else:  # True and 1 are equal, but "True" and "1" are not
        cells = np.array([str(value) for value in series.astype(object).where(series.notna(), "")], dtype=object)
    codes, found = pd.factorize(cells)
    names = [str(name) for name in found]
    absent = codes < 0
    if absent.any():
        names = names if "" in names else [*names, ""]
        codes = np.where(absent, names.index(""), codes)
    return Texts(names, codes.astype(np.int64))


def finite(values: NDArray[np.float64]) -> bool:
    """Whether the sum is finite, which proves that no value is NaN or infinite.

    The check is fast, and most tables pass it. False proves nothing: the sum of finite values may overflow.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()))
