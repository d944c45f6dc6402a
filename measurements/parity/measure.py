"""Scores of the same samples through every surface, compared with those of the estimator in Python."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from measurements.parity.cases import CASES, Case
from measurements.parity.page import KEY
from measurements.parity.surfaces import SURFACES, in_python
from memae.engines.runtimes import sizes
from memae.errors import OptionError
from recording import records
from recording.records import figure


def measured(name: str, case: Case) -> dict[str, Any]:
    """The record of a data set."""
    start = time.perf_counter()
    case.detector.save(case.model)
    expected = in_python(case)
    size = sizes(case.detector.scorer_, torch.from_numpy(expected.score)).numpy()
    apart, alarms, refused = {}, {}, {}
    for surface, asked in SURFACES.items():
        sys.stderr.write(f"parity: {name}, {surface}\n")
        try:
            found = asked(case)
        except OptionError as error:
            refused[surface] = str(error).split(" is not written: ")[-1]
            continue
        apart[surface] = float((np.abs(found.score - expected.score) / size).max())
        alarms[surface] = int((found.is_anomaly != expected.is_anomaly).sum())
    return {
        "figures": {f"parity/{name}/largest_relative_difference": figure(max(apart.values()), n=len(apart))},
        "relative_difference": apart,
        "other_alarms": alarms,
        "refused": refused,
        "samples": len(expected.score),
        "alarms": int(expected.is_anomaly.sum()),
        "scores": [float(expected.score.min()), float(expected.score.max())],
        "seconds": time.perf_counter() - start,
    }


def add_options(_: argparse.ArgumentParser) -> None:
    """None."""


def measure(_: argparse.Namespace) -> None:
    """Trains a small detector per data set, scores through every surface, and records the differences."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that are started
    found = {}
    for name, made in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder) / name
            own.mkdir()
            found[name] = measured(name, made(own))
        records.save("parity", name, found[name])
    figures = [each for record in found.values() for each in record["figures"].values()]
    count = sum(int(each["n"]) for each in figures)
    records.save("parity", "together", {"figures": {KEY: figure(max(each["value"] for each in figures), n=count)}})
