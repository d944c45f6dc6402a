"""Tasks in processes: what dies is tried again, errors stop nothing, warnings come back. And the number of threads."""

import os
import time
from pathlib import Path

import pytest
import torch
from tests.dying import Work

from memae.estimators.devices import quota, threads
from memae.parallel.workers import TRIES, done


@pytest.mark.parametrize("deaths", [1, TRIES - 1])
def test_a_dead_process_loses_and_doubles_nothing(tmp_path, deaths):
    found = list(done(Work(tmp_path, deaths), range(8), workers=2))
    assert sorted(each.task for each in found) == list(range(8))
    assert {each.task: each.result for each in found if each.error is None} == {n: n * n for n in range(8) if n != 5}
    assert [each.error for each in found if each.error] == ["number 5 is cut"]
    assert [text for each in found for _, text in each.warnings] == ["6 is odd"]
    pids = {path.name.split("-")[2] for path in tmp_path.glob("died-*")}
    assert len(pids) == deaths, "each try is in a fresh process"


def test_a_task_that_always_dies_is_an_error_and_the_others_are_done(tmp_path):
    found = {each.task: each for each in done(Work(tmp_path, 99), range(5), workers=2)}
    assert len(found) == 5
    assert "killed by signal 9" in found[3].error
    assert [found[n].result for n in (0, 1, 2, 4)] == [0, 1, 4, 16]
    assert len(list(tmp_path.glob("died-*"))) == TRIES


def test_workers_end_when_nobody_wants_their_results(tmp_path):
    results = done(Work(tmp_path, 0), iter(range(100)), workers=2)
    next(results)
    results.close()
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    until = time.monotonic() + 10
    while children.exists() and _workers(children) and time.monotonic() < until:
        time.sleep(0.05)
    assert not (children.exists() and _workers(children))


def _workers(children: Path) -> list[str]:
    """Processes of multiprocessing, but for the one that tracks its resources."""
    lines = (Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in children.read_text().split())
    return [line for line in lines if "spawn_main" in line]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, float("inf")),
        ({}, float("inf")),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 1.5),
        (
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
            float("inf"),
        ),
        (
            {
                "proc/self/cgroup": "0::/user/job\n",
                "sys/fs/cgroup/user/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/user/job/cpu.max": "max 100000\n",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/job\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
            },
            3.0,
        ),
    ],
)
def test_the_quota_of_a_container_counts(tmp_path, files, cores):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert quota(tmp_path) == cores


def test_threads_are_the_least_of_torch_quota_and_affinity(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert threads(tmp_path) == 4
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    for text, expected in (("300000 100000", 3), ("50000 100000", 1), ("900000 100000", 4)):
        (tmp_path / "sys/fs/cgroup/cpu.max").write_text(text)
        assert threads(tmp_path) == expected
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert threads(tmp_path) == 2
