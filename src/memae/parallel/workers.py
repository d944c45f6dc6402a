"""Tasks in processes of this machine; what a dead process was doing is tried again in a fresh one."""

import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, NamedTuple, TypeVar

from memae.errors import MemaeError, MemaeWarning, sentence

T = TypeVar("T")
R = TypeVar("R")

TRIES = 3
"""How often a task is tried whose process dies, as for lack of memory."""
_SPAWN = get_context("spawn")


class Done(NamedTuple, Generic[T, R]):
    """A task that was done, or could not be."""

    task: T
    result: R | None
    error: str | None  # a sentence
    warnings: tuple[tuple[type[Warning], str], ...] = ()  # each once


def done(function: Callable[[T], R], tasks: Iterable[T], workers: int = 1) -> Iterator[Done[T, R]]:
    """The results of `function` for all tasks, in the order in which they are ready.

    An error of one task does not stop the others; what a task warns of comes with its result.

    Args:
        function: can be pickled, as what it returns; with more than one worker it is sent once to each process.
        tasks: taken one by one, when a worker is free.
        workers: number of processes, each with one thread; 1 for this process itself.
    """
    return map(_Call(function), tasks) if workers == 1 else _spread(function, tasks, workers)


@dataclass(frozen=True)
class _Call(Generic[T, R]):
    """Calls a function, and catches what it raises and warns of."""

    function: Callable[[T], R]

    def __call__(self, task: T) -> Done[T, R]:
        result: R | None = None
        error: str | None = None
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("default")
            warnings.simplefilter("always", MemaeWarning)
            try:
                result = self.function(task)
            except MemaeError as raised:
                error = sentence(raised)
            except Exception as raised:  # one file must not stop a thousand others
                error = f"{type(raised).__name__}: {raised}"
        return Done(task, result, error, tuple({(each.category, str(each.message)): None for each in told}))


class _Worker(NamedTuple):
    """A process, and what it does."""

    process: Any
    task: Any
    tried: int


def _spread(function: Callable[[T], R], tasks: Iterable[T], workers: int) -> Iterator[Done[T, R]]:
    waiting, again = iter(tasks), deque[tuple[T, int]]()
    busy: dict[Connection, _Worker] = {}

    def following() -> tuple[T, int] | None:
        """The next task, and how often it was tried."""
        return again.popleft() if again else next(((task, 0) for task in waiting), None)

    try:
        while True:
            while len(busy) < workers and (task := following()) is not None:
                _start(function, busy, *task)
            if not busy:
                return
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)  # noqa: S101 (only these were given)
                worker = busy.pop(pipe)
                try:
                    found = pipe.recv()
                except (EOFError, OSError):
                    if worker.tried + 1 < TRIES:
                        again.append((worker.task, worker.tried + 1))
                    else:
                        yield Done(worker.task, None, _died(worker))
                    continue
                task = following()
                if task is None or not _given(pipe, task[0]):
                    pipe.close()
                    again.extend([] if task is None else [task])
                    worker.process.join()
                else:
                    busy[pipe] = _Worker(worker.process, *task)
                yield found
    finally:
        for worker in busy.values():
            worker.process.terminate()
            worker.process.join()


def _start(function: Callable[[T], R], busy: dict[Connection, _Worker], task: T, tried: int) -> None:
    """Starts a process with its first task."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(theirs, function), daemon=True)
    with _one_thread():
        process.start()
    theirs.close()  # so that its end is ours when the process ends
    _given(ours, task)  # a process that is dead already is found by `wait`
    busy[ours] = _Worker(process, task, tried)


def _given(pipe: Connection, task: object) -> bool:
    """Gives a process a task; False if it is dead."""
    try:
        pipe.send(task)
    except OSError:
        return False
    return True


def _serve(pipe: Connection, function: Callable[[Any], Any]) -> None:
    """What a process does, until the other end of its pipe is closed, or its process dead."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that has started this one ends it
    call = _Call(function)
    while True:
        try:
            pipe.send(call(pipe.recv()))
        except (EOFError, BrokenPipeError):
            return


def _died(worker: _Worker) -> str:
    worker.process.join()
    code = worker.process.exitcode
    how = f"was killed by signal {-code}, as for lack of memory" if code < 0 else f"ended with code {code}"
    return f"the process {how}, {TRIES} times; give fewer --workers, or a smaller file"


@contextmanager
def _one_thread() -> Iterator[None]:
    """Lets processes that are started compute with one thread, also in libraries that are not torch."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before
