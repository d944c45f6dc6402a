"""Runs benchmarks: `python -m benchmarks speed`."""

import argparse

from benchmarks import speed


def main() -> None:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parts = parser.add_subparsers(required=True, metavar="PART")
    speed.add_arguments(parts.add_parser("speed", help="cost of everything, beside its peers"))
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
