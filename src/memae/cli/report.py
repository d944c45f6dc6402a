"""`memae report`: scores and explanations as an HTML page to pass on."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memae.cli.reading import Columns, read_as, reads_tables, source_of
from memae.cli.score import FalseAlarms, Model
from memae.cli.unread import tell_unread

if TYPE_CHECKING:
    from memae.data.dialects import Dialect


@reads_tables
def report(
    model: Model,
    source: Annotated[Path, source_of("Data of the kind the model was fitted on; - is standard input.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Page to write, .html.", show_default=False)],
    top: Annotated[int, typer.Option(help="Number of samples to explain, the most anomalous first.", min=1)] = 8,
    false_alarm_rate: FalseAlarms = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.", show_default=False)] = None,
    *,
    columns: Columns,
    dialect: "Dialect",
) -> None:
    """Write an HTML page for people who know nothing about models: what is unusual, why, and how sure that is.

    Example: memae report model.memae new.csv -o report.html
    """
    from memae.cli.paths import check_apart
    from memae.errors import OptionError
    from memae.estimators import load
    from memae.report import write

    if output.suffix.lower() not in (".html", ".htm"):
        raise OptionError(f"{output} must end in .html, so that a browser opens it")
    check_apart(output, model, source)
    detector = load(model)
    read_as(detector, dialect)
    if false_alarm_rate is not None:
        detector.recalibrate(false_alarm_rate=false_alarm_rate)
    command = shlex.join(["memae", *sys.argv[1:]])
    chosen: dict[str, Any] = {"top": top, "ignore": columns.ignore, "strict": columns.strict, "title": title}
    found = write(detector, source, output, **chosen, model=model, command=command)
    sys.stderr.write(f"{output}: {found.tally.count} scored, {found.tally.flagged} flagged\n")
    tell_unread(found.notes)
