"""What every kind of data does: it opens a source, names its samples, scores them and says why."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from memae.errors import OptionError
from memae.evidence import Evidence, Explainer, calibrated, heat
from memae.scoring import Floats, Scorer
from memae.scoring.calibration import Calibration, Judged

Names = Mapping[str, Any]
"""What samples are called: columns such as {"row": …}, {"path": …}, or {"path": …, "frame": …, "time": …}."""
Sample = Mapping[str, Any]
"""What one sample is called: a row of `Names`."""
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Words:
    """How people are told of a kind of data."""

    data: str
    one: str  # sample
    many: str
    learned: str  # what a network is trained on
    error: str  # the measures of a score
    distance: str
    surprise: str = ""
    limits: tuple[str, ...] = ()
    chosen: str = ""  # which samples a report explains, where these are not the ones with the highest scores
    numbering: str = ""  # how samples are counted, where their names tell numbers
    unseen: Mapping[str, str] = field(default_factory=dict)  # measures that no picture shows


class Part(NamedTuple):
    """Some samples of a source."""

    names: Names
    raw: Tensor  # (k, *shape); of video (k, c, h, w), frames that follow each other
    given: Any = None  # rows of a table as they came


class Scored(NamedTuple):
    """Some samples and what their scores say."""

    names: Names
    judged: Judged
    given: Any = None  # rows of a table as they came
    heat: Tensor | None = None  # (k, h, w): error maps as shares of what pictures show brightest, where asked for


class Labelled(NamedTuple):
    """Scores beside the truth, of each video; other kinds of data have one part."""

    truth: list[Truth]
    scores: list[Floats]


@dataclass
class Notes:
    """What was odd about a source, gathered while it is read."""

    unread: dict[Path, str] = field(default_factory=dict)  # what cannot be read, or not to its end, and why
    novel: dict[str, int] = field(default_factory=dict)  # columns and how many values training never showed

    def add_novel(self, counts: Mapping[str, int]) -> None:
        """Counts more values that training never showed, by their column."""
        for name, count in counts.items():
            self.novel[name] = self.novel.get(name, 0) + count

    @property
    def remarks(self) -> list[str]:
        """What is odd about columns, a sentence each."""
        told = "values that are missing or that training never showed"
        return [f"column {name!r} has {count} {told}" for name, count in self.novel.items()]


class Kind(ABC):
    """Reads samples as a fitted model reads them. It holds what the model learned of their form, and no network."""

    words: ClassVar[Words]
    suffixes: ClassVar[frozenset[str]]  # of files that hold samples
    takes: ClassVar[str]  # such files, in words
    pictured: ClassVar[bool] = True  # whether a sample can be looked at

    # ----------------------------------------------------------------------------------------- reading and scoring

    @abstractmethod
    def open(self, X: Any, *, notes: Notes | None = None) -> Iterator[Part]:
        """The samples of a source, in parts and in constant memory.

        Args:
            X: a path, or what the estimator takes.
            notes: receives what is odd. A file that cannot be read is noted there, and the others are read on; it is an
                error where it is the only one, or where none can be read.

        Raises:
            InputError: the source cannot be read, or is not like that of training.
        """

    def raw(self, X: Any) -> Iterator[Tensor]:
        """What a scorer takes of a source `(b, *shape)`, in batches of any size."""
        return (part.raw for part in self.open(X))

    def scored(self, scorer: Scorer, parts: Iterator[Part], *, maps: bool = False) -> Iterator[Scored]:
        """The samples of `open` with their scores; with heat maps if `maps` are wanted, in smaller parts then."""
        for part in parts:
            if maps:
                yield from _mapped(scorer, part)
            elif len(part.raw):
                score = torch.cat([each.score for each in scorer.batched([part.raw], maps=False)])
                yield Scored(part.names, calibrated(scorer).judge(score), part.given)
            del part  # or it would be held while the next one is read

    # -------------------------------------------------------------------------------------------------- explaining

    @abstractmethod
    def explained(
        self, explainer: Explainer, parts: Iterator[Part], only: Collection[int] | None = None
    ) -> Iterator[Evidence]:
        """Why the samples of `open` have their scores.

        Args:
            explainer: makes the evidence.
            parts: samples.
            only: their positions, to be explained; None for all.
        """

    def explain(self, explainer: Explainer, X: Any, only: Collection[int] | None = None) -> Iterator[Evidence]:
        """`explained` of a source that is opened for it."""
        return self.explained(explainer, self.open(X), only)

    def explain_again(self, explainer: Explainer, source: Path, chosen: Sequence[Sample]) -> list[Evidence]:
        """The evidence of samples of a source that was scored before, in the order of `chosen`; the rest is skipped."""
        found: dict[int, Evidence] = {}
        for X, places in self._again(source, chosen):
            positions = sorted(places)
            evidence = islice(self.explained(explainer, self.open(X, notes=Notes()), places), len(positions))
            found |= {places[position]: each for position, each in zip(positions, evidence, strict=True)}
        return [found[number] for number in range(len(chosen))]

    @abstractmethod
    def _again(self, source: Path, chosen: Sequence[Sample]) -> Iterator[tuple[Any, dict[int, int]]]:
        """What to open for chosen samples, and the position of each in it → its number among the chosen."""

    def most_anomalous(self, names: Names, scores: Floats, top: int) -> list[int]:  # noqa: ARG002 (video needs names)
        """Positions of so many samples to explain, the highest score first and equal ones in their order."""
        return [int(place) for place in np.argsort(-scores, kind="stable")[:top]]

    # ------------------------------------------------------------------------------------------- labels and options

    @abstractmethod
    def labelled(
        self, scorer: Scorer, source: Path, labels: str | None, normal: Sequence[str], notes: Notes
    ) -> Labelled:
        """Scores of a labelled source. What cannot be read, or not to its end, is noted and left out.

        Args:
            scorer: trained.
            source: file or folder.
            labels: where the labels are, if that must be told.
            normal: labels of normal samples, for tables.
            notes: see `open`.

        Raises:
            OptionError: this kind of data takes other options.
            SchemaError: there are no labels, or they do not fit.
        """

    def more_figures(self, found: Labelled, calibration: Calibration) -> dict[str, Any]:  # noqa: ARG002
        """Figures of a labelled source that only this kind of data has, JSON-ready."""
        return {}

    def ignoring(self, columns: Sequence[str]) -> Self:
        """The same, which leaves out more columns.

        Raises:
            OptionError: there are none to leave out.
        """
        if columns:
            raise OptionError("--ignore is for tables; images and video have no columns")
        return self

    # ----------------------------------------------------------------------------------------------------- pictures

    def map_files(self, source: Path, names: Names) -> list[Path]:  # noqa: ARG002 (tables have none)
        """Where the heat map of each sample goes, below a folder for all.

        Raises:
            OptionError: there are no heat maps.
        """
        raise OptionError("--maps is for images and video; a table has no heat map")

    def map_folders(self, source: Path, maps: Path) -> Iterator[tuple[Path, Path]]:
        """Folders that heat maps of a source would lie in, each with what is read and it must not lie in."""
        self.map_files(source, {})
        yield maps, source

    # ----------------------------------------------------------------------------------------------- what was learned

    def learned(self) -> dict[str, Any]:
        """What the model learned of the form of samples, JSON-ready."""
        return {}

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What samples must look like, JSON-ready and in short."""

    @abstractmethod
    def exported(self, calibration: Calibration) -> dict[str, Any]:
        """What a program besides must know to use an exported model, as fields of `deployment.Description`.

        Args:
            calibration: of the model.
        """

    def item_rows(self, scorer: Scorer, numbers: Sequence[int], most: int) -> pd.DataFrame | None:  # noqa: ARG002
        """Memory items as rows in the user's columns, at most so many of these; None where items are no rows."""
        return None


def _mapped(scorer: Scorer, part: Part) -> Iterator[Scored]:
    """The samples of a part with their heat maps, as many at a time as the scorer computes."""
    start = 0
    for each in scorer.batched([part.raw]):
        names = sliced(part.names, start, start + len(each.score))
        yield Scored(names, calibrated(scorer).judge(each.score), heat=heat(scorer, each.error_map))
        start += len(each.score)


def sliced(names: Names, start: int, stop: int) -> Names:
    """The names of the samples `start` to `stop`, excluded."""
    return {name: column[start:stop] for name, column in names.items()}


def sample_at(names: Names, place: int) -> Sample:
    """What one sample is called."""
    return {name: column[place] for name, column in names.items()}


def joined_names(parts: Sequence[Names]) -> Names:
    """The names of samples of several parts; numbers as arrays, which take the least memory."""
    columns = {name: [part[name] for part in parts] for name in (parts[0] if parts else ())}
    return {
        name: np.concatenate(column) if isinstance(column[0][0], int | float) else list(chain.from_iterable(column))
        for name, column in columns.items()
    }


def paths_of(X: Any) -> list[Path] | None:
    """The files that are listed; None where a source is something else."""
    listed = isinstance(X, list | tuple) and bool(X) and isinstance(X[0], str | Path)
    return [Path(path) for path in X] if listed else None
