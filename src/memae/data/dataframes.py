"""DataFrames of any library → pandas, through Arrow."""

from typing import Any

import pandas as pd

from memae.errors import InputError


def as_pandas(X: Any) -> Any:
    """A DataFrame of polars, Arrow or another library that hands out Arrow data as one of pandas; else X unchanged.

    Arrow's PyCapsule interface (`__arrow_c_stream__`) is what these libraries have in common. Columns of pandas that
    Arrow holds are converted to types of NumPy too.

    Raises:
        InputError: X is a lazy frame.

    Example:
        >>> import pyarrow
        >>> as_pandas(pyarrow.table({"a": [1, None]}))["a"].tolist()
        [1.0, nan]
    """
    if isinstance(X, pd.DataFrame):
        return _without_arrow(X)
    if hasattr(X, "__arrow_c_stream__"):
        import pyarrow as pa  # noqa: PLC0415 (only DataFrames of others need it)

        return pa.table(X).to_pandas()
    if hasattr(X, "collect") and hasattr(X, "lazy"):
        raise InputError(f"X is a {type(X).__name__}, which has not been computed; give X.collect()")
    return X


def _without_arrow(frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose columns of type `pandas.ArrowDtype` have other types."""
    held = [index for index, dtype in enumerate(frame.dtypes) if isinstance(dtype, pd.ArrowDtype)]
    if not held:
        return frame
    import pyarrow as pa  # noqa: PLC0415

    converted = frame.copy(deep=False)
    for index in held:
        values = pa.array(frame.iloc[:, index]).to_pandas()
        converted.isetitem(index, values.set_axis(frame.index))
    return converted
