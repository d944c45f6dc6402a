"""The runs of each detector on each table."""

import argparse
from collections.abc import Iterable

from measurements.adbench.runs import PEERS, measure, measure_contaminated
from recording.jobs import Job
from reproduction import datasets
from reproduction.protocol import SHARES

METHODS = ("ours", *PEERS)
SEEDS = 5
UNCLEAN = ("ours", "ours told", "AutoEncoder", "KNN")
"""Those that also learn rows among which there are anomalies; "told" is told their share."""
UNCLEAN_SEEDS = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options by which runs are chosen."""
    parser.add_argument("--sets", nargs="+", metavar="SET", help="by default all that are there")
    shown = f"by default all: {', '.join(METHODS)}"
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD", help=shown)
    shown = f"by default 0 to {SEEDS - 1}"
    parser.add_argument("--seeds", nargs="+", type=int, default=range(SEEDS), metavar="SEED", help=shown)


def chosen(arguments: argparse.Namespace) -> list[Job]:
    """The jobs of given options, those on clean rows first."""
    names = datasets.adbench_names() if arguments.sets is None else arguments.sets
    methods = list(arguments.methods)
    return jobs(names, methods, arguments.seeds) + unclean_jobs(names, methods, arguments.seeds)


def jobs(sets: Iterable[str], methods: Iterable[str], seeds: Iterable[int]) -> list[Job]:
    """One job a seed, table and method, in this order, so that whole tables come first."""
    sets, methods = list(sets), list(methods)
    return [job(name, method, seed) for seed in seeds for name in sets for method in methods]


def job(name: str, method: str, seed: int) -> Job:
    """One run."""
    return Job(f"adbench/{name}/{method}-{seed}", measure, {"name": name, "method": method, "seed": seed})


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
    return Job(f"adbench_unclean/{name}/{method.replace(' ', '_')}-{share:g}-{seed}", measure_contaminated, arguments)
