"""A served model of any kind of data."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from memae.data.dialects import Dialect
from memae.estimators import Estimator
from memae.evidence import Evidence
from memae.kinds import Kind
from memae.scoring.calibration import Judged
from memae.service.batching import Desk
from memae.service.limits import Deadline, Limits, Refused
from memae.service.uploads import Body, Upload

E = TypeVar("E", bound=Estimator)
T = TypeVar("T")
Row = dict[str, Any]
"""The result for one sample, JSON-ready."""
Observer = Callable[[float], None]
"""Receives the size of each batch."""
Score = Callable[[list[Any]], list[Judged]]
"""Scores pieces of several requests."""
MakeWorker = Callable[[Score, int], Desk]


@dataclass(frozen=True)
class Wanted:
    """The parameters of a request, besides its data.

    Attributes:
        deadline: time by which it must be answered.
        ignore: columns of a table to leave out.
        only: numbers of the samples to explain; if empty, the kind of data chooses.
        items: maximum number of memory items to return for each.
        strict: whether columns of a table that training never had, and another order in a file, are refused.
        group: of models by group, that of all rows; else the rows tell it.
        shared: of models by group, whether rows of groups without one are scored by the shared model.
        dialect: how a table file is written, as far as the request says.
    """

    deadline: Deadline
    ignore: tuple[str, ...] = ()
    only: tuple[int, ...] = ()
    items: int = 5
    strict: bool = False
    group: tuple[str, ...] = ()
    shared: bool = False
    dialect: Dialect = field(default_factory=Dialect)

    def wait(self, answer: "Future[T]") -> T:
        """The result of a worker; raises Refused if it does not come in time."""
        try:
            return answer.result(self.deadline.left())
        except TimeoutError as error:
            answer.cancel()
            raise self.deadline.missed() from error


class Answer(NamedTuple):
    """The answer to a request."""

    samples: list[Row]
    unread: list[Row] = []  # noqa: RUF012 (never changed): files that could not be read, and why
    left_out: list[str] = []  # noqa: RUF012 (never changed): columns that the model does not know

    def as_json(self) -> Row:
        """The answer, JSON-ready; `unread` and `left_out` are absent if they are empty."""
        more = {"unread": self.unread, "left_out": self.left_out}
        return {"samples": self.samples} | {name: value for name, value in more.items() if value}


def rows_of(judged: Judged, known: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """One row per sample, which begins with the entries of `known` that identify it."""
    columns = (column.tolist() for column in judged)
    for sample, score, p_value, is_anomaly in zip(known, *columns, strict=True):
        yield {**sample, "score": score, "p_value": p_value, "is_anomaly": is_anomaly}


class Served(ABC):
    """What requests choose by its name, and the single thread in which it computes.

    `score` and `explain` block; they are called in the threads of requests.
    """

    name: str
    limits: Limits
    worker: Desk
    rule: Row
    """Threshold and false-alarm rate of all samples, None where they differ."""

    @abstractmethod
    def score(self, body: Body, wanted: Wanted) -> Answer:
        """One row per sample.

        Raises:
            Refused: the data cannot be used, or not scored in time.
        """

    @abstractmethod
    def explain(self, body: Body, wanted: Wanted) -> Answer:
        """The evidence of the requested samples; Refused as in `score`."""

    @abstractmethod
    def described(self) -> Row:
        """Facts about the model, for `GET /models`: at least name, kind, data_sha256 and versions."""

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """Says what files hold samples."""

    def quick(self, body: Body, wanted: Wanted) -> "Future[Judged] | None":  # noqa: ARG002 (tables can)
        """The scores of a small request that needs no thread of its own; None if it needs one."""
        return None

    def row_schema(self) -> Row | None:
        """The JSON schema of a row; None where samples are no rows."""
        return None

    def example(self) -> Row | None:
        """A row such as the model was fitted on; None where samples are no rows."""
        return None

    @property
    def takes(self) -> str:
        """The data that the model takes, in words."""
        return self.kind.takes

    def files(self, body: Body) -> list[Upload]:
        """The files of a request; raises Refused if they are not of the model's kind."""
        if not isinstance(body, list):
            raise Refused(422, f"rows are for table models; the model {self.name!r} takes {self.takes}")
        for upload in body:
            if upload.path.suffix not in self.kind.suffixes:
                raise Refused(422, f"{upload.name} is not of a kind that the model {self.name!r} takes: {self.takes}")
        return body

    def to_explain(self, samples: int, wanted: Wanted) -> list[int]:
        """Numbers of the samples to explain out of `samples`, in order; raises Refused for invalid or too many ones."""
        numbers = sorted(set(wanted.only)) or list(range(samples))
        if numbers[-1] >= samples or numbers[0] < 0:
            outside = numbers[0] if numbers[0] < 0 else numbers[-1]
            raise Refused(422, f"sample={outside} is asked for; the samples are numbered 0 to {samples - 1}")
        if len(numbers) > self.limits.explained:
            message = f"{len(numbers)} samples are to be explained, {self.limits.explained} at most"
            raise Refused(422, f"{message}; choose some, as ?sample=0&sample=3")
        return numbers

    def close(self) -> None:
        """Ends the thread after its pending work."""
        self.worker.close()


class ServedModel(Served, Generic[E]):
    """A fitted detector.

    Args:
        name: name by which requests choose it.
        estimator: a fitted estimator.
        limits: limits of the service.
        worker: makes the thread in which it computes, from a function that scores, and the most samples of a batch.
    """

    def __init__(self, name: str, estimator: E, limits: Limits, worker: MakeWorker) -> None:
        self.name = name
        calibration = estimator.calibration_
        self.rule = {"threshold": finite(calibration.threshold()), "false_alarm_rate": calibration.false_alarm_rate}
        self.estimator = estimator
        self.limits = limits
        self.chunk = min(estimator.scorer_.chunk, limits.together or estimator.scorer_.chunk)
        self.worker = worker(self.scored, self.chunk)

    @property
    def kind(self) -> Kind:
        """See `Served.kind`."""
        return self.estimator.kind_

    def described(self) -> Row:
        """See `Served.described`."""
        return {
            "name": self.name,
            "kind": self.estimator.kind,
            **self.rule,
            "calibration_samples": len(self.estimator.calibration_.scores),
            "held_out_samples": len(self.estimator.calibration_.scores),
            "takes": self.takes,
            "suffixes": sorted(self.kind.suffixes),
            "data_sha256": self.estimator.checksum_,
            "versions": self.estimator.versions_,
            **self.kind.about(),
        }

    def pieces(self, batches: Iterable[Tensor], wanted: Wanted) -> Iterator[Judged]:
        """Scores of batches of any size, computed in pieces, so that other requests are served in between."""
        for batch in batches:
            for piece in torch.split(batch, self.chunk) if len(batch) else ():
                yield wanted.wait(self.worker.score(piece, len(piece)))

    def scored(self, pieces: list[Any]) -> list[Judged]:
        """Scores of pieces of several requests, in the worker's thread."""
        raw, sizes = self._joined(pieces)
        scores = [part.score for part in self.estimator.scorer_.batched([raw], maps=False)]
        judged = self.estimator.calibration_.judge(torch.cat(scores))
        return [Judged(*part) for part in zip(*(torch.split(column, sizes) for column in judged), strict=True)]

    def _joined(self, pieces: list[Any]) -> tuple[Tensor, list[int]]:
        """The samples `(n, *shape)` of pieces of several requests, and the number of samples of each."""
        return torch.cat(pieces), [len(piece) for piece in pieces]


def explained(evidence: Evidence, known: Mapping[str, Any]) -> Row:
    """Evidence as a row; the entries of `known` identify the sample instead of its internal name."""
    row = evidence.as_json()
    del row["name"]
    return {**known, **row}


def finite(value: float) -> float | None:
    """A number for JSON: None if it is infinite or NaN."""
    return value if np.isfinite(value) else None
