"""Scored samples as a table: the columns that name a sample, then score, p_value, is_anomaly."""

import os
from pathlib import Path

import pandas as pd

from memae.kinds.kind import Scored


def rows_of(part: Scored) -> pd.DataFrame:
    """One row for each sample."""
    named = {name: [*map(text_of, column)] if name == "path" else column for name, column in part.names.items()}
    judged = part.judged._replace(is_anomaly=part.judged.is_anomaly.int())
    return pd.DataFrame(named | {name: column.numpy() for name, column in judged._asdict().items()})


def text_of(path: Path) -> str:
    """A path as text; bytes that are not UTF-8, which file systems allow, are replaced."""
    return os.fsencode(path).decode(errors="replace")
