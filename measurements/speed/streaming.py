"""Parquet files larger than memory: peak of the resident memory and time of fit and score, by the number of rows."""

import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recording.records import figure

ROWS = tuple(int(float(each) * 1_000_000) for each in os.environ.get("MEMAE_MILLIONS", "1 4 16").split())
COLUMNS = 120
GROUP = 100_000


def measure() -> dict[str, Any]:
    """Each command in a process of its own, on one core."""
    cases: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for rows in ROWS:
            source, model, scores = (Path(folder) / name for name in ("t.parquet", "m.memae", "s.parquet"))
            write(source, rows)
            fit = ["fit", "table", str(source), "-o", str(model), "--epochs", "1", "--warmup", "0"]
            for name, words in (("fit", fit), ("score", ["score", str(model), str(source), "-o", str(scores)])):
                seconds, peak = watched([str(Path(sys.executable).with_name("memae")), *words])
                cases.append({"rows": rows, "command": name, "seconds": round(seconds, 1), "peak_gib": round(peak, 3)})
                sys.stderr.write(f"{cases[-1]}\n")
    figures = {}
    most = [case for case in cases if case["rows"] == ROWS[-1]]
    if ROWS[-1] == 16_000_000:
        figures["speed/parquet_16m/peak_rss_gib"] = figure(max(case["peak_gib"] for case in most))
        figures["speed/parquet/time_exponent"] = figure(max(exponent(cases, name) for name in ("fit", "score")))
    return {"figures": figures, "columns": COLUMNS, "cases": cases}


def exponent(cases: list[dict[str, Any]], command: str) -> float:
    """Slope of the logarithm of the time over that of the rows, least squares."""
    own = [case for case in cases if case["command"] == command]
    rows, seconds = ([math.log(case[name]) for case in own] for name in ("rows", "seconds"))
    return float(np.polyfit(rows, seconds, 1)[0])


def write(path: Path, rows: int) -> None:
    """A table of float32 with a few factors behind its columns."""
    random = np.random.default_rng(0)
    mix = random.normal(size=(8, COLUMNS)).astype(np.float32)
    schema = pa.schema([(f"c{column}", pa.float32()) for column in range(COLUMNS)])
    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for start in range(0, rows, GROUP):
            size = min(GROUP, rows - start)
            block = random.standard_normal((size, 8), dtype=np.float32) @ mix
            writer.write_table(pa.table(list(block.T), schema=schema))


def watched(command: list[str]) -> tuple[float, float]:
    """CPU seconds and peak GiB of a process: other work on the machine adds nothing to them."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {status} after {time.perf_counter() - began:.0f} s")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20
