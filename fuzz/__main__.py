"""Tries files of one format: `python -m fuzz images FILE…`; or inputs of a campaign, for `measurements fuzz`."""

import argparse
from pathlib import Path

from fuzz import child, csv_tables, images, model_files, parquet_tables, videos

FORMATS = {each.FORMAT.name: each.FORMAT for each in (images, csv_tables, parquet_tables, videos, model_files)}


def main() -> None:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("files", nargs="*", type=Path, help="files to try unchanged, in this process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--numbers", nargs=2, type=int, metavar=("FIRST", "STOP"), help="range of a campaign's inputs")
    parser.add_argument("--folder", type=Path, help="where progress and failures are written")
    arguments = parser.parse_args()
    chosen = FORMATS[arguments.format]
    for file in arguments.files:
        print(f"{file}: accepted by {chosen.target(file.read_bytes())} surfaces")  # noqa: T201 (a command)
    if arguments.numbers:
        child.run(chosen, arguments.seed, range(*arguments.numbers), arguments.folder)


if __name__ == "__main__":
    main()
