"""Peak memory of `memae score` at 1 and 8 million rows: of a folder into a folder, and of a file with `--fdr`."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from memae.estimators import TabularMemAE
from recording.records import figure

MILLIONS = (1, 8)
FILE = 100_000
"""Rows of a file of the folder, and of a row group of the large file."""
COLUMNS = 8


class Spent(NamedTuple):
    """What a process has taken."""

    peak_mib: float
    cpu_seconds: float


def measured(folder: Path) -> dict[str, Any]:
    """Peaks, and those at 8 million rows over those at 1 million."""
    model = folder / "m.memae"
    _fitted().save(model)
    found: dict[str, dict[str, Spent]] = {"folder": {}, "fdr": {}}
    for millions in MILLIONS:
        source, table = folder / f"in-{millions}", folder / f"{millions}.parquet"
        _write(source, table, millions * 1_000_000)
        found["folder"][str(millions)] = _spent("score", model, source, "-o", folder / f"out-{millions}")
        found["fdr"][str(millions)] = _spent(
            "score", model, table, "-o", folder / f"scores-{millions}.parquet", "--fdr", 0.1
        )
    ratios = {name: each[str(MILLIONS[1])].peak_mib / each[str(MILLIONS[0])].peak_mib for name, each in found.items()}
    return {
        "million_rows": {name: {rows: spent._asdict() for rows, spent in each.items()} for name, each in found.items()},
        "figures": {f"scale/{name}/peak_memory_8m_over_1m": figure(ratio) for name, ratio in ratios.items()},
    }


def _fitted() -> TabularMemAE:
    """The paper's detector, which scores fast: memory does not depend on what is computed."""
    return TabularMemAE.paper(epochs=2, random_state=0).fit(_rows(5000, 0))


def _rows(count: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, 3)) @ np.random.default_rng(0).normal(size=(3, COLUMNS))
    return pd.DataFrame(mixed + random.normal(0, 0.3, mixed.shape), columns=[f"n{index}" for index in range(COLUMNS)])


def _write(source: Path, table: Path, count: int) -> None:
    """The same rows as a folder of files and as one file."""
    source.mkdir()
    writer = None
    for number in range(count // FILE):
        part = pa.Table.from_pandas(_rows(FILE, number + 1))
        pq.write_table(part, source / f"{number:03d}.parquet")
        writer = writer or pq.ParquetWriter(table, part.schema)
        writer.write_table(part)
    if writer is not None:
        writer.close()


def _spent(*words: object) -> Spent:
    """Runs memae in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from memae.cli import main; main()", *map(str, words)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603
    told = process.stderr.read() if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {told[-500:]}")
    return Spent(usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)
