"""Scores against labels, for each kind of data."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from memae.data.images import find_images, labels_from_layout
from memae.data.labels import find_labels
from memae.data.table_files import table_chunks
from memae.data.tables import without
from memae.errors import OptionError
from memae.estimators import Estimator
from memae.frames import causal, normality
from memae.metrics import Estimate, quality, video_auroc


def judge(
    estimator: Estimator, source: Path, labels: str | None, normal: list[str], ignore: list[str]
) -> dict[str, Any]:
    """All figures of a labelled source, JSON-ready."""
    if estimator.kind == "table":
        return _table(estimator, source, labels, normal, ignore)
    if normal or ignore:
        raise OptionError("--normal and --ignore are for tables")
    return (_images if estimator.kind == "image" else _video)(estimator, source, labels)


def _table(estimator: Any, source: Path, labels: str | None, normal: list[str], ignore: list[str]) -> dict[str, Any]:
    if labels is None:
        raise OptionError("a table needs --labels COLUMN, the column that tells normal from anomalous rows")
    known, scores = [], []
    for chunk in table_chunks(source, text=estimator.encoder_.text)():
        rest = without(chunk, [labels, *ignore], strict=True)
        known.append(_truth(chunk[labels], normal))
        scores.append(estimator.anomaly_score(rest))
    truth = np.concatenate(known)
    if normal and truth.all():
        raise OptionError(f"no row has the label {' or '.join(normal)} in column {labels!r}; see --normal")
    return _facts(estimator, truth, np.concatenate(scores))


def _truth(column: "pd.Series[Any]", normal: list[str]) -> np.ndarray[Any, Any]:
    """True where a row is anomalous."""
    if normal:
        return (~column.map(str).isin(normal)).to_numpy()
    values = set(column.unique().tolist())
    if not values <= {0, 1}:
        shown = ", ".join(sorted(map(str, values))[:5])
        raise OptionError(f"the labels are {shown}, not 0 and 1; name the normal ones with --normal")
    return column.to_numpy(dtype=bool)


def _images(estimator: Any, source: Path, labels: str | None) -> dict[str, Any]:
    if labels is not None:
        raise OptionError(
            "images take no --labels: the folder good/ holds the normal ones, other folders the anomalies"
        )
    paths = find_images(source)
    truth = labels_from_layout(paths, source)
    return _facts(estimator, truth, estimator.anomaly_score(paths))


def _video(estimator: Any, source: Path, labels: str | None) -> dict[str, Any]:
    found: dict[str, list[float]] = {}
    for frame in estimator.frames(source):
        found.setdefault(frame.video, []).append(frame.score)
    errors = [np.array(scores) for scores in found.values()]
    truth = find_labels(Path(labels) if labels else source, list(found), [len(scores) for scores in errors])
    held_out = estimator.scorer_.calibration.scores
    low, high = float(held_out[0]), float(held_out[-1])
    ways = {
        "per_video": [1 - normality(scores) for scores in errors],
        "causal": [causal(scores, low, high) for scores in errors],
        "none": errors,
    }
    facts = _facts(estimator, np.concatenate(truth), np.concatenate(errors))
    facts["videos"] = len(errors)
    facts["normalisation"] = {}
    for name, scores in ways.items():
        micro, macro = video_auroc(truth, scores)
        facts["normalisation"][name] = {"micro_auroc": _plain(micro), "macro_auroc": _plain(macro)}
    return facts


def _facts(estimator: Estimator, truth: Any, scores: Any) -> dict[str, Any]:
    figures = quality(truth, scores, estimator.threshold_)
    return {
        "samples": len(scores),
        "anomalous": int(truth.sum()),
        "threshold": estimator.threshold_,
        "flagged": int((scores > estimator.threshold_).sum()),
        "false_alarm_rate": float((scores[truth == 0] > estimator.threshold_).mean()),
        **{name: _plain(value) for name, value in figures._asdict().items()},
    }


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else round(value, 6) for name, value in estimate._asdict().items()}


def show(facts: dict[str, Any]) -> None:
    """Prints what `judge` gave."""
    console = Console()
    told = f"{facts['samples']} samples, {facts['anomalous']} anomalous; {facts['flagged']} scores above "
    console.print(f"{told}{facts['threshold']:.4g}; {facts['false_alarm_rate']:.2%} of the normal ones are among them")
    table = Table(box=None, pad_edge=False)
    table.add_column("figure", style="bold")
    table.add_column("value", justify="right")
    table.add_column("95 % interval")
    rows = {name: facts[name] for name in ("auroc", "average_precision", "precision", "recall", "f1")}
    for way, both in facts.get("normalisation", {}).items():
        rows |= {f"{figure} ({way})": value for figure, value in both.items()}
    for name, value in rows.items():
        low, high = value["low"], value["high"]
        shown = "" if low is None else f"{low:.4f} – {high:.4f}"
        table.add_row(name.replace("_", " "), "–" if value["value"] is None else f"{value['value']:.4f}", shown)
    console.print(table)
