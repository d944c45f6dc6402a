"""Methods and tables of the paper, as objects that commands, runs and pages use."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from recording.jobs import Job
from reproduction.recipe import Recipe

Run = dict[str, Any]
"""The record of a run."""
Problem = TypeVar("Problem")
Result = TypeVar("Result")
Rows = TypeVar("Rows")


@dataclass(frozen=True, eq=False)
class Method(Generic[Problem, Result]):
    """A method of a table: a row of the paper, a control, or ours.

    Args:
        key: names it in records and on the command line.
        title: names it in the table.
        run: builds it, learns the normal samples of a problem and scores the test, given the problem, the seed and the
            path of a checkpoint from which an interrupted training resumes.
        seeds: cell of the table → number of seeds; the method does not run in other cells.
        published: the paper's figures for it; their names are those of the table.
        figure: name of its figure in `results/summary.json`; of methods with the same name, such as the two settings of
            MemAE, the better one counts. Empty for a method without a target.
        control: whether it is a control, which shows how far something simpler gets, and not in the paper.
        short: name in pictures and lists; empty for `title`.
        recipe: for a variant of MemAE, its recipe, given the cell and the seed; None for all others.
    """

    key: str
    title: str
    run: Callable[[Problem, int, Path], Result]
    seeds: Mapping[str, int]
    published: Mapping[str, float] = field(default_factory=dict)
    figure: str = ""
    control: bool = False
    short: str = ""
    recipe: Callable[[str, int], Recipe] | None = None

    @property
    def name(self) -> str:
        """Its short name."""
        return self.short or self.title


AnyMethod = Method[Any, Any]


@dataclass(frozen=True)
class Table:
    """A table of the paper: methods in rows, and cells, which are data sets, sizes or encodings.

    Args:
        name: name of its command, and of the folder of its records.
        about: a sentence on what it shows.
        cells: key → title.
        option: name of the option that chooses cells.
        methods: methods in the order in which they run.
        job: makes the job of a method, cell, seed and part.
        parts: parts of a cell that run separately, such as normal classes.
        default: cells that run if none is chosen; None for all.
        part: name of the option that chooses parts; empty if there is only one.
        more_seeds: whether seeds beyond those of the table may be chosen.
    """

    name: str
    about: str
    cells: Mapping[str, str]
    option: str
    methods: tuple[AnyMethod, ...]
    job: Callable[[AnyMethod, str, int, int], Job]
    parts: range = range(1)
    default: tuple[str, ...] | None = None
    part: str = ""
    more_seeds: bool = True

    def method(self, key: str) -> AnyMethod:
        """The method with a key."""
        return next(method for method in self.methods if method.key == key)

    def seeds(self, method: AnyMethod, cell: str) -> range:
        """The seeds of a method in a cell; empty if it does not run there."""
        return range(method.seeds.get(cell, 0))

    def jobs(
        self,
        cells: Iterable[str] | None = None,
        methods: Iterable[AnyMethod] | None = None,
        seeds: Iterable[int] | None = None,
        parts: Iterable[int] | None = None,
    ) -> list[Job]:
        """One job per cell, seed, method and part, in this order, so that whole tables are completed first.

        Args:
            cells: by default all.
            methods: by default all.
            seeds: by default those of the table.
            parts: by default all.
        """
        chosen = self.methods if methods is None else tuple(methods)
        most = max((max(method.seeds.values()) for method in chosen), default=0)
        wanted = tuple(range(most) if seeds is None else seeds)
        parts = tuple(self.parts if parts is None else parts)
        return [
            self.job(method, cell, seed, part)
            for cell in (self.cells if cells is None else cells)
            for seed in wanted
            for method in chosen
            if seed in self._allowed(method, cell, asked=seeds is not None)
            for part in parts
        ]

    def _allowed(self, method: AnyMethod, cell: str, *, asked: bool) -> range:
        own = self.seeds(method, cell)
        return range(2**31) if own and asked and self.more_seeds else own

    def recorded(self, method: AnyMethod, cell: str) -> list[list[Run]]:
        """The recorded runs of a method in a cell, by seed and part; seeds with a missing part are left out."""
        found = [
            [self.job(method, cell, seed, part).record() for part in self.parts] for seed in self.seeds(method, cell)
        ]
        return [[run for run in each if run is not None] for each in found if None not in each]

    def runs(self, method: AnyMethod, cell: str) -> list[Run]:
        """The recorded runs of a method in a cell, as one list."""
        return [run for each in self.recorded(method, cell) for run in each]

    # -------------------------------------------------------------------------------------------- the command line

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Adds the options that choose runs."""
        known = {method.key: method for method in self.methods}
        default = tuple(self.cells) if self.default is None else self.default
        shown = f"{', '.join(self.cells)}; by default {', '.join(default)}"
        parser.add_argument(
            f"--{self.option}", nargs="+", choices=self.cells, default=default, metavar="NAME", help=shown
        )
        shown = f"by default all: {', '.join(known)}"
        parser.add_argument("--methods", nargs="+", choices=known, default=list(known), metavar="METHOD", help=shown)
        if self.part:
            shown = f"{self.parts.start} to {self.parts.stop - 1}; by default each in turn"
            parser.add_argument(
                f"--{self.part}", nargs="+", type=int, choices=self.parts, default=self.parts, metavar="N", help=shown
            )
        parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="by default those of the table")

    def chosen(self, arguments: argparse.Namespace) -> list[Job]:
        """The jobs of given options."""
        methods = [self.method(key) for key in arguments.methods]
        parts = getattr(arguments, self.part) if self.part else None
        return self.jobs(getattr(arguments, self.option), methods, arguments.seeds, parts)


def best(rows: Mapping[AnyMethod, Rows], mean: Callable[[Rows], float]) -> dict[str, AnyMethod]:
    """The best method for each name of a figure in the summary.

    Args:
        rows: methods and their runs.
        mean: figure by which methods are compared, larger = better.
    """
    found: dict[str, AnyMethod] = {}
    for method in rows:
        name = method.figure
        if name and (name not in found or mean(rows[method]) > mean(rows[found[name]])):
            found[name] = method
    return found
