"""Many trainings at once: a process a core, a JSON file a run, and nothing done twice."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import records


@dataclass(frozen=True)
class Job:
    """One run: `function(**arguments)` gives what was measured, as JSON-ready data.

    Args:
        name: of its file below `benchmarks/results/runs`, without the ending: "table1/mnist/memae/3-0".
        function: at the top of a module, for it runs in another process.
        arguments: JSON-ready; a run recorded with others is done again.
        resumes: whether the function also takes `checkpoint`, a path of its own from which it goes on when it was
            broken off; the file is deleted when the job is done.
    """

    name: str
    function: Callable[..., dict[str, Any]]
    arguments: dict[str, Any] = field(default_factory=dict)
    resumes: bool = False

    @property
    def path(self) -> Path:
        """Where the record lies."""
        return records.RESULTS / "runs" / f"{self.name}.json"

    def record(self) -> dict[str, Any] | None:
        """What was recorded with these arguments, if it was."""
        found = records.read(self.path)
        return found if found and found["arguments"] == json.loads(json.dumps(self.arguments)) else None


def add_arguments(parser: argparse.ArgumentParser, page: str) -> None:
    """The options of every command that runs jobs and renders what they recorded to `page`."""
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, a core each")
    parser.add_argument("--render", action="store_true", help=f"run nothing, only write {page} once more")


def run(jobs: Iterable[Job], workers: int = 2) -> list[dict[str, Any]]:
    """The records of all jobs, in their order; those that are not there yet are run, `workers` at a time.

    A job that fails does not stop the others; a run that is broken off goes on where it was.

    Raises:
        SystemExit: jobs have failed.
    """
    jobs = list(jobs)
    missing = [job for job in jobs if job.record() is None]
    if missing:
        sys.stderr.write(f"{len(jobs) - len(missing)} of {len(jobs)} runs are recorded, {len(missing)} to go\n")
    failed = []
    with ProcessPoolExecutor(min(workers, len(missing)) or 1, get_context("spawn"), _one_core) as pool:
        waiting = {pool.submit(_done, job): job for job in missing}
        for count, future in enumerate(as_completed(waiting), 1):
            job = waiting[future]
            error = future.exception()
            if error is not None:
                failed.append(f"{job.name}: {type(error).__name__}: {error}")
            told = failed[-1] if error is not None else f"{job.name}: {future.result():.0f} s"
            sys.stderr.write(f"[{count}/{len(missing)}] {told}\n")
    if failed:
        raise SystemExit("\n".join([f"{len(failed)} of {len(missing)} runs failed:", *failed]))
    return [record for job in jobs if (record := job.record()) is not None]


def _one_core() -> None:
    """So many processes as cores, and a thread each: small trainings lose more to two threads than they gain."""
    import torch  # noqa: PLC0415 (only the processes that train need it)

    torch.set_num_threads(1)


def _done(job: Job) -> float:
    """Runs a job, writes its record, and gives the seconds it took."""
    began, cpu = time.perf_counter(), time.process_time()
    checkpoint = job.path.with_suffix(".checkpoint")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    found = job.function(**job.arguments, **({"checkpoint": checkpoint} if job.resumes else {}))
    seconds = time.perf_counter() - began
    took = {"seconds": round(seconds, 2), "cpu_seconds": round(time.process_time() - cpu, 2)}
    provenance = records.provenance(int(job.arguments.get("seed", 0)))
    records.write(job.path, {"arguments": job.arguments, "provenance": provenance, **took, **found})
    checkpoint.unlink(missing_ok=True)
    return seconds
