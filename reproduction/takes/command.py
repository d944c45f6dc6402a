"""`python -m reproduction takes`: runs stage after stage, for as long as it is given."""

import argparse
import time

from recording import jobs
from reproduction.takes.stages import STAGES
from reproduction.takes.studies import STUDIES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the study."""
    shown = f"{', '.join(STUDIES)}; by default all"
    parser.add_argument("--set", nargs="+", choices=STUDIES, default=list(STUDIES), metavar="NAME", help=shown)
    shown = f"{', '.join(STAGES)}; by default all, in this order"
    parser.add_argument("--stage", nargs="+", choices=STAGES, default=list(STAGES), metavar="STAGE", help=shown)
    parser.add_argument(
        "--hours", type=float, metavar="H", help="begin no run after so many hours; by default all runs"
    )
    parser.add_argument("--jobs", type=int, default=2, help="number of runs at a time, one core each")


def measure(arguments: argparse.Namespace) -> None:
    """Runs what is not recorded yet; a stage starts with what the stages before it have recorded."""
    until = None if arguments.hours is None else time.time() + 3600 * arguments.hours
    for stage in arguments.stage:
        for name in arguments.set:
            if until is None or time.time() < until:
                jobs.run(STAGES[stage](name), arguments.jobs, until)
