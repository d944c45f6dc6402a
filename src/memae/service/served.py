"""A model that the service has, whatever its kind of data."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from memae.estimators import Estimator
from memae.evidence import Evidence
from memae.scoring.calibration import Judged
from memae.service.batching import Worker
from memae.service.limits import Deadline, Limits, Refused
from memae.service.uploads import Body, Rows, Upload

E = TypeVar("E", bound=Estimator)
T = TypeVar("T")
Row = dict[str, Any]
"""What is told of one sample, JSON-ready."""
Observer = Callable[[float], None]


@dataclass(frozen=True)
class Wanted:
    """What a request asks for, besides its data.

    Attributes:
        deadline: by which it must be answered.
        ignore: columns of a table to leave out.
        only: samples to explain, by their number; none means those that the kind of data chooses.
        items: memory items to tell of each.
    """

    deadline: Deadline
    ignore: tuple[str, ...] = ()
    only: tuple[int, ...] = ()
    items: int = 5

    def wait(self, answer: "Future[T]") -> T:
        """The answer of a worker, if it comes in time."""
        try:
            return answer.result(self.deadline.left())
        except TimeoutError as error:
            answer.cancel()
            raise self.deadline.missed() from error


class Answer(NamedTuple):
    """What is told of a request's samples."""

    samples: list[Row]
    unread: list[Row] = []  # noqa: RUF012 (never changed): files that could not be read, and why

    def as_json(self) -> Row:
        """Both; the second only where there is something in it."""
        return {"samples": self.samples} | ({"unread": self.unread} if self.unread else {})


def rows_of(judged: Judged, known: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """A row a sample, beginning with what it is known by."""
    columns = (column.tolist() for column in judged)
    for sample, score, p_value, is_anomaly in zip(known, *columns, strict=True):
        yield {**sample, "score": score, "p_value": p_value, "is_anomaly": is_anomaly}


class Served(ABC, Generic[E]):
    """A fitted detector, and the one thread in which it computes.

    All methods but `waiting` and `close` block; they are called in the threads of requests.

    Args:
        name: by which requests choose it.
        estimator: fitted.
        limits: of the service.
        observe: is told the size of each batch.
    """

    def __init__(self, name: str, estimator: E, limits: Limits, observe: Observer) -> None:
        self.name = name
        calibration = estimator.calibration_
        self.rule = {"threshold": finite(calibration.threshold()), "false_alarm_rate": calibration.false_alarm_rate}
        self.estimator = estimator
        self.limits = limits
        self.chunk = min(estimator.scorer_.chunk, limits.together or estimator.scorer_.chunk)
        self.worker = Worker(name, self._scored, self.chunk, observe)

    @abstractmethod
    def score(self, body: Body, wanted: Wanted) -> Answer:
        """A row a sample.

        Raises:
            Refused: the data cannot be used, or not in time.
        """

    @abstractmethod
    def explain(self, body: Body, wanted: Wanted) -> Answer:
        """The evidence of the samples wanted; Refused as in `score`."""

    def quick(self, body: Body, wanted: Wanted) -> "Future[Judged] | None":  # noqa: ARG002 (tables can)
        """The scores of a small request that needs no thread of its own; None where it does."""
        return None

    def row_schema(self) -> Row | None:
        """The JSON schema of a row; None where samples are no rows."""
        return None

    def example(self) -> Row | None:
        """A row such as the model was fitted on; None where samples are no rows."""
        return None

    @property
    def takes(self) -> str:
        """What is taken, in words."""
        return self.estimator.kind_.takes

    def files(self, body: Body) -> list[Upload]:
        """The files of a request, if they are of this kind."""
        if isinstance(body, Rows):
            raise Refused(422, f"rows are for tables, and the model {self.name!r} takes {self.takes}")
        for upload in body:
            if upload.path.suffix not in self.estimator.kind_.suffixes:
                raise Refused(422, f"{upload.name} is not of a kind that the model {self.name!r} takes: {self.takes}")
        return body

    def to_explain(self, samples: int, wanted: Wanted) -> list[int]:
        """Numbers of the samples to explain out of so many, in their order."""
        numbers = sorted(set(wanted.only)) or list(range(samples))
        if numbers[-1] >= samples or numbers[0] < 0:
            outside = numbers[0] if numbers[0] < 0 else numbers[-1]
            raise Refused(422, f"sample={outside} is asked for; the samples are numbered 0 to {samples - 1}")
        if len(numbers) > self.limits.explained:
            told = f"{len(numbers)} samples are to be explained, {self.limits.explained} at most"
            raise Refused(422, f"{told}; choose some, as ?sample=0&sample=3")
        return numbers

    def described(self) -> Row:
        """The model in a few words, for `GET /models`."""
        return {
            "name": self.name,
            "kind": self.estimator.kind,
            **self.rule,
            "held_out_samples": len(self.estimator.calibration_.scores),
            "takes": self.takes,
            "suffixes": sorted(self.estimator.kind_.suffixes),
            "data_sha256": self.estimator.checksum_,
            "versions": self.estimator.versions_,
            **self.estimator.kind_.about(),
        }

    def close(self) -> None:
        """Ends the thread when all that was asked for is done."""
        self.worker.close()

    def pieces(self, batches: Iterable[Tensor], wanted: Wanted) -> Iterator[Judged]:
        """Scores of batches of any size, computed in pieces between which others have their turn."""
        for batch in batches:
            for piece in torch.split(batch, self.chunk) if len(batch) else ():
                yield wanted.wait(self.worker.score(piece, len(piece)))

    def _scored(self, pieces: list[Any]) -> list[Judged]:
        """Scores of what several requests give, in the worker's thread."""
        raw, sizes = self._joined(pieces)
        scores = [part.score for part in self.estimator.scorer_.batched([raw], maps=False)]
        judged = self.estimator.calibration_.judge(torch.cat(scores))
        return [Judged(*part) for part in zip(*(torch.split(column, sizes) for column in judged), strict=True)]

    def _joined(self, pieces: list[Any]) -> tuple[Tensor, list[int]]:
        """Samples `(n, *shape)` of what several requests give, and how many each gives."""
        return torch.cat(pieces), [len(piece) for piece in pieces]


def explained(evidence: Evidence, known: Mapping[str, Any]) -> Row:
    """Evidence as it is told, with what the sample is known by instead of the name that the service has for it."""
    told = evidence.as_json()
    del told["name"]
    return {**known, **told}


def finite(value: float) -> float | None:
    """A number as JSON has it."""
    return value if np.isfinite(value) else None
