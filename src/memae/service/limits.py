"""What the service takes at most, and how it says no."""

import math
import time
from dataclasses import dataclass
from typing import Self

from memae.errors import MemaeError, OptionError, ResourceError, sentence


class Refused(Exception):  # noqa: N818 (an answer, not a fault)
    """A request that is not answered with scores, with its HTTP status and one sentence that says why."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after  # seconds

    @classmethod
    def of(cls, error: MemaeError) -> Self:
        """What an error of the library is over HTTP: the data cannot be used, or memory ran out."""
        return cls(503, str(error), 1.0) if isinstance(error, ResourceError) else cls(422, sentence(error))


@dataclass(frozen=True)
class Limits:
    """What the service takes at most.

    Attributes:
        megabytes: of a request's body, of 10⁶ bytes, an eighth of them for JSON, which takes far more memory than it is
            long; four times as many are held at once.
        samples: rows, pictures or frames a request.
        files: a request.
        explained: samples that one request may have explained.
        pixels: of a picture or frame, before it is scaled.
        seconds: from the first byte of a request to its answer.
        requests: at once, those that wait included.
        together: samples that are scored at once; None for as many as the model computes at once.
    """

    megabytes: float = 64.0
    samples: int = 100_000
    files: int = 1000
    explained: int = 100
    pixels: int = 25_000_000
    seconds: float = 60.0
    requests: int = 256
    together: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 < value < math.inf:
                raise OptionError(f"{name} of the service must be a number above 0; got {value}")

    @property
    def size(self) -> int:
        """Bytes of a body."""
        return int(self.megabytes * 1e6)

    @property
    def json_size(self) -> int:
        """Bytes of a body of JSON."""
        return self.size // 8

    def check_samples(self, count: int) -> None:
        """Refuses a request of too many samples."""
        if count > self.samples:
            raise Refused(413, f"the request has more than {self.samples:,} samples; send it in several parts")

    def too_large(self) -> Refused:
        """The answer to a body that is too large."""
        return Refused(413, f"the body is larger than {self.megabytes:g} MB; send it in several parts")


class Deadline:
    """The moment by which a request must be answered."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left; at least some.

        Raises:
            Refused: there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.missed()
        return left

    def missed(self) -> Refused:
        """The answer to a request that took too long."""
        return Refused(503, f"not done within {self._seconds:g} s; send less at once, or try later", self._seconds)


class Gate:
    """Lets in so many requests and bytes at once, and nobody once it is closed. It belongs to the event loop's thread.

    Args:
        limits: of the service.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = 0
        self.inside = 0
        """Requests that were let in and are not answered yet."""
        self.closed = False

    def enter(self, size: int) -> None:
        """Lets in a request with a body of `size` bytes; `leave` must follow.

        Raises:
            Refused: the body is too large, the service is full, or it stops.
        """
        if self.closed:
            raise Refused(503, "the service is stopping; try another, or later", 5.0)
        if size > self._limits.size:
            raise self._limits.too_large()
        if self.inside >= self._limits.requests or (self.inside and self._bytes + size > 4 * self._limits.size):
            raise Refused(429, f"{self.inside} requests are being answered, which is all at once; try again", 1.0)
        self.inside += 1
        self._bytes += size

    def leave(self, size: int) -> None:
        """Takes back what `enter` let in."""
        self.inside -= 1
        self._bytes -= size
