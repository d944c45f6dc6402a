"""What the cells of a column are: numbers, or names of categories."""

from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memae.errors import CellError, InputError, SchemaError

Kind = Literal["number", "category"]


def kind_of(series: "pd.Series[Any]") -> Kind:
    """Whether a column holds numbers or categories. Text that is all numbers, and True and False, are numbers.

    Raises:
        InputError: dates, durations or complex numbers.
        CellError: cells that are neither numbers nor text.
    """
    dtype = series.dtype
    if pd.api.types.is_complex_dtype(dtype):
        raise InputError(
            f"Complex data not supported: column {series.name!r}; give real and imaginary part a column each"
        )
    if pd.api.types.is_numeric_dtype(dtype):
        return "number"
    if _is_time(dtype):
        raise InputError(
            f"column {series.name!r} holds dates or durations; turn them into numbers or ignore the column"
        )
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    _refuse_containers(series)
    known = series.dropna()
    return "number" if len(known) == _converted(known, str(series.name)).notna().sum() else "category"


def _is_time(dtype: Any) -> bool:
    return pd.api.types.is_datetime64_any_dtype(dtype) or (isinstance(dtype, np.dtype) and dtype.kind in "mM")


def _refuse_containers(series: "pd.Series[Any]") -> None:
    """Lists, dicts and other objects are neither numbers nor names."""
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
            f"column {name!r} holds numbers in training, and dates or durations now; turn them into numbers"
        )
    if not pd.api.types.is_numeric_dtype(series.dtype):
        found = _converted(series, name)
        wrong = found.isna() & series.notna()
        if wrong.any():
            place = int(np.argmax(wrong.to_numpy()))
            raise SchemaError(f"column {name!r} holds numbers, but row {place} has {series.iloc[place]!r}")
        series = found
    values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = np.isinf(values)
    if infinite.any():
        raise InputError(
            f"column {name!r} has infinite values ({infinite.sum()}, the first in row {int(np.argmax(infinite))}); "
            "replace them by numbers or leave them empty (NaN counts as missing, infinity does not)"
        )
    return values


def _converted(series: "pd.Series[Any]", name: str) -> "pd.Series[Any]":
    """Numbers of cells of any type, NaN where one is none."""
    try:
        return pd.to_numeric(series, errors="coerce")
    except OverflowError as error:
        raise InputError(
            f"column {name!r} holds whole numbers beyond ±1e308; correct them, or ignore the column"
        ) from error


def matrix(frame: pd.DataFrame, names: list[str]) -> NDArray[np.float64]:
    """`numbers` of all columns of a table `(n, columns)`, in one go where they are stored as numbers."""
    if all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in frame.dtypes):
        values = frame.to_numpy(dtype=np.float64)
        if finite(values) or not np.isinf(values).any():
            return values
    columns = (frame.iloc[:, place] for place in range(frame.shape[1]))
    return np.stack([numbers(series, name) for series, name in zip(columns, names, strict=True)], 1)


def texts(series: "pd.Series[Any]") -> list[str]:
    """A column as category names; a missing value is a category of its own, named ''.

    Raises:
        SchemaError: dates or durations.
    """
    if _is_time(series.dtype):
        raise SchemaError(
            f"column {series.name!r} holds text in training, and dates or durations now; give it as in training"
        )
    # a list, since a column of Arrow's would write out a long text once for each row that has it
    return [str(value) for value in series.astype(object).where(series.notna(), "")]


def finite(values: NDArray[np.float64]) -> bool:
    """Whether it is sure that no value is NaN or infinite; a quick look, which most tables pass."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()))
