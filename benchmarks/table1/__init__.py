"""Table 1: ten one-class problems a data set, every method of the paper, the controls, and ours."""

import argparse
from collections.abc import Iterable
from typing import Any

from benchmarks import jobs as running
from benchmarks.jobs import Job, run

DATASETS = ("mnist", "cifar10")
METHODS = {
    "ae": 3,
    "memae_nonspar": 3,
    "memae_paper": 3,
    "memae_authors": 3,
    "ours": 3,
    "ours_without_memory": 3,
    "pca_8": 3,
    "pca_32": 3,
    "pca_128": 3,
    "neighbour": 3,
    "ocsvm": 3,
    "kde": 3,
    "vae": 3,
    "dsebm": 3,
    "pixelcnn": 3,
}
"""Every method and its number of seeds."""
ONE_SEED = {("cifar10", method) for method in ("vae", "dsebm", "pixelcnn", "ours_without_memory")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `python -m benchmarks table1`."""
    known, methods = ", ".join(DATASETS), f"by default all: {', '.join(METHODS)}"
    parser.add_argument("--dataset", nargs="+", choices=DATASETS, default=DATASETS, metavar="SET", help=known)
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=list(METHODS),
        metavar="METHOD",
        help=f"by default all: {methods}",
    )
    normal = "that are normal, 0 to 9; by default each in turn"
    parser.add_argument(
        "--classes", nargs="+", type=int, choices=range(10), default=range(10), metavar="CLASS", help=normal
    )
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="by default 0 1 2, for the slowest 0")
    running.add_arguments(parser, "docs/reproduce.md")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> None:
    """Runs what is not recorded yet, and renders the page."""
    if not arguments.render:
        chosen = jobs(arguments.dataset, arguments.methods, arguments.classes, arguments.seeds)
        run(chosen, arguments.jobs)
    from benchmarks.reproduce import render  # noqa: PLC0415 (it needs matplotlib)

    render()


def jobs(
    datasets: Iterable[str], methods: Iterable[str], classes: Iterable[int], seeds: Iterable[int] | None
) -> list[Job]:
    """One job a data set, seed, method and class, in this order, so that whole tables come first."""
    methods, classes, wanted = list(methods), list(classes), None if seeds is None else list(seeds)
    return [
        job(dataset, method, normal, seed)
        for dataset in datasets
        for seed in (range(max(METHODS.values())) if wanted is None else wanted)
        for method in methods
        if wanted is not None or seed in seeds_of(dataset, method)
        for normal in classes
    ]


def seeds_of(dataset: str, method: str) -> range:
    """The seeds of a method's row in the table."""
    return range(1 if (dataset, method) in ONE_SEED else METHODS[method])


def job(dataset: str, method: str, normal: int, seed: int) -> Job:
    """One run."""
    arguments = {"dataset": dataset, "method": method, "normal": normal, "seed": seed}
    return Job(f"table1/{dataset}/{method}/{normal}-{seed}", measured, arguments, resumes=True)


def measured(**arguments: Any) -> dict[str, Any]:
    """`runs.measure`, imported by the process that runs it."""
    from benchmarks.table1.runs import measure  # noqa: PLC0415

    return measure(**arguments)
