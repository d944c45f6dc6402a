"""Distributes the inputs over processes of `fuzz`, watches how they end, and counts their results."""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import Any

from recording import records
from recording.records import figure

INPUTS = 100_000
TARGETS = {"fuzz/inputs": ("≥", INPUTS), "fuzz/failures": ("≤", 0)}
SHARES = {"images": 30, "csv": 20, "parquet": 20, "video": 10, "model_files": 20}
"""Percentage of inputs of each format; video takes longest."""
AT_ONCE = 5_000
"""Inputs per process, so that a library's memory leak does not add up to a failure."""
KEPT = records.ROOT / "fuzz" / "failures"
"""Where inputs that failed are kept; `python -m fuzz FORMAT FILE` tries them again."""
ENDS = {
    signal.SIGPROF: "hang",
    signal.SIGALRM: "hang",
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "crash",
    signal.SIGABRT: "crash",
    signal.SIGBUS: "crash",
    signal.SIGFPE: "crash",
    signal.SIGILL: "crash",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose the inputs."""
    parser.add_argument("--inputs", type=int, default=INPUTS, help="number of inputs over all formats")
    parser.add_argument("--seed", type=int, default=0, help="seed of the inputs")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes at a time, one core each")
    parser.add_argument("--only", nargs="+", metavar="FORMAT", help="try only these formats, without recording")


def measure(arguments: argparse.Namespace) -> None:
    """Tries the inputs, and records what was found of all formats."""
    found = run(arguments.inputs, arguments.seed, arguments.jobs, arguments.only)
    if not arguments.only:
        records.save("fuzz", "fuzz", found, arguments.seed)


@dataclass
class Found:
    """The results of one format."""

    inputs: int = 0
    taken: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    peak_mib: float = 0.0
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, other: "Found") -> None:
        """Counts what another process has found."""
        self.inputs += other.inputs
        self.taken += other.taken
        self.seconds += other.seconds
        self.slowest = max(self.slowest, other.slowest)
        self.peak_mib = max(self.peak_mib, other.peak_mib)
        self.failures += other.failures

    def record(self) -> dict[str, Any]:
        """As JSON-ready data; of failures of one kind, the first ten."""
        kinds = Counter(failure["kind"] for failure in self.failures)
        shown = [failure for kind in kinds for failure in [f for f in self.failures if f["kind"] == kind][:10]]
        return self.__dict__ | {"failures": shown, "kinds": dict(kinds)}


def run(inputs: int, seed: int, jobs: int, only: Sequence[str] | None = None) -> dict[str, Any]:
    """All formats, or some; failures are printed to stderr as they come, and their inputs kept."""
    shares = {name: share for name, share in SHARES.items() if not only or name in only}
    found = {name: Found() for name in shares}
    parts = [
        (name, range(start, min(start + AT_ONCE, count)))
        for name, share in shares.items()
        for count in [-(-inputs * share // sum(shares.values()))]
        for start in range(0, count, AT_ONCE)
    ]
    with ThreadPoolExecutor(jobs) as pool:
        for number, (name, ended) in enumerate(pool.map(lambda part: (part[0], _tried(seed, *part)), parts), 1):
            found[name].add(ended)
            outcome = f"{ended.inputs} inputs, {len(ended.failures)} failures, {ended.seconds:.0f} s"
            sys.stderr.write(f"[{number}/{len(parts)}] {name}: {outcome}\n")
            for failure in ended.failures:
                sys.stderr.write(f"  {failure['kind']}: {failure['told']}\n  {_kept(name, seed, failure['number'])}\n")
    return {
        "figures": {
            "fuzz/inputs": figure(sum(each.inputs for each in found.values())),
            "fuzz/failures": figure(sum(len(each.failures) for each in found.values())),
        },
        "formats": {name: each.record() for name, each in found.items()},
    }


def _tried(seed: int, name: str, numbers: range) -> Found:
    """Tries inputs of one format; when a process dies, another one continues with the next input."""
    found = Found()
    while numbers:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            end = _process(seed, name, numbers, folder)
            found.failures += map(json.loads, (folder / "failures").read_text().splitlines())
            if end == 0:
                found.add(Found(**json.loads((folder / "tally").read_text())))
                return found
            last = int((folder / "now").read_bytes() or numbers.start - 1)
            kind = ENDS.get(signal.Signals(-end)) if end < 0 else None
            if kind is None or last < numbers.start:
                noise = (folder / "stderr").read_text(errors="replace")[-2000:]
                raise SystemExit(f"the process that tries {name} ended with {end}:\n{noise}")
            found.failures.append({"number": last, "kind": kind, "told": signal.Signals(-end).name})
            found.inputs += last + 1 - numbers.start
            numbers = range(last + 1, numbers.stop)
    return found


def _process(seed: int, name: str, numbers: range, folder: Path) -> int:
    """Runs a process of `fuzz`; its exit code, negative for the signal of which it died."""
    (folder / "now").touch()
    (folder / "failures").touch()
    span = ["--numbers", str(numbers.start), str(numbers.stop)]
    command = [sys.executable, "-m", "fuzz", name, "--seed", str(seed), *span, "--folder", str(folder)]
    with (folder / "stderr").open("w+") as stderr:
        own = environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "TMPDIR": str(folder)}
        ended = subprocess.run(command, cwd=records.ROOT, env=own, stderr=stderr, check=False)  # noqa: S603
    return ended.returncode


def _kept(name: str, seed: int, number: int) -> Path:
    """The input of a failure, written to a file."""
    from fuzz.__main__ import FORMATS  # noqa: PLC0415 (only failures need it)

    path = KEPT / name / f"{seed}-{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(FORMATS[name].input(seed, number))
    return path
