"""This checkout against another one, task by task, in one interleaved run: `python -m measurements against OTHER`.

Two processes, one a checkout, do the same tasks in turn, so that a slow minute of the machine hits both; the ratio is
that of the least CPU seconds of each.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from measurements.timing import Timing, ratio
from memae.errors import SourceError
from recording import records

ROUNDS = 9
LEAST = 0.4
WORKER = Path(__file__).with_name("against_worker.py")


class Checkout:
    """A process that does tasks with the memae of one checkout.

    Args:
        root: of the checkout.

    Raises:
        SourceError: it holds no memae, or its worker ends before it has begun.
    """

    def __init__(self, root: Path) -> None:
        source = (root / "src").resolve()
        if not (source / "memae" / "__init__.py").is_file():
            raise SourceError(f"{root} holds no src/memae; give the root of a checkout, for instance of `git worktree`")
        environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(WORKER)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process: subprocess.Popen[str] = subprocess.Popen(command, env=environment, cwd=root, **pipes)  # noqa: S603 (our own file)
        self.tasks = self._answer().split()
        if not self.tasks:
            self.close()
            raise SourceError(f"the worker ended in {root}; its error stands above")

    def seconds(self, task: str, times: int = 1) -> float:
        """CPU seconds of a task that is done so many times."""
        assert self._process.stdin is not None  # noqa: S101 (a pipe)
        self._process.stdin.write(f"{task} {times}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 (a pipe)
        return self._process.stdout.readline()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument(
        "other", type=Path, help="root of the other checkout, for instance of `git worktree add OTHER COMMIT`"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"times each task is done; by default {ROUNDS}")
    parser.add_argument("--record", action="store_true", help="keep the ratios in benchmarks/results/against.json")


def main(arguments: argparse.Namespace) -> None:
    """Prints the ratio of each task: above 1 where this checkout takes longer."""
    here, there = Checkout(records.ROOT), Checkout(arguments.other)
    seconds = compared(here, there, arguments.rounds)
    here.close()
    there.close()
    ratios = {task: ratio(*both) for task, both in seconds.items()}
    for task, each in ratios.items():
        sys.stdout.write(f"{task:20} {each['value']:.3f} ± {each['std']:.3f}\n")
    if arguments.record:
        commit = records.commit(arguments.other)
        figures = {f"against/{commit}/{task}": each for task, each in ratios.items()}
        records.save("against", commit, {"figures": figures}, command=f"python -m measurements against {commit}")


def compared(here: Checkout, there: Checkout, rounds: int) -> dict[str, tuple[Timing, Timing]]:
    """CPU seconds of each task in both checkouts, round by round, after one that does not count.

    A short task is done several times a round, so that it takes `LEAST` seconds.
    """
    found: dict[str, tuple[Timing, Timing]] = {}
    for task in here.tasks:
        first = min(here.seconds(task), there.seconds(task))
        times = max(round(LEAST / max(first, 1e-3)), 1)
        both = [(here.seconds(task, times), there.seconds(task, times)) for _ in range(rounds)]
        ours, theirs = zip(*both, strict=True)
        found[task] = Timing(ours), Timing(theirs)
    return found
