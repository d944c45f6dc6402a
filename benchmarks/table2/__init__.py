"""Tables 2 and 4: frames of UCSD Ped2, the methods that the paper ran, controls, and ours."""

import argparse
from collections.abc import Iterable
from typing import Any

from benchmarks import jobs as running
from benchmarks.jobs import Job, run

SIZES = (50, 200, 1000, 4000)
"""Numbers of items that Figure 7 has beside 2000."""
METHODS = {
    "ae": 2,
    "memae_authors": 2,
    "memae_paper": 2,
    "ours": 3,
    "ae_l1": 1,
    "memae_nonspar": 1,
    "memae_no_shrinkage": 1,
    "memae_no_entropy": 1,
    "conv2d": 1,
    "conv3d": 1,
    "difference": 1,
    "ours_without_memory": 2,
    "ours_without_paces": 1,
    "ours_without_references": 1,
    "ours_unsmoothed": 1,
    **{f"memae_{items}": 1 for items in SIZES},
}
"""Every method and its number of seeds at the size for two cores."""
DRAWN = {"ae": "AE", "memae_authors": "MemAE", "ours": "VideoMemAE()"}
"""The methods of Figures 5 and 6."""
ITEMS = {**{f"memae_{items}": items for items in SIZES}, "memae_authors": 2000}
"""Those of Figure 7, and their numbers of items."""
AT_FULL_SIZE = (
    "ae",
    "ae_l1",
    "memae_nonspar",
    "memae_no_shrinkage",
    "memae_no_entropy",
    "memae_authors",
    "memae_paper",
)
SEEDS_AT_FULL_SIZE = 5
SCALES = ("cpu", "256", "256_authors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `python -m benchmarks table2`."""
    parser.add_argument("--scale", choices=SCALES, default="cpu", help="how large frames and network are")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="by default those of the tables")
    running.add_arguments(parser, "docs/reproduce.md")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> None:
    """Runs what is not recorded yet, and renders the page."""
    if not arguments.render:
        run(jobs(arguments.scale, arguments.methods, arguments.seeds), arguments.jobs)
    from benchmarks.reproduce import render  # noqa: PLC0415 (it needs matplotlib)

    render()


def jobs(scale: str, methods: Iterable[str], seeds: Iterable[int] | None) -> list[Job]:
    """One job a seed and method, in this order, so that whole tables come first."""
    methods, wanted = list(methods), None if seeds is None else list(seeds)
    return [
        job(scale, method, seed)
        for seed in (range(SEEDS_AT_FULL_SIZE) if wanted is None else wanted)
        for method in methods
        if seed in seeds_of(scale, method) or (wanted is not None and seeds_of(scale, method))
    ]


def seeds_of(scale: str, method: str) -> range:
    """The seeds of a method's row in the table; none where it does not run at that scale."""
    if scale == "cpu":
        return range(METHODS[method])
    return range(SEEDS_AT_FULL_SIZE if method in AT_FULL_SIZE else 0)


def job(scale: str, method: str, seed: int) -> Job:
    """One run."""
    arguments = {"scale": scale, "method": method, "seed": seed}
    return Job(f"table2/ped2_{scale}/{method}/{seed}", measured, arguments, resumes=True)


def measured(**arguments: Any) -> dict[str, Any]:
    """`runs.measure`, imported by the process that runs it."""
    from benchmarks.table2.runs import measure  # noqa: PLC0415

    return measure(**arguments)
