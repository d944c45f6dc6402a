"""The runs of each method on each set."""

import argparse
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from memae.errors import SourceError
from recording.jobs import Job
from reproduction import datasets
from reproduction.images import sets
from reproduction.images.methods import BY_KEY, Method
from reproduction.images.runs import measure, measure_class
from reproduction.images.sets import CLASSES

SEEDS = 3
FOLDER = "images"
"""Of the records."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose runs."""
    shown = f"folder of sets in the layout of MVTec AD; by default {datasets.DATA}"
    parser.add_argument("--root", type=Path, default=datasets.DATA, metavar="DIR", help=shown)
    shown = f"folders in DIR, or {', '.join(CLASSES)}; by default all folders in DIR"
    parser.add_argument("--sets", nargs="+", metavar="SET", help=shown)
    shown = f"by default all: {', '.join(BY_KEY)}"
    parser.add_argument("--methods", nargs="+", choices=BY_KEY, default=list(BY_KEY), metavar="METHOD", help=shown)
    shown = f"by default 0 to {SEEDS - 1}"
    parser.add_argument("--seeds", nargs="+", type=int, default=range(SEEDS), metavar="SEED", help=shown)


def chosen(arguments: argparse.Namespace) -> list[Job]:
    """The jobs of given options.

    Raises:
        SourceError: there is no such set.
    """
    wanted = arguments.sets or sets.names(arguments.root)
    for name in wanted:
        if name not in CLASSES and name not in (known := sets.names(arguments.root)):
            raise SourceError(f"{arguments.root} has no set {name!r}; there are {', '.join(known)}")
    return jobs(wanted, [BY_KEY[key] for key in arguments.methods], arguments.seeds, arguments.root)


def jobs(names: Iterable[str], methods: Iterable[Method], seeds: Iterable[int], root: Path) -> list[Job]:
    """One job per seed, set and method (and class), in this order, so that whole tables are completed first."""
    names, methods = list(names), list(methods)
    found: list[Job] = []
    for seed in seeds:
        for name in names:
            for method in methods:
                if name in CLASSES:
                    found += class_jobs(name, method, seed) if method.classes else []
                elif method.folders and (method.sampled or not seed):
                    found.append(job(name, method, seed, root))
    return found


def job(name: str, method: Method, seed: int, root: Path = datasets.DATA) -> Job:
    """One run on a set in the layout of MVTec AD; the folder is none of its recorded arguments."""
    arguments = {"name": name, "method": method.key, "seed": seed}
    return Job(f"{FOLDER}/{name}/{method.key}-{seed}", partial(measure, root=str(root)), arguments)


def class_jobs(name: str, method: Method, seed: int) -> list[Job]:
    """One run for each class of a set."""
    return [
        Job(
            f"{FOLDER}/{name}/{method.key}/{normal}-{seed}",
            measure_class,
            {"name": name, "method": method.key, "normal": normal, "seed": seed},
        )
        for normal in range(10)
    ]


def recorded(method: Method, name: str) -> list[list[dict[str, object]]]:
    """The recorded runs of a method on a set, by seed and class; seeds of which a class is missing are left out."""
    found = [
        [each.record() for each in (class_jobs(name, method, seed) if name in CLASSES else [job(name, method, seed)])]
        for seed in range(SEEDS)
    ]
    return [[run for run in runs if run is not None] for runs in found if None not in runs]
