"""Reading ahead: a thread decodes the next items while the model computes."""

import atexit
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import NamedTuple, TypeVar

from memae.errors import OptionError

T = TypeVar("T")


class _Failed(NamedTuple):
    error: BaseException


class _Ended(NamedTuple):
    pass


def ahead(source: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The items of `source` in order; a thread prefetches up to `depth` of them.

    The thread starts when the first item is requested. It ends, and `source` is closed, when this iterator is
    exhausted, closed or dropped. An exception of `source` is raised here, after the items that came before it.

    Raises:
        OptionError: `depth` is below 1.

    Example:
        >>> list(ahead(range(3)))
        [0, 1, 2]
    """
    if depth < 1:
        raise OptionError(f"depth must be at least 1 item; got {depth}")
    return _ahead(source, depth)


def _ahead(source: Iterable[T], depth: int) -> Iterator[T]:
    room, stop = Semaphore(depth), Event()
    made: SimpleQueue[tuple[T] | _Failed | _Ended] = SimpleQueue()
    # A daemon: at exit, the interpreter waits for other threads before it runs `halt`.
    thread = Thread(target=_fill, args=(source, made, room, stop), name="memae read-ahead", daemon=True)

    def halt() -> None:
        stop.set()
        room.release()
        thread.join()

    atexit.register(halt)
    thread.start()
    try:
        while True:
            item = made.get()
            if isinstance(item, _Ended):
                return
            if isinstance(item, _Failed):
                raise item.error
            room.release()
            yield item[0]
            del item  # frees it while the next one is awaited
    finally:
        halt()
        atexit.unregister(halt)


def _fill(source: Iterable[T], made: "SimpleQueue[tuple[T] | _Failed | _Ended]", room: Semaphore, stop: Event) -> None:
    """Makes an item whenever `room` can be acquired; to stop it, set `stop` and release `room`."""
    items = iter(source)
    try:
        while room.acquire() and not stop.is_set():
            try:
                item = next(items)
            except StopIteration:
                made.put(_Ended())
                return
            made.put((item,))
            del item
    except BaseException as error:
        made.put(_Failed(error))
    finally:
        if isinstance(items, Iterator) and hasattr(items, "close"):
            items.close()
