"""Runs many trainings in parallel: one process per core, one JSON file per run, and no run twice."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from recording import pictures, records


@dataclass(frozen=True)
class Job:
    """One run: `function(**arguments)` returns the measurements.

    These are JSON-ready data, and pictures as arrays of grey levels (n, h, w), saved as PNG files beside the record.

    Args:
        name: name of its file below `benchmarks/results/runs`, without the ending: "table1/mnist/memae/3-0".
        function: a function at the top level of a module, since it runs in another process.
        arguments: JSON-ready; a run recorded with other arguments is repeated.
        resumes: whether the function also takes `checkpoint`, a path for it to resume from if it was interrupted; the
            file is deleted when the job is done.
    """

    name: str
    function: Callable[..., dict[str, Any]]
    arguments: dict[str, Any] = field(default_factory=dict)
    resumes: bool = False

    @property
    def path(self) -> Path:
        """Path of the record."""
        return records.RESULTS / "runs" / f"{self.name}.json"

    def record(self) -> dict[str, Any] | None:
        """The record made with these arguments, if any; it has the number of pictures, not the pictures."""
        found = records.read(self.path)
        return found if found and found["arguments"] == json.loads(json.dumps(self.arguments)) else None


def run(jobs: Iterable[Job], workers: int = 2, until: float | None = None) -> list[dict[str, Any]]:
    """The records of all jobs, in order; jobs without a record are run, `workers` at a time.

    A job that fails does not stop the others; an interrupted run is resumed.

    Args:
        jobs: to run, those first that come first.
        workers: number of runs at a time.
        until: time, as of `time.time()`, after which no job begins; None for no end.

    Raises:
        SystemExit: a job has failed.
    """
    jobs = list(jobs)
    missing = [job for job in jobs if job.record() is None]
    if missing:
        sys.stderr.write(f"{len(jobs) - len(missing)} of {len(jobs)} runs are recorded, {len(missing)} to go\n")
    failed = []
    with ProcessPoolExecutor(min(workers, len(missing)) or 1, get_context("spawn"), _one_core) as pool:
        waiting = {pool.submit(_done, job, until): job for job in missing}
        for count, future in enumerate(as_completed(waiting), 1):
            job = waiting[future]
            error = future.exception()
            if error is not None:
                failed.append(f"{job.name}: {type(error).__name__}: {error}")
            if error is None and future.result() is None:
                continue  # the time was up
            line = failed[-1] if error is not None else f"{job.name}: {future.result():.0f} s"
            sys.stderr.write(f"[{count}/{len(missing)}] {line}\n")
    if failed:
        raise SystemExit("\n".join([f"{len(failed)} of {len(missing)} runs failed:", *failed]))
    return [record for job in jobs if (record := job.record()) is not None]


def _one_core() -> None:
    """Limits a process to one thread: one process per core is faster overall than one process with many threads."""
    import torch  # noqa: PLC0415 (only the processes that train need it)

    torch.set_num_threads(1)


def _done(job: Job, until: float | None = None) -> float | None:
    """Runs a job, writes its record, and returns the seconds it took; None, without running it, if the time is up."""
    if until is not None and time.time() >= until:
        return None
    began, cpu = time.perf_counter(), time.process_time()
    checkpoint = job.path.with_suffix(".checkpoint")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    found = job.function(**job.arguments, **({"checkpoint": checkpoint} if job.resumes else {}))
    seconds = time.perf_counter() - began
    took = {"seconds": round(seconds, 2), "cpu_seconds": round(time.process_time() - cpu, 2)}
    provenance = records.provenance(int(job.arguments.get("seed", 0)))
    shown = {name: each for name, each in found.items() if isinstance(each, np.ndarray)}
    rest = {name: each for name, each in found.items() if name not in shown}
    counts = {"pictures": pictures.write(job.path, shown)} if shown else {}
    records.write_run(job.path, {"arguments": job.arguments, "provenance": provenance, **took, **counts, **rest})
    checkpoint.unlink(missing_ok=True)
    return seconds
