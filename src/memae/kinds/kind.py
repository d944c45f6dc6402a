"""The interface of a kind of data: it opens sources, names samples, scores and explains them."""

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

from memae.data.images import describe_skipped
from memae.data.tables import left_out_columns
from memae.errors import OptionError
from memae.evidence import Evidence, Explainer, calibrated, position_map
from memae.kinds.defects import PixelsByDefect
from memae.kinds.located import Located, located
from memae.kinds.pieces import Piece
from memae.pictures import Pixels, heated
from memae.scoring import Floats, Scorer
from memae.scoring.calibration import Calibration, Judged

Names = Mapping[str, Any]
"""Names of samples as columns: {"row": …}, {"path": …}, or {"path": …, "frame": …, "time": …}."""
Sample = Mapping[str, Any]
"""Name of one sample: a row of `Names`."""
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Words:
    """Words for a kind of data in texts for users."""

    data: str
    one: str  # one sample
    many: str  # samples
    learned: str  # training samples
    measures: Mapping[str, str]  # name of a measure → what it measures
    limits: tuple[str, ...] = ()
    chosen: str = ""  # says which samples a report explains, if not those with the highest scores
    caution: str = ""  # what a report says about the threshold
    numbering: str = ""  # explains how samples are numbered
    unseen: Mapping[str, str] = field(default_factory=dict)  # measure → description, if no picture shows it
    kept: str = "samples"  # what a memory keeps of training samples, if nothing is trained
    where: str = "image"  # in what a kept patch or place lies
    apart: str = "without itself among the kept ones"  # how a sample is scored to calibrate with, if nothing is trained
    measured_with: str = ""  # what else a model that trains nothing holds of all training samples


class Part(NamedTuple):
    """k samples of a source."""

    names: Names
    raw: Tensor  # (k, *shape); of video (k, c, h, w), consecutive frames
    given: Any = None  # rows of a table as given
    read: Any = None  # the same in the columns that are encoded


class Scored(NamedTuple):
    """k samples with scores, p-values and flags."""

    names: Names
    judged: Judged
    given: Any = None  # rows of a table as given
    maps: Tensor | None = None  # (k, h, w), as `evidence.position_map` gives them; None unless requested
    read: Any = None  # rows of a table in the columns that are encoded


class Labelled(NamedTuple):
    """Labels and scores of each video; other kinds of data have one part."""

    truth: list[Truth]
    scores: list[Floats]
    defects: Sequence[str | None] = ()  # the kind of defect of each image, None for good ones; otherwise empty
    pixels: PixelsByDefect | None = None  # of images with masks


@dataclass
class Notes:
    """Irregularities of a source, collected while it is read."""

    unread: dict[Path, str] = field(default_factory=dict)  # file that is unreadable, or from some point on → reason
    novel: dict[str, int] = field(default_factory=dict)  # column → number of values never seen in training
    skipped: dict[Path, list[Path]] = field(default_factory=dict)  # folder → what is left out there as no sample
    unknown: list[str] = field(default_factory=list)  # columns of a table that training never had, left out
    short_stretches: int = 0  # rows of a table whose stretch is shorter than a window

    def add_novel(self, counts: Mapping[str, int]) -> None:
        """Adds numbers of values never seen in training, by column."""
        for name, count in counts.items():
            self.novel[name] = self.novel.get(name, 0) + count

    @property
    def remarks(self) -> list[str]:
        """A sentence for each column that has values which training never showed."""
        kind = "values that are missing or that training never showed"
        short = f"{self.short_stretches:,} rows lie in stretches shorter than a window, which are scored as they are"
        return [
            *(f"column {name!r} has {count} {kind}" for name, count in self.novel.items()),
            *[short] * (self.short_stretches > 0),
        ]

    @property
    def omissions(self) -> list[str]:
        """A sentence for each folder in which something was left out, and one on columns that were."""
        told = [describe_skipped(folder, skipped) for folder, skipped in self.skipped.items()]
        return [sentence for sentence in [*told, self.unknown and left_out_columns(self.unknown)] if sentence]


class Kind(ABC):
    """Reads, scores and explains samples in the format that a model was fitted on; it holds that format, no network."""

    suffixes: ClassVar[frozenset[str]]  # of files with samples
    takes: ClassVar[str]  # describes these files
    pictured: ClassVar[bool] = True  # whether a sample is a picture

    @property
    @abstractmethod
    def words(self) -> Words:
        """Words for its samples."""

    # ----------------------------------------------------------------------------------------- reading and scoring

    @abstractmethod
    def open(self, X: Any, *, notes: Notes | None = None) -> Iterator[Part]:
        """Reads the samples of a source in parts, in constant memory.

        Args:
            X: a path, or any input of the estimator.
            notes: receives irregularities. An unreadable file is noted and skipped; it is an error if it is the only
                one, or if no file is readable.

        Raises:
            InputError: the source cannot be read, or differs in form from the training data.
        """

    @abstractmethod
    def pieces(self, folder: Path, notes: Notes) -> Iterator[Piece]:
        """A folder in pieces that are scored apart, without reading more of it than names and sizes.

        Args:
            folder: with samples.
            notes: receives what is left out as no sample.

        Raises:
            SourceError: there are no samples in it.
        """

    def raw(self, X: Any) -> Iterator[Tensor]:
        """Raw samples of a source for the scorer `(b, *shape)`, in batches of any size."""
        return (part.raw for part in self.open(X))

    def scored(self, scorer: Scorer, parts: Iterator[Part], *, maps: bool = False) -> Iterator[Scored]:
        """Scores the samples of `open`; with heat maps, and in smaller parts, if `maps`."""
        for part in parts:
            if maps:
                yield from _mapped(scorer, part)
            elif len(part.raw):
                score = torch.cat([each.score for each in scorer.batched([part.raw], maps=False)])
                yield Scored(part.names, calibrated(scorer).judge(score), part.given, read=part.read)
            del part  # frees it before the next one is read

    # -------------------------------------------------------------------------------------------------- explaining

    @abstractmethod
    def explained(
        self, explainer: Explainer, parts: Iterator[Part], only: Collection[int] | None = None
    ) -> Iterator[Evidence]:
        """Explains the scores of the samples of `open`.

        Args:
            explainer: makes the evidence.
            parts: samples.
            only: indices of the samples to explain, counted over all parts; None for all.
        """

    def explain(self, explainer: Explainer, X: Any, only: Collection[int] | None = None) -> Iterator[Evidence]:
        """Opens a source and explains its samples; see `explained`."""
        return self.explained(explainer, self.open(X), only)

    def explain_again(self, explainer: Explainer, source: Path, chosen: Sequence[Sample]) -> list[Evidence]:
        """Explains chosen samples of a source that was scored before, in the order of `chosen`."""
        explained: dict[int, Evidence] = {}
        for X, numbers in self._again(source, chosen):
            indices = sorted(numbers)
            evidence = islice(self.explained(explainer, self.open(X, notes=Notes()), numbers), len(indices))
            explained |= {numbers[index]: each for index, each in zip(indices, evidence, strict=True)}
        return [explained[number] for number in range(len(chosen))]

    @abstractmethod
    def _again(self, source: Path, chosen: Sequence[Sample]) -> Iterator[tuple[Any, dict[int, int]]]:
        """Sources to open for the chosen samples, each with {index in the source: index in `chosen`}."""

    def most_anomalous(self, names: Names, scores: Floats, top: int) -> list[int]:  # noqa: ARG002 (video needs names)
        """Indices of the `top` samples with the highest scores, highest first; ties keep their order."""
        return [int(index) for index in np.argsort(-scores, kind="stable")[:top]]

    # ------------------------------------------------------------------------------------------- labels and options

    @abstractmethod
    def labelled(
        self, scorer: Scorer, source: Path, labels: str | None, normal: Sequence[str], notes: Notes
    ) -> Labelled:
        """Scores a labelled source. Files that cannot be read completely are noted and left out.

        Args:
            scorer: trained.
            source: file or folder.
            labels: column or file of the labels, if the source does not determine it.
            normal: labels of normal samples, for tables.
            notes: see `open`.

        Raises:
            OptionError: this kind of data takes other options.
            SchemaError: there are no labels, or they do not fit.
        """

    def more_figures(self, found: Labelled, calibration: Calibration) -> dict[str, Any]:  # noqa: ARG002
        """Further figures of a labelled source for this kind of data, JSON-ready."""
        return {}

    def ignoring(self, columns: Sequence[str], *, strict: bool = False) -> Self:
        """A copy that leaves out these columns as well.

        Args:
            columns: to leave out; they must be there.
            strict: whether other columns that training never had, and another order of columns, are errors.

        Raises:
            OptionError: this kind of data has no columns.
        """
        if columns or strict:
            raise OptionError(f"--{'ignore' if columns else 'strict'} is for tables; images and video have no columns")
        return self

    # ----------------------------------------------------------------------------------------------------- pictures

    def located(self, scorer: Scorer, part: Scored) -> Iterator[Located]:
        """Where each sample of a part is anomalous; the part must have been scored with maps."""
        assert part.maps is not None  # noqa: S101 (see above)
        return (located(scorer, values) for values in part.maps)

    def picture(self, where: Located, sample: Sample) -> Pixels:  # noqa: ARG002 (images lie below their map)
        """A picture of `located` for a person, `(h, w, 3)`: the heat map, over the sample if it has one size with it.

        Args:
            where: the sample is anomalous.
            sample: its name.
        """
        return heated(where.heat)

    def map_files(self, source: Path, names: Names) -> list[Path]:  # noqa: ARG002 (tables have none)
        """Path of each sample's heat map or mask, relative to the folder of all.

        Raises:
            OptionError: this kind of data has no heat maps.
        """
        raise OptionError("--maps and --masks are for images and video; a table has no heat map")

    def map_folders(self, source: Path, maps: Path) -> Iterator[tuple[Path, Path]]:
        """Pairs (folder for heat maps, input): the folder must not lie inside the input."""
        self.map_files(source, {})
        yield maps, source

    # ----------------------------------------------------------------------------------------------- what was learned

    def learned(self) -> dict[str, Any]:
        """The format that the model learned, JSON-ready."""
        return {}

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """A short description of the samples that the model takes, JSON-ready."""

    @abstractmethod
    def exported(self, calibration: Calibration) -> dict[str, Any]:
        """What a program without memae must know to use an exported model, as fields of `deployment.Description`.

        Args:
            calibration: of the model.
        """

    def item_rows(self, scorer: Scorer, numbers: Sequence[int], most: int) -> pd.DataFrame | None:  # noqa: ARG002
        """Memory items as rows in up to `most` of the user's columns; None if items are not rows."""
        return None


def _mapped(scorer: Scorer, part: Part) -> Iterator[Scored]:
    """Scores the samples of a part with heat maps, a chunk of the scorer at a time."""
    start = 0
    for each in scorer.batched([part.raw]):
        names = sliced(part.names, start, start + len(each.score))
        yield Scored(names, calibrated(scorer).judge(each.score), maps=position_map(scorer, each.error_map))
        start += len(each.score)


def sliced(names: Names, start: int, stop: int) -> Names:
    """The names of the samples from `start` up to, but without `stop`."""
    return {name: column[start:stop] for name, column in names.items()}


def sample_at(names: Names, index: int) -> Sample:
    """The name of one sample."""
    return {name: column[index] for name, column in names.items()}


def joined_names(parts: Sequence[Names]) -> Names:
    """Joins the names of several parts; numbers become arrays, which take the least memory."""
    columns = {name: [part[name] for part in parts] for name in (parts[0] if parts else ())}
    return {
        name: np.concatenate(column) if isinstance(column[0][0], int | float) else list(chain.from_iterable(column))
        for name, column in columns.items()
    }


def paths_of(X: Any) -> list[Path] | None:
    """The paths of a source that is a list of files; None for any other source."""
    listed = isinstance(X, list | tuple) and bool(X) and isinstance(X[0], str | Path)
    return [Path(path) for path in X] if listed else None
