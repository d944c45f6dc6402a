"""Reproduces the paper on its data sets: `python -m reproduction table1`; `--help` lists all commands."""

from recording.commands import main
from reproduction.commands import COMMANDS

if __name__ == "__main__":
    main("reproduction", "Reproduces the paper on its data sets.", COMMANDS)
