"""The recorded runs as tables, and how two detectors compare over tables."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import pandas as pd
from scipy import stats

from measurements.adbench.detectors import Detector
from measurements.adbench.jobs import SEEDS
from recording import records
from recording.jobs import Job

KEPT = ("auroc", "average_precision", "fit_seconds", "score_seconds", "provenance")


def read(names: Sequence[str], detectors: Iterable[Detector], job: Callable[[str, Detector, int], Job]) -> pd.DataFrame:
    """Runs, a row each, of the seeds for which every detector is recorded on every table.

    Args:
        names: of the tables.
        detectors: of which to read runs.
        job: the run of a table, a detector and a seed.
    """
    detectors = list(detectors)
    rows = []
    for seed in range(SEEDS):
        found = [
            ({"table": name, "method": detector.key, "seed": seed}, job(name, detector, seed).record())
            for name in names
            for detector in detectors
        ]
        if all(record is not None for _, record in found):
            rows += [run | {key: record[key] for key in KEPT} for run, record in found if record]
    return pd.DataFrame(rows)


def recorded_names(part: str) -> list[str]:
    """Names of the tables with runs in a folder of `results/runs`, in no order."""
    folder = records.RESULTS / "runs" / part
    return [path.stem for path in folder.iterdir()] if folder.exists() else []


def by_number(names: Iterable[str]) -> list[str]:
    """Names of tables of ADBench in its order."""
    return sorted(names, key=lambda name: int(name.split("_")[0]))


def by_table(runs: pd.DataFrame, figure: str = "auroc") -> pd.DataFrame:
    """A figure, mean over the seeds: a row for each table, a column for each method, both in the order of the runs."""
    return runs.pivot_table(figure, "table", "method", sort=False)


def by_seed(runs: pd.DataFrame, figure: str = "auroc") -> pd.DataFrame:
    """A figure, mean over the tables: a row for each seed, a column for each method."""
    return runs.pivot_table(figure, "seed", "method", sort=False)


class Comparison(NamedTuple):
    """One detector minus another, paired over tables."""

    difference: float  # mean
    wins: int
    losses: int
    two_sided: float  # p-value of Wilcoxon's signed-rank test
    greater: float  # p-value of the one-sided test, whose alternative is that the first one is better


def compare(first: "pd.Series[float]", second: "pd.Series[float]") -> Comparison:
    """Compares figures of the same tables, the higher the better."""
    difference = first - second
    p = {
        side: float(stats.wilcoxon(difference, alternative=side).pvalue) if difference.any() else 1.0
        for side in ("two-sided", "greater")
    }
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    return Comparison(float(difference.mean()), wins, losses, p["two-sided"], p["greater"])


def table_of(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    return [f"| {' | '.join(header)} |", "|---" * len(header) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def best_in_bold(values: Sequence[float]) -> list[str]:
    """Figures with three digits, the highest ones in bold."""
    return [f"**{value:.3f}**" if value == max(values) else f"{value:.3f}" for value in values]
