"""Speed: each section measures one row of the table in docs/speed.md, side by side with what it is compared with."""

import argparse
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from benchmarks import records

SECTIONS = (
    "addressing",
    "peak_memory",
    "overhead",
    "peers",
    "engines",
    "video_file",
    "startup",
    "curves",
    "streaming",
    "together",
    "watch",
)
LONGEST = "watch"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `python -m measurements speed`."""
    parser.add_argument(
        "--only",
        nargs="+",
        choices=SECTIONS,
        default=[section for section in SECTIONS if section != LONGEST],
        metavar="SECTION",
        help=f"some sections; by default all but {LONGEST}, which takes an hour",
    )
    parser.add_argument("--render", action="store_true", help="measure nothing, only write docs/speed.md once more")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # the process of one section
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the sections one after another, each in a fresh process on one core, and renders the page."""
    if arguments.here:
        _measure(arguments.only[0])
        return
    for section in () if arguments.render else arguments.only:
        sys.stderr.write(f"speed: {section}\n")
        command = [sys.executable, "-m", "benchmarks", "speed", "--here", "--only", section]
        one_core = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=one_core, cwd=Path(__file__).parents[2])  # noqa: S603
    from measurements.speed.page import render  # noqa: PLC0415 (it needs matplotlib)

    records.summarise()
    render()


def _measure(section: str) -> None:
    import torch  # noqa: PLC0415 (only the process that measures needs it)

    torch.set_num_threads(1)
    found = import_module(f"measurements.speed.{section}").measure()
    records.save("speed", section, found)
