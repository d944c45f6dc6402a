"""Two checkouts do the same tasks in turn, and their CPU seconds are compared."""

from pathlib import Path

import pytest

from measurements.against import Checkout, compared
from memae.errors import SourceError


class Scripted:
    """A checkout whose seconds follow a script."""

    def __init__(self, seconds):
        self.tasks = ["a", "b"]
        self.asked = []
        self._seconds = seconds

    def seconds(self, task, times=1):
        self.asked.append((task, times))
        return self._seconds * len(self.asked)


def test_the_first_round_does_not_count_and_tasks_go_in_turn():
    here, there = Scripted(1.0), Scripted(2.0)
    found = compared(here, there, 3)  # type: ignore[arg-type]
    assert here.asked == there.asked == [("a", 1)] * 4 + [("b", 1)] * 4
    ours, theirs = found["a"]
    assert ours.samples == (2.0, 3.0, 4.0)
    assert theirs.samples == (4.0, 6.0, 8.0)


def test_a_short_task_is_done_several_times_a_round():
    here, there = Scripted(0.01), Scripted(0.02)
    compared(here, there, 1)  # type: ignore[arg-type]
    assert here.asked[:2] == there.asked[:2] == [("a", 1), ("a", 40)]


def test_a_folder_without_memae_is_refused(tmp_path: Path):
    with pytest.raises(SourceError, match=r"holds no src/memae; give the root of a checkout"):
        Checkout(tmp_path)


def test_a_worker_that_cannot_begin_is_told_of(tmp_path: Path):
    package = tmp_path / "src" / "memae"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('broken')\n")
    with pytest.raises(SourceError, match="the worker ended"):
        Checkout(tmp_path)
