"""Open-loop load: requests arrive at a rate that does not depend on the answers, as from many independent clients."""

import asyncio
import re
import time
from collections import deque
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

PATIENCE = 10.0
"""Seconds to wait for answers after the last request was sent."""
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Load(NamedTuple):
    """The results of n requests, in the order of the answers.

    Attributes:
        due: seconds from the begin at which a request was to be sent.
        waited: seconds from then to its answer: what waits for a free connection waits, too.
        took: seconds from sending it to its answer.
        status: of the answer.
        unanswered: requests that were sent and never answered, or whose connection was lost.
    """

    due: NDArray[np.float64]
    waited: NDArray[np.float64]
    took: NDArray[np.float64]
    status: NDArray[np.int64]
    unanswered: int


def offered(address: str, body: bytes, rate: float, seconds: float, connections: int, seed: int = 0) -> Load:
    """Sends requests at random times, `rate` a second on average, over connections that are kept.

    Args:
        address: to post to.
        body: JSON.
        rate: requests a second.
        seconds: how long to send.
        connections: requests that may be under way at once.
        seed: draws the times.
    """
    draws = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds * 1.2) + 100).cumsum()
    return asyncio.run(_offered(address, body, draws[draws < seconds], connections))


async def _offered(address: str, body: bytes, due: NDArray[np.float64], connections: int) -> Load:
    parts = urlsplit(address)
    head = f"POST {parts.path}?{parts.query} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    crowd = _Crowd(request)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Client(crowd), parts.hostname or "", parts.port or 80)
    begin = time.perf_counter()
    for moment in due.tolist():
        early = begin + moment - time.perf_counter()
        if early > 0:
            await asyncio.sleep(early)
        crowd.ask(begin + moment)
    end = time.perf_counter() + PATIENCE
    while len(crowd.answers) < len(due) and time.perf_counter() < end:
        await asyncio.sleep(0.01)
    crowd.close()
    answers = np.array(crowd.answers or np.zeros((0, 4)), dtype=np.float64)
    was_due, sent, answered, status = answers.T
    return Load(was_due - begin, answered - was_due, answered - sent, status.astype(np.int64), len(due) - len(answers))


class _Crowd:
    """A pool of clients, of which free ones send requests."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.clients: list[_Client] = []
        self.free: deque[_Client] = deque()
        self.waiting: deque[float] = deque()  # when the requests were due for which nobody was free
        self.answers: list[tuple[float, float, float, int]] = []  # due, sent, answered, status

    def ask(self, due: float) -> None:
        self.waiting.append(due)
        self.go_on()

    def go_on(self) -> None:
        while self.free and self.waiting:
            self.free.popleft().ask(self.waiting.popleft())

    def close(self) -> None:
        for client in self.clients:
            client.transport.close()


class _Client(asyncio.Protocol):
    """One connection, one request at a time."""

    transport: asyncio.Transport

    def __init__(self, crowd: _Crowd) -> None:
        self._crowd = crowd
        self._due = self._sent = 0.0
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (TCP has one)
        self.transport = transport
        self._crowd.clients.append(self)
        self._crowd.free.append(self)

    def ask(self, due: float) -> None:
        self._due, self._sent = due, time.perf_counter()
        self.transport.write(self._crowd.request)

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, found, body = self._came.partition(b"\r\n\r\n")
        length = LENGTH.search(head) if found else None
        if length is None or len(body) < int(length[1]):
            return
        self._came = b""
        self._crowd.answers.append((self._due, self._sent, time.perf_counter(), int(head[9:12])))
        self._crowd.free.append(self)
        self._crowd.go_on()
