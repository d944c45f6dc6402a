"""`memae evaluate`: scores against labels."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memae.cli.reading import Columns, read_as, reads_tables, source_of
from memae.cli.score import EngineOption, FalseAlarms, Model
from memae.cli.unread import tell_unread

if TYPE_CHECKING:
    from memae.data.dialects import Dialect


@reads_tables
def evaluate(
    model: Model,
    source: Annotated[Path, source_of("Labelled data of the model's kind; - is standard input.")],
    labels: Annotated[
        str | None,
        typer.Option(help="Table: the column; video: a .npy, a .csv, or the folder of the *_gt folders."),
    ] = None,
    normal: Annotated[
        list[str], typer.Option(help="Label of normal rows; repeat for several. Without it, 0 is normal.")
    ] = [],  # noqa: B006 (typer's way)
    false_alarm_rate: FalseAlarms = None,
    engine: EngineOption = "torch",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    *,
    columns: Columns,
    dialect: "Dialect",
) -> None:
    """Evaluate a model on labelled data: AUROC, average precision, and precision, recall, F1 at its threshold.

    Images need no --labels: those in the folder good/ are normal, those in any other folder anomalous.

    Example: memae evaluate model.memae test.csv --labels class --normal benign
    """
    from memae.cli.quality import evaluated, show
    from memae.estimators import load
    from memae.kinds import Notes

    estimator = load(model)
    read_as(estimator, dialect)
    if false_alarm_rate is not None:
        estimator.recalibrate(false_alarm_rate=false_alarm_rate)
    estimator.use_engine(engine)
    notes = Notes()
    kind = estimator.kind_.ignoring(columns.ignore, strict=columns.strict)
    facts = evaluated(estimator, kind, source, labels, normal, notes)
    if as_json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        show(facts)
    tell_unread(notes)
