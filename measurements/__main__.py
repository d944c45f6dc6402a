"""Measures the library on real data: `python -m measurements speed`; `--help` lists all commands."""

from measurements.commands import COMMANDS
from recording.commands import main

if __name__ == "__main__":
    main("measurements", "Measures the library on real data.", COMMANDS)
