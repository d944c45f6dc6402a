"""Training by two processes against one: losses of all epochs, and AUROC against the spread of three seeds.

The processes run this module: `torchrun -m measurements.ranks FILE`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from memae.estimators import ImageMemAE
from memae.group import join
from recording import marked, records
from recording.records import figure

PAGE = records.ROOT / "docs" / "ranks.md"
LOSS, AUROC = "scale/torchrun/largest_relative_difference_of_loss", "scale/torchrun/auroc_difference_over_spread"
WORDS = (
    (LOSS, "two processes against one: largest relative difference of the loss, ten epochs, three seeds", "≤ 1e-3"),
    (AUROC, "largest difference of AUROC with the same seed, over the spread of the seeds", "≤ 1"),
)
SEEDS = (0, 1, 2)
NORMAL, LEARNED = 8, 120
"""The digit that is normal, and how many of its images are learned; the rest is tested, with all other digits."""
SETTINGS: dict[str, Any] = {"features": "none", "epochs": 10, "warmup": 2, "n_items": 40, "batch_size": 16}


def trained() -> list[dict[str, Any]]:
    """Losses, items in use and AUROC of a training with each seed, by all processes that run this."""
    digits = load_digits()
    images, anomalous = digits.images.astype(np.uint8), digits.target != NORMAL
    normal = np.flatnonzero(~anomalous)
    tested = np.delete(np.arange(len(images)), normal[:LEARNED])
    found = []
    for seed in SEEDS:
        detector = ImageMemAE(random_state=seed, **SETTINGS).fit(images[normal[:LEARNED]])
        auroc = roc_auc_score(anomalous[tested], detector.anomaly_score(images[tested]))
        items = [epoch.health.in_use for epoch in detector.history_ if epoch.health]
        losses = [epoch.loss for epoch in detector.history_]
        found.append({"seed": seed, "losses": losses, "items_in_use": items, "auroc": float(auroc)})
    return found


def compared(folder: Path) -> dict[str, Any]:
    """Trainings by two processes, started by torchrun, against the same by this one."""
    path = folder / "two.json"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "measurements.ranks"]
    subprocess.run([sys.executable, *launch, str(path)], cwd=records.ROOT, check=True)  # noqa: S603
    one, two = trained(), json.loads(path.read_text(encoding="utf-8"))
    losses, others = (np.array([each["losses"] for each in some]) for some in (one, two))
    auroc, other = (np.array([each["auroc"] for each in some]) for some in (one, two))
    return {
        "one_process": one,
        "two_processes": two,
        "figures": {
            LOSS: figure(float(np.abs(others / losses - 1).max())),
            AUROC: figure(float(np.abs(auroc - other).max() / np.ptp(auroc))),
        },
    }


def render() -> None:
    """Writes what was measured between the marks of the page."""
    found = records.read(records.RESULTS / "scale.json").get("torchrun", {}).get("figures", {})
    rows = [f"| {what} | {target} | {found[key]['value']:.2g} |" for key, what, target in WORDS if key in found]
    marked.replace(PAGE, ["| | target | measured |", "|---|---:|---:|", *rows] if rows else [])


if __name__ == "__main__":
    torch.set_num_threads(1)
    results = trained()
    if join(torch.device("cpu")).leads:
        Path(sys.argv[1]).write_text(json.dumps(results), encoding="utf-8")
