"""`memae score`: raw data in, a row a sample out."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

Model = Annotated[Path, typer.Argument(help="Model file.", show_default=False)]
Ignored = Annotated[list[str], typer.Option(help="Column that the model was not fitted with; repeat for each.")]
FalseAlarms = Annotated[
    float | None,
    typer.Option(help="Share of normal samples that may be flagged; by default the one the model was fitted with."),
]

Engine = Literal["torch", "onnxruntime", "openvino"]
EngineOption = Annotated[Engine, typer.Option(help="What computes; the others need the extra memae\\[engines].")]


def score(
    model: Model,
    source: Annotated[Path, typer.Argument(help="Data of the kind the model was fitted on.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File: .csv, .parquet or .jsonl; CSV on stdout without.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Append the input row (tables).")] = False,
    ignore: Ignored = [],  # noqa: B006 (typer's way)
    maps: Annotated[Path | None, typer.Option(help="Folder for a heat map of each image or frame.")] = None,
    false_alarm_rate: FalseAlarms = None,
    engine: EngineOption = "torch",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON summary; needs --output.")] = False,
) -> None:
    """Score each row, image or frame: higher = more anomalous, p-value small = unlike normal.

    Example: memae score model.memae new.csv -o scores.csv --keep
    """
    from memae.cli.rows import check_ending, scored, write
    from memae.estimators import load
    from memae.files import check_writable

    if as_json and output is None:
        raise typer.BadParameter("--json needs --output, since the rows go to stdout without it")
    if output is not None:
        check_writable(output)
    check_ending(output)
    estimator = load(model)
    if false_alarm_rate is not None:
        estimator.recalibrate(false_alarm_rate=false_alarm_rate)
    estimator.use_engine(engine)
    count, flagged = write(scored(estimator, source, keep=keep, ignore=ignore, maps=maps), output)
    facts = {"output": str(output), "samples": count, "flagged": flagged, "threshold": estimator.threshold_}
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
    elif output is not None:
        sys.stderr.write(f"{output}: {count} scored, {flagged} flagged (score above {estimator.threshold_:.4g})\n")
