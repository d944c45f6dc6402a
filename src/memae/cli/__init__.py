"""The command line: parses, calls, prints; exit code 0 for success, 1 for a user error, 2 for wrong usage.

Commands import heavy modules late.
"""

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from memae import __version__
from memae.cli.drift import drift
from memae.cli.evaluate import evaluate
from memae.cli.explain import explain
from memae.cli.export import export
from memae.cli.fit import fit
from memae.cli.processors import computing
from memae.cli.recalibrate import recalibrate
from memae.cli.report import report
from memae.cli.score import score
from memae.cli.serve import serve
from memae.cli.update import update
from memae.cli.watch import watch
from memae.errors import MemaeError, MemaeNotice, MemaeWarning, sentence

app = typer.Typer(
    name="memae",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(fit, name="fit")
for command in (score, evaluate, explain, drift, watch, report, serve, export, update, recalibrate):
    app.command(command.__name__)(computing(command))


@app.callback(invoke_without_command=True)
def memae(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Learn what normal looks like; flag what is not: tables, images and video.

    [bold]Example[/bold]

      memae fit table normal.csv -o model.memae

      memae score model.memae new.csv -o scores.csv
    """
    if version:
        sys.stdout.write(f"memae {__version__}\n")
        raise typer.Exit


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="Model file, or the models of many groups.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_card: Annotated[bool, typer.Option("--card", help="Print a model card, Markdown, for a reviewer.")] = False,
    group: Annotated[
        list[str],
        typer.Option("--group", help="Of the models of many groups, that of this; repeat for each column."),
    ] = [],  # noqa: B006 (typer's way)
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="With --group: write this model as a model file.")
    ] = None,
) -> None:
    """Show what a model is: network, memory health, training, calibration, provenance.

    Of the models of many groups, as `memae fit table --by` writes them, it lists the groups.

    Example: memae inspect model.memae
    """
    from memae.cli.card import card
    from memae.cli.inspect import describe, show
    from memae.cli.inspect_shelf import describe_shelf, show_shelf, taken
    from memae.estimators import load
    from memae.shelves.reading import Shelf, is_shelf

    if as_json and as_card:
        raise typer.BadParameter("--json and --card cannot be combined; give one of them")
    many = is_shelf(model)
    if (group and not many) or (output and not group):
        raise typer.BadParameter("--group KEY takes one of the models of many groups, and -o FILE writes it")
    if many and not group:
        if as_card:
            raise typer.BadParameter("a card is of one model; choose it with --group KEY")
        facts = describe_shelf(Shelf(model))
        sys.stdout.write(json.dumps(facts, indent=2) + "\n") if as_json else show_shelf(facts)
        return
    estimator = taken(Shelf(model), group, output) if many else load(model)
    if as_card:
        sys.stdout.write(card(estimator, model.name))
    elif as_json:
        sys.stdout.write(json.dumps(describe(estimator), indent=2) + "\n")
    else:
        show(describe(estimator))


@app.command()
@computing
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the page and the picture.")] = Path("demo"),
) -> None:
    """Train an autoencoder and MemAE on real digits, a real table and a generated video; write a page on the results.

    Example: memae demo --out demo
    """
    from memae.demo import run

    for line in run(out):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


INTERRUPTED = 130
"""Conventional exit code of an interrupted program."""


def _one_line(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, MemaeNotice):
        sys.stderr.write(f"{message}\n")
    elif issubclass(category, MemaeWarning):
        sys.stderr.write(f"memae: warning: {message}\n")


def main() -> None:
    """Runs the command line; an error becomes a sentence on stderr and an exit code."""
    warnings.showwarning = _one_line
    try:
        app()
    except MemaeError as error:
        sys.stderr.write(f"memae: error: {sentence(error)}\n")
        raise SystemExit(1) from None
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer has caught the interrupt
            sys.stderr.write("memae: interrupted; no incomplete file was left\n")
        raise
    except BrokenPipeError:  # the reader of our output has closed it, as in `memae score … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except (MemoryError, OSError) as error:
        sys.stderr.write(f"memae: error: {error or 'out of memory; lower the batch size or the sample size'}\n")
        raise SystemExit(1) from None
    except Exception as error:  # a bug of ours: say how to get the traceback
        if os.environ.get("MEMAE_DEBUG"):
            raise
        sys.stderr.write(
            f"memae: internal error: {type(error).__name__}: {error}; set MEMAE_DEBUG=1 for the traceback\n"
        )
        raise SystemExit(1) from None
