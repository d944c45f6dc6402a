"""How long a user waits for `memae --help`, and a program for `import memae`."""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROUNDS = 15
COMMANDS = {
    "help": [str(Path(sys.executable).with_name("memae")), "--help"],
    "import": [sys.executable, "-c", "import memae"],
    "python alone": [sys.executable, "-c", "pass"],
}


def measure() -> dict[str, Any]:
    """Wall seconds of fresh processes, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603
            seconds[name].append(time.perf_counter() - began)
    shown = seconds["help"]
    value = {"value": statistics.median(shown), "std": statistics.stdev(shown), "n": ROUNDS}
    cases = {
        name: {"minimum_s": round(min(each), 4), "median_s": round(statistics.median(each), 4)}
        for name, each in seconds.items()
    }
    return {"figures": {"speed/help_seconds": value}, "cases": cases}
