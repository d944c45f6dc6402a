"""Limits of the service, and refusals."""

import math
import time
from dataclasses import dataclass
from typing import Self

from memae.errors import MemaeError, OptionError, ResourceError, sentence


class Refused(Exception):  # noqa: N818 (an answer, not a fault)
    """A refused request, with the HTTP status and one sentence that says why."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after  # seconds

    @classmethod
    def of(cls, error: MemaeError) -> Self:
        """An error of the library as a refusal: 503 if memory ran out, else 422."""
        return cls(503, str(error), 1.0) if isinstance(error, ResourceError) else cls(422, sentence(error))


@dataclass(frozen=True)
class Limits:
    """Maximum values for requests.

    Attributes:
        megabytes: size of a request's body in 10⁶ bytes. JSON may have an eighth, since it takes far more memory than
            its length. All requests at once may have four times as much.
        samples: rows, images or frames per request.
        files: files per request.
        explained: samples to explain per request.
        pixels: pixels of an image or frame, before it is scaled.
        seconds: seconds from the first byte of a request to its answer.
        requests: requests at once, including those that wait.
        together: samples per batch; None for the model's own.

    Raises:
        OptionError: a value is not a finite number above 0.
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
        """Maximum size of a body in bytes."""
        return int(self.megabytes * 1e6)

    @property
    def json_size(self) -> int:
        """Maximum size of a JSON body in bytes."""
        return self.size // 8

    def check_samples(self, count: int) -> None:
        """Raises Refused if a request has too many samples."""
        if count > self.samples:
            raise Refused(413, f"the request has more than {self.samples:,} samples; send it in several parts")

    def too_large(self) -> Refused:
        """The refusal of a body that is too large."""
        return Refused(413, f"the body is larger than {self.megabytes:g} MB; send it in several parts")


class Deadline:
    """The time by which a request must be answered."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, more than 0.

        Raises:
            Refused: the deadline has passed.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.missed()
        return left

    def missed(self) -> Refused:
        """The refusal of a request that took too long."""
        return Refused(503, f"not done within {self._seconds:g} s; send less at once, or try later", self._seconds)


class Gate:
    """Limits the requests and bytes at once, and refuses all once it is closed. It belongs to the event loop's thread.

    Args:
        limits: limits of the service.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = 0
        self.inside = 0
        """Number of requests admitted and not yet answered."""
        self.closed = False

    def enter(self, size: int) -> None:
        """Admits a request with a body of `size` bytes; `leave` must follow.

        Raises:
            Refused: the body is too large, the service is at its limit, or it is stopping.
        """
        if self.closed:
            raise Refused(503, "the service is stopping; try another one, or try later", 5.0)
        if size > self._limits.size:
            raise self._limits.too_large()
        if self.inside >= self._limits.requests or (self.inside and self._bytes + size > 4 * self._limits.size):
            raise Refused(429, f"{self.inside} requests are being answered, which is the limit; try again", 1.0)
        self.inside += 1
        self._bytes += size

    def leave(self, size: int) -> None:
        """Releases a request admitted by `enter`."""
        self.inside -= 1
        self._bytes -= size
