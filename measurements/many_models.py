"""A thousand models: what it costs to fit one for each group, and to serve them all."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from safetensors.torch import load as tensors_of

import memae
from recording.records import figure

GROUPS, ROWS, COLUMNS = 1000, 400, 8
WARM = 2000
"""Requests to groups whose models are in memory."""

Found = dict[str, Any]


def table() -> pd.DataFrame:
    """Rows of all groups, mixed; each group has columns that depend on each other in its own way."""
    parts = []
    for number in range(GROUPS):
        random = np.random.default_rng(number)
        values = random.normal(size=(ROWS, 3)) @ random.normal(size=(3, COLUMNS)) + random.normal(
            0, 0.3, (ROWS, COLUMNS)
        )
        parts.append(
            pd.DataFrame(values, columns=[f"c{index}" for index in range(COLUMNS)]).assign(device=_name(number))
        )
    return pd.concat(parts).sample(frac=1, random_state=0)


def _name(number: int) -> str:
    return f"d{number:04d}"


def many(folder: Path) -> Found:
    """Fits a model for each group, with one worker and with two, and serves them."""
    rows, source = table(), folder / "all.parquet"
    rows.to_parquet(source)
    one, two = folder / "one.parquet", folder / "two.parquet"
    seconds = {workers: _fitted(source, path, workers) for workers, path in ((1, one), (2, two))}
    different = _different(memae.shelf(one), memae.shelf(two))
    served = _served(one, rows)
    figures = {
        "scale/groups/cpu_seconds_a_model": seconds[1] / GROUPS,
        "scale/groups/models_that_differ": different,
        **served.pop("figures"),
    }
    return {
        "groups": GROUPS,
        "rows": ROWS,
        "columns": COLUMNS,
        "mib": one.stat().st_size / 2**20,
        "cpu_seconds": seconds,  # of the command and its workers, their start included
        "figures": {name: figure(value) for name, value in figures.items()},
        **served,
    }


def _fitted(source: Path, output: Path, workers: int) -> float:
    """CPU seconds of the command and its workers."""
    before = os.times()
    subprocess.run(  # noqa: S603 (our own command)
        [_memae(), "fit", "table", source, "--by", "device", "-o", output, "--workers", str(workers)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _memae() -> str:
    return str(Path(sys.executable).with_name("memae"))


def _different(one: memae.Shelf, two: memae.Shelf) -> int:
    """Number of groups whose models have other tensors, or that one of the shelves lacks."""
    found = len(set(one) ^ set(two))
    for key in one.groups:
        a, b = (tensors_of(shelf.content(key)) for shelf in (one, two))
        found += a.keys() != b.keys() or any(not a[name].equal(b[name]) for name in a)
    return found


def _served(models: Path, rows: pd.DataFrame) -> Found:
    """Memory of the service, and the time of its answers to one client: each model once, then at random."""
    some: list[Any] = rows.groupby("device").head(1).sort_values("device").to_dict("records")
    with _serving(models) as service:
        cold = service.asked(some)
        held = service.memory
        random = np.random.default_rng(0)
        warm = service.asked([some[index] for index in random.integers(0, GROUPS, WARM)])
        most = service.memory
    return {
        "mib_after_all_were_asked": held,
        "median_ms": {"cold": float(np.median(cold)), "warm": float(np.median(warm))},
        "figures": {
            "scale/shelf/gib": most / 1024,
            "scale/shelf/p99_ms_cold": float(np.quantile(cold, 0.99)),
            "scale/shelf/p99_ms_warm": float(np.quantile(warm, 0.99)),
        },
    }


class _Service(NamedTuple):
    """`memae serve` in a process."""

    process: "subprocess.Popen[str]"
    port: int

    @property
    def memory(self) -> float:
        """The most that it has held so far, in MiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    def asked(self, rows: Sequence[dict[str, Any]]) -> list[float]:
        """Milliseconds from each request of one row to its answer, over one connection."""
        connection = http.client.HTTPConnection("localhost", self.port)
        taken = []
        for row in rows:
            body = json.dumps({"rows": [row]})
            began = time.perf_counter()
            connection.request("POST", "/score", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            taken.append((time.perf_counter() - began) * 1e3)
            if answer.status != 200:
                raise SystemExit(f"{row['device']}: {content.decode()}")
        return taken


@contextmanager
def _serving(models: Path) -> Iterator[_Service]:
    command = [_memae(), "serve", str(models), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 (our own command)
        assert process.stderr is not None  # noqa: S101 (asked for)
        line = process.stderr.readline()
        if " at http" not in line:
            raise SystemExit(f"{' '.join(command)}: {line}{process.stderr.read()}")
        try:
            yield _Service(process, int(line.split(" at http")[1].split(":")[2].split()[0]))
        finally:
            process.send_signal(signal.SIGTERM)


PARTS: dict[str, Callable[[Path], Found]] = {"many models": many}
WORDS = {
    "scale/groups/cpu_seconds_a_model": ("1,000 groups of 400 rows × 8 columns: CPU seconds a model", "≤ 0.1"),
    "scale/groups/models_that_differ": ("models that differ between one worker and two", "0"),
    "scale/shelf/gib": ("service with 1,000 models: memory, GiB", "≤ 1"),
    "scale/shelf/p99_ms_warm": ("99 % of the answers within, model in memory, ms", "≤ 50"),
    "scale/shelf/p99_ms_cold": ("99 % of the answers within, model not in memory, ms", "≤ 300"),
}
