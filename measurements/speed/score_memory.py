"""Peak memory of `memae score` on a table of 200,000 rows × 20 columns, with 10,000 kept rows."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from measurements.speed.rows import COLUMNS, FITTED, rows
from memae import TabularMemAE
from recording.records import figure

SCORED = 200_000


def measure() -> dict[str, Any]:
    """Megabytes (10⁶ bytes) for each format and for a single row, whose peak is that of the libraries alone."""
    names = [f"c{column}" for column in range(COLUMNS)]
    table = pd.DataFrame(rows(SCORED, 2), columns=names)
    with tempfile.TemporaryDirectory() as folder:
        model, parquet, csv, single = (Path(folder) / name for name in ("m.memae", "t.parquet", "t.csv", "one.csv"))
        TabularMemAE(random_state=0).fit(pd.DataFrame(rows(FITTED, 1), columns=names)).save(model)
        table.to_parquet(parquet, row_group_size=SCORED)  # one group, the hardest to read in parts
        table.to_csv(csv, index=False)
        table[:1].to_csv(single, index=False)
        cases = {
            "Parquet to CSV": peak(model, parquet, "-o", str(Path(folder) / "s.csv")),
            "Parquet to Parquet": peak(model, parquet, "-o", str(Path(folder) / "s.parquet")),
            "Parquet to JSON lines": peak(model, parquet, "-o", str(Path(folder) / "s.jsonl"), "--json"),
            "CSV to CSV": peak(model, csv, "-o", str(Path(folder) / "s.csv")),
            "a single row": peak(model, single),
        }
    return {
        "figures": {"speed/score_200k/peak_mb": figure(max(cases.values()))},
        "rows": {"scored": SCORED, "columns": COLUMNS, "fitted": FITTED},
        "peak_mb": cases,
    }


PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Run by a small process of its own: a child's peak counts what its parent held when it was started."""


def peak(model: Path, source: Path, *more: str) -> int:
    """Peak resident memory of the command, in 10⁶ bytes."""
    command = [str(Path(sys.executable).with_name("memae")), "score", str(model), str(source), *more]
    told = subprocess.run([sys.executable, "-c", PEAK, *command], check=True, capture_output=True, text=True)  # noqa: S603
    return round(int(told.stdout) * 1024 / 1e6)
