"""Commands of `python -m reproduction` and `python -m measurements`, and how they turn runs into a page."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from memae.errors import MemaeError
from recording import jobs, records


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        name: name on the command line.
        about: a sentence for `--help`.
        add_arguments: adds its options to a parser.
        run: runs it with the parsed options.
    """

    name: str
    about: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def measuring(
    name: str,
    about: str,
    page: str,
    add_options: Callable[[argparse.ArgumentParser], None],
    measure: Callable[[argparse.Namespace], object],
    render: Callable[[], None],
) -> Command:
    """A command that measures, and then renders a page from the records.

    Args:
        name: name of the command.
        about: a sentence for `--help`.
        page: path of the page, for the help of `--render`.
        add_options: adds the options that choose what to measure.
        measure: measures and records.
        render: writes the page.
    """

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        add_options(parser)
        parser.add_argument("--render", action="store_true", help=f"measure nothing, only rewrite {page}")

    def run(arguments: argparse.Namespace) -> None:
        if not arguments.render:
            measure(arguments)
        records.summarise()
        render()

    return Command(name, about, add_arguments, run)


def of_jobs(
    name: str,
    about: str,
    page: str,
    add_options: Callable[[argparse.ArgumentParser], None],
    chosen: Callable[[argparse.Namespace], Iterable[jobs.Job]],
    render: Callable[[], None],
) -> Command:
    """A command that runs those of the chosen jobs that are not recorded yet; see `measuring`."""

    def add_both(parser: argparse.ArgumentParser) -> None:
        add_options(parser)
        parser.add_argument("--jobs", type=int, default=2, help="number of runs at a time, one core each")

    def measure(arguments: argparse.Namespace) -> None:
        jobs.run(chosen(arguments), arguments.jobs)

    return measuring(name, about, page, add_both, measure, render)


def main(package: str, about: str, commands: Sequence[Command]) -> None:
    """Parses the command line of `python -m PACKAGE` and runs the command that it names."""
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=about)
    parts = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in commands:
        own = parts.add_parser(command.name, help=command.about, description=command.about)
        command.add_arguments(own)
        own.set_defaults(run=command.run)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except MemaeError as error:
        parser.exit(2, f"{package}: {error}\n")
    except ModuleNotFoundError as error:
        parser.exit(2, f"{package}: {error.name} is missing; install it with pip install -e '.[bench]'\n")
