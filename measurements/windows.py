"""Windows of rows beside single rows, on public series, rendered to docs/windows.md.

`python -m measurements windows WHEEL` takes the wheel of the package aeon (`pip download --no-deps aeon`), which ships
the series; nothing of it is run.
"""

import argparse
import io
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from memae import TabularMemAE
from memae.errors import OptionError
from recording import records
from recording.records import figure

Truth = NDArray[np.bool_]
DATA = "aeon/datasets/data/"
PAGE = records.ROOT / "docs" / "windows.md"
RECORDING = "recording"
FAULTS = ("stuck", "noisy", "late", "halved", "drifting")
"""What a sensor does for `LONG` rows, once in `EVERY` rows: hold its value, have noise of half its deviation, show what
it showed `LATE` rows before, move half as far around its mean, move away by two deviations."""
LONG, EVERY, LATE = 150, 500, 40
PER_CLASS = 3
"""Recordings of each class of the test part of which one class is normal."""
SEEN = ("faults", "ecg", "bleeding", "motion")
"""Series that were in view when what stands for a window was chosen."""


class Task(NamedTuple):
    """Normal rows and labelled rows of a series."""

    name: str
    window: int  # rows
    normal: pd.DataFrame
    test: pd.DataFrame
    truth: Truth  # (n,), whether each row of `test` is anomalous

    @property
    def seen(self) -> bool:
        """Whether it was in view when the summaries were chosen."""
        return self.name.split(" ")[0] in SEEN


class Shipped:
    """The series in a wheel of aeon.

    Raises:
        OptionError: there is no such file.
    """

    def __init__(self, wheel: Path) -> None:
        if not zipfile.is_zipfile(wheel):
            raise OptionError(f"{wheel} is no wheel; get one with `pip download --no-deps aeon`")
        self._zip = zipfile.ZipFile(wheel)

    def table(self, name: str) -> pd.DataFrame:
        """A CSV file."""
        return pd.read_csv(io.BytesIO(self._zip.read(DATA + name)))

    def recordings(self, name: str, part: str) -> tuple[list[NDArray[np.float64]], NDArray[np.str_]]:
        """Recordings `(rows, channels)` of a .ts file, and their classes."""
        lines = self._zip.read(f"{DATA}{name}/{name}_{part}.ts").decode().splitlines()
        rows = [line.split(":") for line in lines if line.strip() and line[0] not in "#@"]
        values = [np.array([channel.split(",") for channel in row[:-1]], dtype=np.float64).T for row in rows]
        return values, np.array([row[-1] for row in rows])


def tasks(shipped: Shipped) -> Iterator[Task]:
    """All series."""
    yield from _faults(shipped)
    yield _labelled(
        "ecg (generated)",
        shipped.table("UnitTest/ecg-diff-count-3_TRAIN_NA.csv"),
        shipped.table("UnitTest/ecg-diff-count-3_TEST.csv"),
    )
    bleeding = "KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16"
    yield _labelled("bleeding (UCR 135)", shipped.table(f"{bleeding}_TRAIN.csv"), shipped.table(f"{bleeding}_TEST.csv"))
    motions = ("Badminton", "Running", "Standing", "Walking")
    yield from (_odd_one_out(shipped, "motion", "BasicMotions", 32, each) for each in motions)
    yield from (_one_class(shipped, "gesture", "GunPoint", 32, each) for each in "12")
    yield from (_one_class(shipped, "appliance", "ACSF1", 60, str(each)) for each in range(10))


def _faults(shipped: Shipped) -> Iterator[Task]:
    """Nine accelerometers of a person who walks (Daphnet): one of them fails, by a recipe."""
    series = shipped.table("Daphnet_S06R02E0/S06R02E0.csv").iloc[:, 1:-1].astype(float)
    half = len(series) // 2
    normal, second = series[:half], series[half:].reset_index(drop=True)
    spread = normal.std().to_numpy()
    for fault in FAULTS:
        random = np.random.default_rng(0)
        values, truth = second.to_numpy(copy=True), np.zeros(len(second), dtype=bool)
        for first in range(200, len(values) - 200, EVERY):
            rows, channel = slice(first, first + LONG), int(random.integers(values.shape[1]))
            values[rows, channel] = _failing(fault, second.to_numpy()[:, channel], first, spread[channel], random)
            truth[rows] = True
        yield Task(f"faults {fault} (Daphnet)", 64, normal, pd.DataFrame(values, columns=series.columns), truth)


def _failing(
    fault: str, sensor: NDArray[np.float64], first: int, spread: float, random: np.random.Generator
) -> NDArray[np.float64]:
    given = sensor[first : first + LONG]
    mean = given.mean()
    ways = {
        "stuck": np.full(LONG, given[0]),
        "noisy": given + random.normal(0, spread / 2, LONG),
        "late": sensor[first - LATE : first - LATE + LONG],
        "halved": mean + (given - mean) / 2,
        "drifting": given + np.linspace(0, 2 * spread, LONG),
    }
    found: NDArray[np.float64] = ways[fault]
    return found


def _labelled(name: str, normal: pd.DataFrame, test: pd.DataFrame) -> Task:
    """Series whose files have a column of labels."""
    return Task(name, 64, normal.iloc[:, 1:-1], test.iloc[:, 1:-1], test.iloc[:, -1].to_numpy(dtype=bool))


def _odd_one_out(shipped: Shipped, kind: str, name: str, window: int, odd: str) -> Task:
    """Recordings of which one class is anomalous."""
    training, classes = shipped.recordings(name, "TRAIN")
    return _of_recordings(
        f"{kind} {odd} ({name})",
        window,
        [each for each, label in zip(training, classes, strict=True) if label != odd],
        [(each, label == odd) for each, label in zip(*shipped.recordings(name, "TEST"), strict=True)],
    )


def _one_class(shipped: Shipped, kind: str, name: str, window: int, only: str) -> Task:
    """Recordings of which one class is normal."""
    training, classes = shipped.recordings(name, "TRAIN")
    test, labels = shipped.recordings(name, "TEST")
    few = [index for label in np.unique(labels) for index in np.flatnonzero(labels == label)[:PER_CLASS]]
    return _of_recordings(
        f"{kind} {only} ({name})",
        window,
        [each for each, label in zip(training, classes, strict=True) if label == only],
        [(test[index], bool(labels[index] != only)) for index in few],
    )


def _of_recordings(
    name: str, window: int, normal: list[NDArray[np.float64]], test: list[tuple[NDArray[np.float64], bool]]
) -> Task:
    truth = np.concatenate([np.full(len(each), odd) for each, odd in test])
    return Task(name, window, _stacked(normal), _stacked([each for each, _ in test]), truth)


def _stacked(recordings: list[NDArray[np.float64]]) -> pd.DataFrame:
    frames = [
        pd.DataFrame(each, columns=[f"channel {index}" for index in range(each.shape[1])]).assign(**{RECORDING: number})
        for number, each in enumerate(recordings)
    ]
    return pd.concat(frames, ignore_index=True)


def scored(task: Task) -> dict[str, Any]:
    """AUROC over rows, of single rows and of windows, and the share of normal rows that each flags."""
    grouped = RECORDING in task.normal
    normal, test = (part.drop(columns=RECORDING, errors="ignore") for part in (task.normal, task.test))
    single, windows = TabularMemAE(), TabularMemAE(window=task.window, group=RECORDING if grouped else None)
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for way, detector, (train, later) in (
            ("single", single, (normal, test)),
            ("windows", windows, (task.normal, task.test)),
        ):
            scores = detector.fit(train).anomaly_score(later)
            found[way] = {
                "auroc": float(roc_auc_score(task.truth, scores)),
                "false_alarms": float((scores[~task.truth] > detector.threshold_).mean()),
            }
    return {"window": task.window, "rows": len(task.normal), "seen": task.seen, **found}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where the series are."""
    parser.add_argument("wheel", type=Path, nargs="?", help="a wheel of aeon, from `pip download --no-deps aeon`")


def measure(arguments: argparse.Namespace) -> None:
    """Scores all series, and records the results.

    Raises:
        OptionError: the wheel is not named.
    """
    if arguments.wheel is None:
        raise OptionError("windows needs the wheel of aeon, from `pip download --no-deps aeon`; or --render")
    found = {}
    for task in tasks(Shipped(arguments.wheel)):
        found[task.name] = scored(task)
        each = found[task.name]
        sys.stderr.write(f"{task.name}: rows {each['single']['auroc']:.3f}, windows {each['windows']['auroc']:.3f}\n")
    figures = {
        f"windows/{part}/{way}/auroc": figure(_mean(found, seen, way))
        for part, seen in (("seen", True), ("left_out", False))
        for way in ("single", "windows")
    }
    records.save("windows", "series", {"figures": figures, "series": found, "aeon": arguments.wheel.name})


def _mean(found: dict[str, Any], seen: bool, way: str) -> float:
    return float(np.mean([each[way]["auroc"] for each in found.values() if each["seen"] == seen]))


def render() -> None:
    """Writes the page."""
    record = records.read(records.RESULTS / "windows.json")["series"]
    rows = [
        f"| {name} | {'yes' if each['seen'] else 'no'} | {each['window']} | {each['single']['auroc']:.3f} | "
        f"{each['windows']['auroc']:.3f} | {each['windows']['false_alarms']:.0%} |"
        for name, each in record["series"].items()
    ]
    means = [
        f"| **mean, {word}** | | | **{_mean(record['series'], seen, 'single'):.3f}** | "
        f"**{_mean(record['series'], seen, 'windows'):.3f}** | |"
        for word, seen in (("in view", True), ("left out", False))
    ]
    PAGE.write_text("\n".join([*ABOUT, *rows, *means]) + "\n", encoding="utf-8")


ABOUT = (
    "# Windows of rows, beside single rows",
    "",
    "Written by `python -m measurements windows WHEEL` from `benchmarks/results/windows.json`. The series are those "
    "that the package aeon ships: Daphnet (accelerometers of a person who walks; a sensor fails by the recipe in "
    "`measurements/windows.py`), a generated ECG with labels (GutenTAG), series 135 of the UCR anomaly archive, and "
    "recordings of several classes: of motions one class is anomalous, of gestures (GunPoint) and appliances (ACSF1) "
    "all but one are. Recordings are groups, which no window spans.",
    "",
    "What stands for a window was chosen with the series *in view*: mean, deviation, slope and change from row to row. "
    "On faults, ECG and bleeding they were better on average than with minimum and maximum besides, and than "
    "logarithms of the deviations; spectral bands and the means of eight parts were no better on ECG, bleeding and "
    "motions. The other series were left out, but for one look at a gesture before that. A row has the score of its "
    "window; AUROC counts rows. False alarms are the share of normal rows of the test part that windows flag at a rate "
    "of 5 %. Neither rows nor windows find a person who stands still where all others move: what is in the middle of "
    "all that is normal is near to it.",
    "",
    "| series | in view | window, rows | single rows, AUROC | windows, AUROC | windows, false alarms |",
    "|---|---|---|---|---|---|",
)
