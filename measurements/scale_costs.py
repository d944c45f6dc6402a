"""A model of what scoring many files costs, which must predict a measured run before it is believed beyond.

CPU seconds take the place of time: other programs may hold the cores, but do not change them much. A run's length is
then the CPU seconds of its busiest process.
"""

import heapq
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memae.estimators import TabularMemAE
from memae.modelfile.artifact import dumped
from memae.parallel import Scoring
from memae.parallel.workers import done
from recording.records import figure

FILES, ROWS, REPEATS = 32, 1500, 3
COLUMNS = 16
BELIEVED = 0.1
"""Relative error of the prediction up to which the model is used beyond what was measured."""
TARGET = 1_000_000_000  # rows
CORES = (2, 64, 256, 1000)
TASK = 10.0  # seconds: the length of a file that docs/scale.md recommends


def length(tasks: Sequence[float], workers: int, start: float) -> float:
    """Seconds until all tasks are done: each in turn is given to the worker that is free first.

    Args:
        tasks: seconds of each, in the order in which they are given.
        workers: number of processes.
        start: seconds until a process takes its first task.

    Example:
        >>> length([3, 2, 2], workers=2, start=1)
        5
    """
    free = [start] * min(workers, len(tasks))
    for seconds in tasks:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free, default=0.0)


@dataclass(frozen=True)
class Timed:
    """Scores a file, and tells the process and its CPU seconds before and after."""

    score: Scoring

    def __call__(self, path: Path) -> tuple[int, float, float]:
        """Process, and its CPU seconds since it began, before and after."""
        before = time.process_time()
        self.score(pd.read_parquet(path))
        return os.getpid(), before, time.process_time()


def measured(folder: Path) -> dict[str, Any]:
    """Task and start measured with one process, the run of two predicted and measured, and the model beyond."""
    paths = _written(folder)
    timed = Timed(Scoring(dumped(TabularMemAE(random_state=0).fit(_rows(3000, 0)).to_artifact())))
    runs = [_run(timed, paths) for _ in range(REPEATS)]
    errors = [run["predicted"] / run["measured"] for run in runs]
    ratio = statistics.median(errors)
    found: dict[str, Any] = {
        "files": FILES,
        "rows_of_a_file": ROWS,
        "runs": [{name: value for name, value in run.items() if name != "tasks"} for run in runs],
        "believed": abs(ratio - 1) <= BELIEVED,
        "figures": {"scale/costs/predicted_over_measured": figure(ratio, statistics.stdev(errors), REPEATS)},
    }
    if found["believed"]:
        found["beyond"] = _beyond(runs)
    return found


def _run(timed: Timed, paths: list[Path]) -> dict[str, Any]:
    alone = [each.result for each in done(timed, paths[:1], workers=2) if each.result is not None]
    one = [each.result for each in done(timed, paths) if each.result is not None]
    tasks = [after - before for _, before, after in one]
    first = alone[0][2]  # the start, and a first task, in which much is loaded
    began = time.monotonic()
    two = [each.result for each in done(timed, paths, workers=2) if each.result is not None]
    wall = time.monotonic() - began
    last: dict[int, float] = defaultdict(float)
    for process, _, after in two:
        last[process] = max(last[process], after)
    start = first - statistics.median(tasks)
    return {
        "start": start,
        "tasks": tasks,
        "task": statistics.median(tasks),
        "predicted": length(tasks, 2, start),
        "measured": max(last.values()),
        "wall_seconds": wall,
        "load": os.getloadavg()[0],
    }


def _beyond(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """A thousand million rows, in files of ten seconds, with the spread of the tasks that were measured."""
    tasks = np.concatenate([run["tasks"] for run in runs])
    start = statistics.median(run["start"] for run in runs)
    seconds = TARGET * float(np.median(tasks)) / ROWS
    drawn = np.random.default_rng(0).choice(tasks / np.median(tasks), round(seconds / TASK)) * TASK
    whole = float(drawn.sum())
    return {
        "rows": TARGET,
        "core_hours": whole / 3600,
        "hours": {str(cores): length(drawn.tolist(), cores, start) / 3600 for cores in CORES},
        "efficiency": {str(cores): whole / cores / length(drawn.tolist(), cores, start) for cores in CORES},
    }


def _written(folder: Path) -> list[Path]:
    paths = [folder / f"{number:02d}.parquet" for number in range(FILES)]
    for number, path in enumerate(paths):
        _rows(ROWS, number + 1).to_parquet(path)
    return paths


def _rows(count: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, 5)) @ np.random.default_rng(0).normal(size=(5, COLUMNS))
    return pd.DataFrame(mixed + random.normal(0, 0.3, mixed.shape), columns=[f"n{index}" for index in range(COLUMNS)])
