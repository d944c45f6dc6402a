"""The stages of the study as jobs, each known as soon as the one before it is recorded."""

from collections.abc import Callable, Iterable, Iterator
from statistics import mean
from typing import NamedTuple

from recording.jobs import Job
from reproduction.tables import Run
from reproduction.takes.design import ROWS
from reproduction.takes.runs import LOWEST, job
from reproduction.takes.settings import VARIANTS, Setting, Variant
from reproduction.takes.studies import STUDIES

SEEDS = range(3)
BEST = 3
RECODED = ("mnist_jpeg", "mnist")
"""Copies through JPEG, and the same images without."""
PLAIN = Setting()
"""Of the runs on copies: that of our Table 1 for MNIST."""

Figures = dict[Variant, float]
"""AUROC or F1 of each variant."""


class Row(NamedTuple):
    """One setting and what its recorded runs found."""

    setting: Setting
    parts: dict[int, Figures]  # problems of which all three variants are recorded

    def mean(self, variant: Variant) -> float:
        """Over the problems."""
        return mean(figures[variant] for figures in self.parts.values())

    @property
    def gap(self) -> float:
        """Of MemAE over AE."""
        return self.mean("memae") - self.mean("ae")


def jobs_of(name: str, settings: Iterable[Setting], parts: Iterable[int], seeds: Iterable[int] = (0,)) -> list[Job]:
    """All variants of some settings, problem by problem, each job once."""
    parts, settings = tuple(parts), tuple(settings)
    found = [
        job(name, part, seed, variant, setting)
        for seed in seeds
        for part in parts
        for setting in settings
        for variant in VARIANTS
    ]
    return list({each.name: each for each in found}.values())


def screening(name: str) -> list[Job]:
    """The first problem with all 32 rows, then the next."""
    study = STUDIES[name]
    return jobs_of(name, study.screening(), study.parts)


def recoded(name: str) -> list[Job]:
    """MNIST through JPEG and as it is, under the setting of Table 1; first the classes of the screening."""
    if name != RECODED[1]:
        return []
    study = STUDIES[name]
    parts = list(dict.fromkeys((*study.parts, *study.all_parts)))
    return [each for part in parts for copies in RECODED for each in jobs_of(copies, [PLAIN], [part])]


def steps(name: str) -> list[Job]:
    """From the best row, one factor at a time; nothing before the screening is recorded."""
    found = stepped(name)
    return jobs_of(name, found, STUDIES[name].parts)


def finals(name: str) -> list[Job]:
    """The best settings on all problems; nothing before the steps are recorded."""
    study = STUDIES[name]
    return jobs_of(name, (row.setting for row in best(name)), study.all_parts, SEEDS)


STAGES: dict[str, Callable[[str], list[Job]]] = {
    "screening": screening,
    "recoded": recoded,
    "steps": steps,
    "finals": finals,
}
"""In the order in which they run."""


def stepped(name: str) -> list[Setting]:
    """The settings of the steps; empty before the screening is recorded."""
    study = STUDIES[name]
    rows = complete(name, study.screening(), study.parts)
    if len(rows) < 2 * ROWS:
        return []
    return list(study.steps(max(rows, key=_reached).setting))


def best(name: str) -> list[Row]:
    """The settings of the finals: those with the highest MemAE in screening and steps; empty before both are recorded.

    Chosen with the labels of the test.
    """
    study, further = STUDIES[name], stepped(name)
    tried = [*study.screening(), *further]
    rows = complete(name, tried, study.parts)
    return sorted(rows, key=_reached, reverse=True)[:BEST] if further and len(rows) == len(tried) else []


def _reached(row: Row) -> float:
    return row.mean("memae")


def figure_of(record: Run, end: str = LOWEST, score: str | None = None) -> float:
    """The figure of a record, by default Eq. 8 at the lowest held-out error; 0 if the training diverged."""
    if "failed" in record or end not in record["ends"]:
        return 0.0
    scores = record["ends"][end]
    return float(scores[next(iter(scores)) if score is None else score])


def records_of(name: str, setting: Setting, part: int, seed: int = 0) -> dict[Variant, Run]:
    """The records of a setting on a problem; variants that are not recorded are left out."""
    found = {variant: job(name, part, seed, variant, setting).record() for variant in VARIANTS}
    return {variant: record for variant, record in found.items() if record is not None}


def row(name: str, setting: Setting, parts: Iterable[int], seed: int = 0) -> Row:
    """What is recorded of a setting on some problems."""
    found = {part: records_of(name, setting, part, seed) for part in parts}
    return Row(
        setting,
        {
            part: {variant: figure_of(record) for variant, record in records.items()}
            for part, records in found.items()
            if len(records) == len(VARIANTS)
        },
    )


def complete(name: str, settings: Iterable[Setting], parts: tuple[int, ...]) -> list[Row]:
    """The rows of which every problem is recorded."""
    rows = [row(name, setting, parts) for setting in settings]
    return [each for each in rows if len(each.parts) == len(parts)]


def partly(name: str, settings: Iterable[Setting], parts: tuple[int, ...]) -> Iterator[Row]:
    """The rows of which at least one problem is recorded."""
    yield from (each for setting in settings if (each := row(name, setting, parts)).parts)
