"""The runs of each detector on each table."""

import argparse
from collections.abc import Iterable

from measurements.adbench.detectors import BY_KEY, DETECTORS, LEARNING, MIXED, OURS, OURS_TOLD, UNCLEAN, Detector
from measurements.adbench.runs import measure, measure_contaminated, measure_mixed, measure_times
from measurements.adbench.tables import TABLES
from recording.jobs import Job
from reproduction import datasets
from reproduction.protocol import SHARES

SEEDS = 5
FEWER_SEEDS = 3
"""Seeds of runs on mixed tables, and on training rows that are not clean."""
PARTS = ("clean", "unclean", "mixed", "times")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose runs."""
    parser.add_argument("--sets", nargs="+", metavar="SET", help="by default all that are there")
    keys = [detector.key for detector in (*DETECTORS, *LEARNING)]
    shown = f"by default all: {', '.join(keys)}"
    parser.add_argument("--methods", nargs="+", choices=keys, default=keys, metavar="METHOD", help=shown)
    shown = f"by default 0 to {SEEDS - 1}"
    parser.add_argument("--seeds", nargs="+", type=int, default=range(SEEDS), metavar="SEED", help=shown)
    shown = f"by default all: {', '.join(PARTS)}"
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=shown)


def chosen(arguments: argparse.Namespace) -> list[Job]:
    """The jobs of given options, those on clean rows first."""
    detectors, seeds = [BY_KEY[key] for key in arguments.methods], arguments.seeds
    found: list[Job] = []
    if {"clean", "unclean", "times"} & set(arguments.parts):
        names = datasets.adbench_names() if arguments.sets is None else [n for n in arguments.sets if n not in TABLES]
        found += jobs(names, detectors, seeds) if "clean" in arguments.parts else []
        found += unclean_jobs(names, detectors, seeds) if "unclean" in arguments.parts else []
        found += map(times_job, names) if "times" in arguments.parts else []
    if "mixed" in arguments.parts:
        wanted = set(TABLES if arguments.sets is None else arguments.sets)
        if wanted & set(datasets.KEEL):
            datasets.keel_names()  # says at once if they are missing
        found += mixed_jobs([name for name in TABLES if name in wanted], detectors, seeds)
    return found


def jobs(sets: Iterable[str], detectors: Iterable[Detector], seeds: Iterable[int]) -> list[Job]:
    """One job per seed, table and detector, in this order, so that whole tables are completed first."""
    sets, detectors = list(sets), list(detectors)
    return [job(name, detector, seed) for seed in seeds for name in sets for detector in detectors]


def job(name: str, detector: Detector, seed: int) -> Job:
    """One run."""
    arguments = {"name": name, "method": detector.key, "seed": seed}
    return Job(f"adbench/{name}/{_named(detector)}-{seed}", measure, arguments)


def unclean_jobs(sets: Iterable[str], detectors: Iterable[Detector], seeds: Iterable[int]) -> list[Job]:
    """One job per seed, table, share of anomalies and detector."""
    sets, detectors = list(sets), list(detectors)
    wanted = [each for each in UNCLEAN if (OURS if each is OURS_TOLD else each) in detectors]
    return [
        unclean_job(name, detector, share, seed)
        for seed in seeds
        if seed < FEWER_SEEDS
        for name in sets
        for share in SHARES
        for detector in wanted
        if share or detector is not OURS_TOLD  # without anomalies there is no share to give
    ]


def unclean_job(name: str, detector: Detector, share: float, seed: int) -> Job:
    """One run with anomalies among the training rows."""
    arguments = {"name": name, "method": detector.key, "share": share, "seed": seed}
    return Job(f"adbench_unclean/{name}/{_named(detector)}-{share:g}-{seed}", measure_contaminated, arguments)


def mixed_jobs(sets: Iterable[str], detectors: Iterable[Detector], seeds: Iterable[int]) -> list[Job]:
    """One job per seed, mixed table and detector."""
    sets, detectors = list(sets), list(detectors)
    wanted = [each for each in MIXED if each in detectors]
    return [
        mixed_job(name, detector, seed) for seed in seeds if seed < FEWER_SEEDS for name in sets for detector in wanted
    ]


def mixed_job(name: str, detector: Detector, seed: int) -> Job:
    """One run on a mixed table."""
    arguments = {"name": name, "method": detector.key, "seed": seed}
    return Job(f"adbench_mixed/{name}/{_named(detector)}-{seed}", measure_mixed, arguments)


def times_job(name: str) -> Job:
    """The times to fit one table, side by side."""
    return Job(f"adbench_times/{name}", measure_times, {"name": name, "seed": 0})


def _named(detector: Detector) -> str:
    return detector.key.replace(" ", "_")
