"""The process in which inputs are tried, under limits; it records the current input, in case it dies."""

import json
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from fuzz.formats import Format
from memae.errors import MemaeWarning

SECONDS = 10
"""Maximum processor time of an input."""
WAITING = 300
"""Maximum wall-clock time of an input in seconds: long, since the machine may be busy, but it catches deadlocks."""
MEMORY = 2 * 2**30
"""Maximum address space of an input in bytes, beyond that of the warmed-up process."""
WRITTEN = 2**28
"""Maximum size of a written file in bytes. It is large, since `score --keep` rightly expands compressed files."""


@dataclass(frozen=True)
class Failure:
    """An input that failed."""

    number: int
    kind: str  # the error's class, "memory", "warning", "stderr"; or how the process died
    told: str  # the message


@dataclass(frozen=True)
class Tally:
    """Statistics of the inputs that a process has tried."""

    inputs: int
    taken: int  # inputs that at least one surface accepted
    seconds: float  # processor time
    slowest: float  # processor time of the slowest input
    peak_mib: float  # beyond that of the warmed-up process


def run(format: Format, seed: int, numbers: range, folder: Path) -> None:  # noqa: A002 (its name)
    """Tries inputs; writes the number of each to `folder`/now before trying it, and records failures and the tally."""
    began = time.process_time()
    warm = _warmed(format)
    inputs = accepted = 0
    slowest = 0.0
    with (folder / "now").open("r+b", buffering=0) as now, (folder / "failures").open("a") as failures:
        for number in numbers:
            data = format.input(seed, number)
            now.seek(0)
            now.write(b"%20d" % number)
            start = time.process_time()
            with _timed():
                took, failure = tried(format, data, number)
            slowest = max(slowest, time.process_time() - start)
            inputs, accepted = inputs + 1, accepted + (took > 0)
            if failure is not None:
                failures.write(json.dumps(asdict(failure)) + "\n")
                failures.flush()
    tally = Tally(inputs, accepted, time.process_time() - began, slowest, _peak() - warm)
    (folder / "tally").write_text(json.dumps(asdict(tally)))


def tried(format: Format, data: bytes, number: int = 0) -> tuple[int, Failure | None]:  # noqa: A002
    """The number of surfaces that accepted an input, and its failure, if any."""
    before = os.fstat(2).st_size
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "X has feature names, but")  # scikit-learn's own advice, which is right
        try:
            took = format.target(data)
        except MemoryError as error:
            return 0, Failure(number, "memory", f"{error} {_where(error)}")
        except Exception as error:
            return 0, Failure(number, type(error).__name__, f"{' '.join(str(error).split())[:300]} {_where(error)}")
    foreign = [each for each in warned if not issubclass(each.category, MemaeWarning)]
    if foreign:
        return took, Failure(number, "warning", f"{foreign[0].category.__name__}: {foreign[0].message}")
    noise = [line for line in _written(before) if not line.startswith("memae: ")]
    return took, Failure(number, "stderr", noise[0][:300]) if noise else None


def _written(before: int) -> list[str]:
    """The lines added to the file that stderr is redirected to, from the offset `before`."""
    added = os.fstat(2).st_size - before
    return os.pread(2, added, before).decode(errors="replace").splitlines() if added > 0 else []


def _where(error: BaseException) -> str:
    """The lines of memae in the traceback, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames if "memae" in frame.filename]
    return f"({' > '.join(ours[-4:])}; in {Path(frames[-1].filename).name}:{frames[-1].lineno})"


def _warmed(format: Format) -> float:  # noqa: A002
    """Warms up the process, then limits its memory; gives the peak memory so far, in MiB."""
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (until the process ends)
    format.bombs()
    for data in format.seeds():
        tried(format, data)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WRITTEN, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return _peak()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _timed() -> Iterator[None]:
    """Lets the system kill this process, even inside native code, if an input takes too long."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
