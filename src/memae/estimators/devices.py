"""The device to train on, and the threads to compute with."""

import os
from pathlib import Path

import torch

from memae.errors import OptionError
from memae.group import Group, join, processes


def pick_device(name: str) -> torch.device:
    """The device called `name`; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        OptionError: the device is unknown, or not on this machine.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "mps" if available["mps"] else "cpu")
    if not available.get(name, False):
        usable = ", ".join(device for device, is_there in available.items() if is_there)
        raise OptionError(f"device {name!r} is not available here; use auto or one of: {usable}")
    return torch.device(name)


def together(*about: object) -> Group:
    """The processes that fit a detector together on CPUs.

    Args:
        about: data and settings, which must be the same in all of them.

    Raises:
        TrainingError: they differ, or a process cannot be reached.
    """
    group = join(torch.device("cpu"))
    group.agree(about)
    return group


def check_alone() -> None:
    """Refuses to fit a table by several processes.

    Raises:
        OptionError: this is one of several.
    """
    if processes() > 1:
        raise OptionError(
            f"a table is fitted by one process, and {processes()} were started: a step takes about 3 ms, as long "
            "as exchanging gradients. Start memae without torchrun; to fit many tables, fit one in each process, "
            "started without WORLD_SIZE in its environment"
        )


def threads(system: Path = Path("/")) -> int:
    """Number of threads to compute with: as many as torch would take, but no more than this process may run at once.

    More threads than cores wait for each other in loops: on a busy core, scoring takes many times as long.

    Args:
        system: root of the file system, which tells the quota of the process's control group (a container's limit).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(int(min(torch.get_num_threads(), cores, quota(system))), 1)


def use_threads() -> None:
    """Limits torch to `threads()` in this process."""
    torch.set_num_threads(threads())


def quota(system: Path = Path("/")) -> float:
    """Cores that the control groups of this process allow it, such as 0.5; infinite without a limit.

    A group's limit holds for the groups inside, so the least of all from the process's own upwards counts. Inside a
    container, its own group is often at the top of what can be seen.
    """
    limits = [float("inf")]
    for mount, group in _groups(system):
        inner = mount / group.lstrip("/")
        for folder in (inner, *inner.parents):
            if folder == mount.parent:
                break
            limits += _limits(folder)
    return min(limits)


def _groups(system: Path) -> list[tuple[Path, str]]:
    """Where control groups that limit processors are mounted, and the path of this process's group there."""
    mounts = system / "sys/fs/cgroup"
    found = [(mounts, "/"), (mounts / "cpu", "/")]
    for line in _read(system / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, group = rest.partition(":")
        if names == "":
            found.append((mounts, group))
        elif "cpu" in names.split(","):
            found.append((mounts / "cpu", group))
    return found


def _limits(folder: Path) -> list[float]:
    """The limit of one group in cores, of version 2 or 1 of control groups; empty if it has none."""
    allowed, _, period = _read(folder / "cpu.max").partition(" ")
    pairs = [(allowed, period), (_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))]
    return [
        int(runtime) / int(each)
        for runtime, each in pairs
        if runtime.strip().isdigit() and each.strip().isdigit() and int(each)
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
