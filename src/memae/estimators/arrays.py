"""Checks DataFrames and arrays by scikit-learn's rules."""

from typing import Any

import pandas as pd
from sklearn.utils.validation import validate_data

from memae.data.dataframes import as_pandas
from memae.data.tables import check_unique, frame_of_array, without
from memae.errors import InputError, SchemaError


def checked(detector: Any, X: Any, *, reset: bool) -> pd.DataFrame:
    """X as a table, checked against the training table by scikit-learn's rules.

    Args:
        detector: for tables.
        X: a DataFrame or an array.
        reset: whether X is the training table.

    Raises:
        InputError: X is no table, or empty.
        SchemaError: it differs from the training table.
    """
    if hasattr(X, "toarray"):
        raise InputError("Sparse data was passed, but dense data is required; use X.toarray()")
    X = as_pandas(X)
    named = isinstance(X, pd.DataFrame)
    frame = without(frame_of_array(X), detector.ignore if named else (), strict=reset)
    if named and not reset:
        gone = [each.name for each in detector.roles_.left_out]
        frame = without(frame, [*gone, *([detector.group] if detector.group else [])], strict=False)
    check_unique(frame)
    if not frame.shape[1]:
        least = f"0 feature(s) (shape={frame.shape}) while a minimum of 1 is required."
        raise InputError(f"the table has no columns; give at least one.\n{least}")
    try:
        validate_data(detector, frame if named else frame.to_numpy(), reset=reset, skip_check_array=True)
    except ValueError as error:  # our message, then scikit-learn's, which its users know
        array = f"the model was fitted on {detector.n_features_in_} columns, the array has {frame.shape[1]}"
        raise SchemaError(f"{detector.roles_.difference(frame) if named else array}.\n{error}") from error
    if not len(frame):
        least = f"Found array with 0 sample(s) (shape={frame.shape}) while a minimum of 1 is required."
        raise InputError(f"the table has no rows; give at least one.\n{least}")
    if not reset and not named and hasattr(detector, "feature_names_in_"):
        frame.columns = pd.Index(detector.roles_.names)
    return frame
