"""The part of docs/quality.md on the time to fit."""

from statistics import median

import pandas as pd

from measurements.adbench.detectors import AUTOENCODER, BY_KEY, KNN, OURS, TIMED
from measurements.adbench.jobs import times_job
from measurements.adbench.recorded import table_of
from measurements.adbench.runs import ROUNDS
from recording import records


def read(names: list[str]) -> pd.DataFrame:
    """CPU seconds to fit, a row for each table, round and detector; empty unless all tables are recorded."""
    found = [(name, times_job(name).record()) for name in names]
    if any(record is None for _, record in found):
        return pd.DataFrame()
    return pd.DataFrame(
        [
            {"table": name, "method": key, "round": index, "seconds": value, "provenance": record["provenance"]}
            for name, record in found
            if record
            for key, values in record["fit_cpu_seconds"].items()
            for index, value in enumerate(values)
        ]
    )


def medians(times: pd.DataFrame) -> "pd.Series[float]":
    """Seconds of each detector: the median over the tables of the median over the rounds."""
    return times.pivot_table("seconds", "table", "method", aggfunc="median").median()


def scoreboard(times: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The figures that have a target: ratios of the medians, and the deviation of that ratio from round to round."""
    seconds = medians(times)
    rounds = times.pivot_table("seconds", "round", "method", aggfunc="median")
    names = {
        "adbench/ours/fit_time_vs_pyod_autoencoder": AUTOENCODER.key,
        "adbench/ours/fit_time_vs_pyod_knn": KNN.key,
    }
    return {
        name: records.figure(
            float(seconds[OURS.key] / seconds[key]), float((rounds[OURS.key] / rounds[key]).std(ddof=0)), len(rounds)
        )
        for name, key in names.items()
    }


def page(times: pd.DataFrame) -> list[str]:
    """The lines of this part."""
    seconds = medians(times)
    by_table = times.pivot_table("seconds", "table", "method", aggfunc="median")
    rows = [
        [
            BY_KEY[detector.key].name,
            f"{seconds[detector.key]:.4f}",
            f"{by_table[detector.key].max():.2f}",
            f"{seconds[OURS.key] / seconds[detector.key]:.3f}",
            f"{median(by_table[OURS.key] / by_table[detector.key]):.3f}",
        ]
        for detector in TIMED
    ]
    return [
        "",
        "## Time to fit",
        "",
        f"CPU seconds on one thread; the detectors are fitted to each of the {times['table'].nunique()} tables in "
        f"turn, {ROUNDS} times after once that does not count (seed 0). The ratio that has a target is that of the "
        "medians.",
        "",
        *table_of(("detector", "median", "longest", "ours ÷ it: of the medians", "median over the tables"), rows),
    ]
