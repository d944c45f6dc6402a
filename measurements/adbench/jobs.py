"""The runs of each detector on each table."""

import argparse
from collections.abc import Iterable

from measurements.adbench.detectors import BY_KEY, DETECTORS, OURS, OURS_TOLD, UNCLEAN, Detector
from measurements.adbench.runs import measure, measure_contaminated
from recording.jobs import Job
from reproduction import datasets
from reproduction.protocol import SHARES

SEEDS = 5
UNCLEAN_SEEDS = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose runs."""
    parser.add_argument("--sets", nargs="+", metavar="SET", help="by default all that are there")
    keys = [detector.key for detector in DETECTORS]
    shown = f"by default all: {', '.join(keys)}"
    parser.add_argument("--methods", nargs="+", choices=keys, default=keys, metavar="METHOD", help=shown)
    shown = f"by default 0 to {SEEDS - 1}"
    parser.add_argument("--seeds", nargs="+", type=int, default=range(SEEDS), metavar="SEED", help=shown)


def chosen(arguments: argparse.Namespace) -> list[Job]:
    """The jobs of given options, those on clean rows first."""
    names = datasets.adbench_names() if arguments.sets is None else arguments.sets
    detectors = [BY_KEY[key] for key in arguments.methods]
    return jobs(names, detectors, arguments.seeds) + unclean_jobs(names, detectors, arguments.seeds)


def jobs(sets: Iterable[str], detectors: Iterable[Detector], seeds: Iterable[int]) -> list[Job]:
    """One job per seed, table and detector, in this order, so that whole tables are completed first."""
    sets, detectors = list(sets), list(detectors)
    return [job(name, detector, seed) for seed in seeds for name in sets for detector in detectors]


def job(name: str, detector: Detector, seed: int) -> Job:
    """One run."""
    arguments = {"name": name, "method": detector.key, "seed": seed}
    return Job(f"adbench/{name}/{detector.key}-{seed}", measure, arguments)


def unclean_jobs(sets: Iterable[str], detectors: Iterable[Detector], seeds: Iterable[int]) -> list[Job]:
    """One job per seed, table, share of anomalies and detector."""
    sets, detectors = list(sets), list(detectors)
    wanted = [each for each in UNCLEAN if (OURS if each is OURS_TOLD else each) in detectors]
    return [
        unclean_job(name, detector, share, seed)
        for seed in seeds
        if seed < UNCLEAN_SEEDS
        for name in sets
        for share in SHARES
        for detector in wanted
        if share or detector is not OURS_TOLD  # without anomalies there is no share to give
    ]


def unclean_job(name: str, detector: Detector, share: float, seed: int) -> Job:
    """One run with anomalies among the training rows."""
    arguments = {"name": name, "method": detector.key, "share": share, "seed": seed}
    path = f"adbench_unclean/{name}/{detector.key.replace(' ', '_')}-{share:g}-{seed}"
    return Job(path, measure_contaminated, arguments)
