"""Metrics of a model on a labelled source."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from memae.cli.unread import skipped_paths, unread_paths
from memae.estimators import Estimator
from memae.kinds import Kind, Notes
from memae.metrics import quality


def evaluated(
    estimator: Estimator,
    kind: Kind,
    source: Path,
    labels: str | None,
    normal: Sequence[str],
    notes: Notes | None = None,
) -> dict[str, Any]:
    """All metrics of a labelled source, JSON-ready; see `memae.kinds.Kind.labelled`."""
    notes = Notes() if notes is None else notes
    calibration = estimator.calibration_
    found = kind.labelled(estimator.scorer_, source, labels, normal, notes)
    truth, scores = np.concatenate(found.truth), np.concatenate(found.scores)
    figures = quality(truth, scores, calibration.threshold())
    flagged = calibration.judge(torch.from_numpy(scores)).is_anomaly.numpy()
    return {
        "samples": len(scores),
        "anomalous": int(truth.sum()),
        "threshold": calibration.threshold(),
        "flagged": int(flagged.sum()),
        "false_alarm_rate": float(flagged[~truth].mean()),
        **{name: value.as_json() for name, value in figures._asdict().items()},
        **kind.more_figures(found, calibration),
        "unread": unread_paths(notes),
        "skipped": skipped_paths(notes),
    }


def show(facts: dict[str, Any]) -> None:
    """Prints the metrics of `evaluated`."""
    console = Console()
    text = f"{facts['samples']} samples, {facts['anomalous']} anomalous; {facts['flagged']} scores above "
    console.print(f"{text}{facts['threshold']:.4g}; {facts['false_alarm_rate']:.2%} of the normal ones are among them")
    table = Table(box=None, pad_edge=False)
    table.add_column("figure", style="bold")
    table.add_column("value", justify="right")
    table.add_column("95 % interval")
    rows = {name: facts[name] for name in ("auroc", "average_precision", "precision", "recall", "f1")}
    for way, both in facts.get("normalisation", {}).items():
        rows |= {f"{figure} ({way})": value for figure, value in both.items()}
    for kind, of_kind in facts.get("by_defect", {}).items():
        rows[f"auroc of {of_kind['images']} {kind}"] = of_kind["auroc"]
    for name in ("auroc", "pro"):
        if "pixels" in facts:
            rows[f"{name} of pixels"] = {"value": facts["pixels"][name], "low": None, "high": None}
    for name, value in rows.items():
        low, high = value["low"], value["high"]
        shown = "" if low is None else f"{low:.4f} – {high:.4f}"
        table.add_row(name.replace("_", " "), "–" if value["value"] is None else f"{value['value']:.4f}", shown)
    console.print(table)
