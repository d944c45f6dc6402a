"""Table 3: KDDCUP99 10 percent, every method of the paper, controls, and ours."""

import argparse
from collections.abc import Iterable
from typing import Any

from benchmarks import jobs as running
from benchmarks.jobs import Job, run

METHODS = {
    "ae": 20,
    "memae_nonspar": 20,
    "memae_paper": 20,
    "memae_authors": 20,
    "ours": 20,
    "ocsvm": 20,
    "dcn": 20,
    "dsebm": 20,
    "dagmm": 20,
    "ae_longest": 3,
    "memae_longest": 3,
    "untrained_memae": 5,
    "untrained_dagmm": 5,
    "pca_2": 5,
    "pca_20": 5,
    "iforest": 5,
    "neighbours": 5,
}
"""Every method and its number of runs: 20 in the paper, fewer for the controls that it does not have."""
COLUMNS = {118: 3, 119: 3, 121: 3}
"""Other encodings, and how many runs of `BY_COLUMNS` they get."""
BY_COLUMNS = ("ae", "memae_paper")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `python -m benchmarks table3`."""
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="by default 20, for controls 3 or 5")
    running.add_arguments(parser, "docs/reproduce.md")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> None:
    """Runs what is not recorded yet, and renders the page."""
    if not arguments.render:
        run(jobs(arguments.methods, arguments.seeds), arguments.jobs)
    from benchmarks.reproduce import render  # noqa: PLC0415 (it needs matplotlib)

    render()


def jobs(methods: Iterable[str], seeds: Iterable[int] | None) -> list[Job]:
    """One job a seed and method, in this order; then the other encodings."""
    methods = list(methods)
    wanted = list(range(max(METHODS.values())) if seeds is None else seeds)
    found = [job(name, seed) for seed in wanted for name in methods if seed < METHODS[name]]
    return found + [
        job(name, seed, columns)
        for columns, count in COLUMNS.items()
        for name in BY_COLUMNS
        if name in methods
        for seed in wanted
        if seed < count
    ]


def job(method: str, seed: int, columns: int = 120) -> Job:
    """One run."""
    arguments = {"method": method, "seed": seed, "columns": columns}
    place = method if columns == 120 else f"{method}_{columns}"
    return Job(f"table3/{place}/{seed}", measured, arguments, resumes=True)


def measured(**arguments: Any) -> dict[str, Any]:
    """`runs.measure`, imported by the process that runs it."""
    from benchmarks.table3.runs import measure  # noqa: PLC0415

    return measure(**arguments)
