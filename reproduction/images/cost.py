"""What a call costs: CPU seconds, and the highest memory of the process meanwhile."""

import resource
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Cost(NamedTuple, Generic[T]):
    """A result, and what it cost."""

    result: T
    cpu_seconds: float  # of all threads of the process
    peak_mib: float  # highest resident memory of the process, with all that was there before


def measured(call: Callable[[], T]) -> Cost[T]:
    """Calls, and measures.

    On Linux the highest memory is that since the call began, elsewhere since the process began.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # sets the highest to the present memory
    began = time.process_time()
    result = call()
    return Cost(result, time.process_time() - began, _peak())


def _peak() -> float:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
    return found[0] if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
