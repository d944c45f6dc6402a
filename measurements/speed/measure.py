"""Starts the sections, each in a process of its own."""

import argparse
import os
import subprocess
import sys
from importlib import import_module

import torch

from recording import records

SECTIONS = (
    "addressing",
    "peak_memory",
    "overhead",
    "peers",
    "rows",
    "kept_memory",
    "engines",
    "video_file",
    "startup",
    "curves",
    "streaming",
    "score_memory",
    "photo_memory",
    "together",
    "watch",
)
LONGEST = ("watch", "photo_memory")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the option that chooses sections."""
    parser.add_argument(
        "--only",
        nargs="+",
        choices=SECTIONS,
        default=[section for section in SECTIONS if section not in LONGEST],
        metavar="SECTION",
        help=f"some sections; by default all but {' and '.join(LONGEST)}, which take an hour each",
    )


def measure(arguments: argparse.Namespace) -> None:
    """Measures the sections one after another, each in a fresh process on one core."""
    for section in arguments.only:
        sys.stderr.write(f"speed: {section}\n")
        one_core = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-m", __name__, section], check=True, env=one_core, cwd=records.ROOT)  # noqa: S603


def here(section: str) -> None:
    """Measures one section in this process, and records it."""
    torch.set_num_threads(1)
    found = import_module(f"measurements.speed.{section}").measure()
    records.save("speed", section, found, command=f"python -m measurements speed --only {section}")


if __name__ == "__main__":
    here(sys.argv[1])
