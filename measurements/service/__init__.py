"""The service under load: how much it answers, how soon, and what it does when it is asked for more."""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import records

DATA = ("kddcup", "breast_cancer")
MINUTES = 300.0
"""Seconds that count; what runs for less is a trial."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `python -m measurements service`."""
    parser.add_argument("--seconds", type=float, default=MINUTES, help="of saturation and of half of it, each")
    parser.add_argument("--data", choices=DATA, nargs="+", default=list(DATA), help="tables, one after another")
    parser.add_argument("--render", action="store_true", help="measure nothing, only write docs/service.md once more")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Measures and records; less than five minutes are only shown."""
    from measurements.service.measure import measure  # noqa: PLC0415 (its packages take seconds)
    from measurements.service.page import render, shown  # noqa: PLC0415 (the same)

    for data in () if arguments.render else arguments.data:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(data, arguments.seconds, Path(folder))
        sys.stdout.write("\n".join(shown({data: found})) + "\n")
        if arguments.seconds >= MINUTES:
            records.save("service", data, found)
    if arguments.render or arguments.seconds >= MINUTES:
        records.summarise()
        render()
