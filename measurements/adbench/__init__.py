"""Tables of ADBench, one class: `TabularMemAE` beside ten detectors of PyOD, and training rows that are not clean."""

import argparse
from collections.abc import Iterable
from typing import Any

from benchmarks import datasets
from benchmarks import jobs as running
from recording.jobs import Job, run
from reproduction.protocol import SHARES

PEERS = {
    "IForest": "iforest",
    "ECOD": "ecod",
    "COPOD": "copod",
    "KNN": "knn",
    "LOF": "lof",
    "OCSVM": "ocsvm",
    "PCA": "pca",
    "AutoEncoder": "auto_encoder",
    "DeepSVDD": "deep_svdd",
    "VAE": "vae",
}
"""Detectors of PyOD, at their defaults, and where in `pyod.models` each lies."""
METHODS = ("ours", *PEERS)
SEEDS = 5
UNCLEAN = ("ours", "ours told", "AutoEncoder", "KNN")
"""Those that also learn rows among which there are anomalies; "told" is told their share."""
UNCLEAN_SEEDS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `python -m measurements adbench`."""
    parser.add_argument("--sets", nargs="+", metavar="SET", help="by default all that are there")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD")
    parser.add_argument("--seeds", nargs="+", type=int, default=range(SEEDS), metavar="SEED")
    running.add_arguments(parser, "docs/quality.md")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> None:
    """Runs what is not recorded yet, and renders the page."""
    if not arguments.render:
        names = datasets.adbench_names() if arguments.sets is None else arguments.sets
        run(jobs(names, list(arguments.methods), arguments.seeds), arguments.jobs)
        run(unclean_jobs(names, list(arguments.methods), arguments.seeds), arguments.jobs)
    from measurements.adbench.page import render  # noqa: PLC0415 (it needs matplotlib)

    render()


def jobs(sets: Iterable[str], methods: Iterable[str], seeds: Iterable[int]) -> list[Job]:
    """One job a seed, table and method, in this order, so that whole tables come first."""
    sets, methods = list(sets), list(methods)
    return [job(name, method, seed) for seed in seeds for name in sets for method in methods]


def job(name: str, method: str, seed: int) -> Job:
    """One run."""
    return Job(f"adbench/{name}/{method}-{seed}", measured, {"name": name, "method": method, "seed": seed})


def unclean_jobs(sets: Iterable[str], methods: Iterable[str], seeds: Iterable[int]) -> list[Job]:
    """One job a seed, table, share of anomalies and method."""
    sets = list(sets)
    wanted = [method for method in UNCLEAN if method.split()[0] in methods]
    return [
        unclean_job(name, method, share, seed)
        for seed in seeds
        if seed < UNCLEAN_SEEDS
        for name in sets
        for share in SHARES
        for method in wanted
        if share or method != "ours told"  # without anomalies it is told nothing
    ]


def unclean_job(name: str, method: str, share: float, seed: int) -> Job:
    """One run with anomalies among the training rows."""
    arguments = {"name": name, "method": method, "share": share, "seed": seed}
    return Job(f"adbench_unclean/{name}/{method.replace(' ', '_')}-{share:g}-{seed}", measured_unclean, arguments)


def measured_unclean(**arguments: Any) -> dict[str, Any]:
    """`runs.measure_contaminated`, imported by the process that runs it."""
    from measurements.adbench.runs import measure_contaminated  # noqa: PLC0415

    return measure_contaminated(**arguments)


def measured(**arguments: Any) -> dict[str, Any]:
    """`runs.measure`, imported by the process that runs it."""
    from measurements.adbench.runs import measure  # noqa: PLC0415

    return measure(**arguments)
