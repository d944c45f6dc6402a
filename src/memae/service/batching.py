"""Dynamic batching: requests that arrive at the same time are scored together.

A model has one worker thread, which repeatedly scores all waiting requests as one batch. So no request waits while the
worker is idle, and batches grow with the load. `Scorer.batched` always computes the same number of samples, so a score
does not depend on the other samples of its batch.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Generic, Protocol, TypeVar

S = TypeVar("S")
R = TypeVar("R")
T = TypeVar("T")


class Desk(Protocol):
    """Where a model gets its work done, in one thread; see `Worker`."""

    def __len__(self) -> int:
        """Requests that wait."""

    def score(self, samples: Any, size: int) -> "Future[Any]":
        """Scores samples."""

    def call(self, work: Callable[[], T]) -> "Future[T]":
        """Calls `work`."""

    def close(self) -> None:
        """Ends it."""


@dataclass(frozen=True)
class _Samples(Generic[S]):
    samples: S
    size: int
    done: "Future[Any]"


@dataclass(frozen=True)
class _Task:
    work: Callable[[], Any]
    done: "Future[Any]"


class Worker(Generic[S, R]):
    """The single thread in which a model computes.

    Args:
        name: name of the thread.
        score: scores the samples of several requests, and returns the result of each.
        most: maximum number of samples per batch; the samples of one request are never split.
        observe: called with the size of each batch.
    """

    def __init__(
        self, name: str, score: Callable[[list[S]], list[R]], most: int, observe: Callable[[float], None]
    ) -> None:
        self._score = score
        self._most = most
        self._observe = observe
        self._asked: SimpleQueue[_Samples[S] | _Task | None] = SimpleQueue()
        self._held: list[_Samples[S] | _Task | None] = []  # at most one: what did not fit into the last batch
        self._thread = Thread(target=self._work, name=f"memae {name}", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Requests that wait for the thread."""
        return self._asked.qsize() + len(self._held)

    def score(self, samples: S, size: int) -> "Future[R]":
        """Scores samples in a batch with others; while they wait, the future can be cancelled."""
        done: Future[R] = Future()
        self._asked.put(_Samples(samples, size, done))
        return done

    def call(self, work: Callable[[], T]) -> "Future[T]":
        """Calls `work` in the thread."""
        done: Future[T] = Future()
        self._asked.put(_Task(work, done))
        return done

    def close(self) -> None:
        """Ends the thread after its pending work."""
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._held.pop() if self._held else self._asked.get()) is not None:
            if isinstance(first, _Samples):
                self._answer([each for each in self._with_others(first) if each.done.set_running_or_notify_cancel()])
            elif first.done.set_running_or_notify_cancel():
                _settle(first)
            del first  # frees its samples while the next are awaited

    def _with_others(self, first: _Samples[S]) -> list[_Samples[S]]:
        """A batch of `first` and the requests that wait behind it, in order, as many as fit."""
        batch, size = [first], first.size
        while size < self._most:
            try:
                following = self._asked.get_nowait()
            except Empty:
                break
            if not isinstance(following, _Samples) or size + following.size > self._most:
                self._held.append(following)
                break
            batch.append(following)
            size += following.size
        return batch

    def _answer(self, batch: list[_Samples[S]]) -> None:
        """Scores a batch; one that fails is halved repeatedly, so that only the requests at fault fail."""
        if not batch:
            return
        self._observe(sum(each.size for each in batch))
        try:
            results = self._score([each.samples for each in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0].done.set_exception(error)
                return
            middle = len(batch) // 2
            self._answer(batch[:middle])
            self._answer(batch[middle:])
            return
        for each, result in zip(batch, results, strict=True):
            each.done.set_result(result)


def _settle(task: _Task) -> None:
    try:
        task.done.set_result(task.work())
    except Exception as error:
        task.done.set_exception(error)
