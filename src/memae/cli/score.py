"""`memae score`: raw data in, one row per sample out."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from memae.cli.reading import Rows, by_window, read_as, reads_tables, source_of
from memae.cli.unread import skipped_paths, tell_unread, unread_paths

if TYPE_CHECKING:
    import pandas as pd

    from memae.data.dialects import Dialect
    from memae.estimators import Estimator

Model = Annotated[Path, typer.Argument(help="Model file.", show_default=False)]
FalseAlarms = Annotated[
    float | None,
    typer.Option(help="Share of normal samples that may be flagged; by default as when the model was fitted."),
]

Engine = Literal["torch", "onnxruntime", "openvino"]
EngineOption = Annotated[Engine, typer.Option(help="Inference engine; all but torch need the extra memae\\[engines].")]


MANY = 20
"""Minimum number of samples for the warning that most are flagged."""


@reads_tables
def score(
    model: Model,
    source: Annotated[Path, source_of("Data of the kind the model was fitted on; - is standard input.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write, .csv, .parquet or .jsonl; else CSV on stdout.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Append the input row (tables).")] = False,
    maps: Annotated[
        Path | None, typer.Option(help="Folder for each image under its heat map, or a heat map of each frame.")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Folder for a mask of the anomalous pixels of each image or frame.")
    ] = None,
    false_alarm_rate: FalseAlarms = None,
    fdr: Annotated[
        float | None,
        typer.Option(help="False-discovery rate: mark anomalies of which, on average, this share is normal."),
    ] = None,
    engine: EngineOption = "torch",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON summary; needs --output.")] = False,
    *,
    columns: Rows,
    dialect: "Dialect",
) -> None:
    """Score each row, image or frame. Higher scores are more anomalous; a small p-value means unlike normal.

    With --maps or --masks, rows in a .jsonl file list the anomalous regions.

    Example: memae score model.memae new.csv -o scores.csv --keep
    """
    from memae.cli.paths import check_apart
    from memae.cli.score_table import Places, discovered, scored
    from memae.cli.writing import check_ending, write
    from memae.kinds import Notes
    from memae.scoring.calibration import checked_rate

    if as_json and output is None:
        raise typer.BadParameter("--json needs --output, since without it the rows are written to stdout")
    check_apart(output, model, source)
    check_ending(output)
    estimator, notes = _loaded(model, false_alarm_rate, engine), Notes()
    read_as(estimator, dialect)
    located = bool(maps or masks) and output is not None and output.suffix.lower() == ".jsonl"
    places = Places(maps, masks, regions=located)
    kind = estimator.kind_.ignoring(columns.ignore, strict=columns.strict)
    kind = by_window(kind) if columns.windows else kind
    rows: Iterable[pd.DataFrame] = scored(estimator, kind, source, keep=keep, places=places, notes=notes)
    found = 0
    if fdr is not None:
        rows, found = discovered(rows, checked_rate(fdr, "false-discovery"))
    count, flagged = write(rows, output)
    facts = {"output": str(output), "samples": count, "flagged": flagged, "threshold": estimator.threshold_}
    if fdr is not None:
        facts["discoveries"] = found
        sys.stderr.write(_of_discoveries(found, count, fdr, len(estimator.calibration_.scores)))
    for remark in notes.remarks:
        sys.stderr.write(f"memae: warning: {remark}\n")
    if as_json:
        left_out = {"unread": unread_paths(notes), "skipped": skipped_paths(notes)}
        sys.stdout.write(json.dumps(facts | left_out) + "\n")
    elif output is not None:
        sys.stderr.write(f"{output}: {count} scored, {flagged} flagged (score above {estimator.threshold_:.4g})\n")
    if flagged > count / 2 and count >= MANY:
        message = f"{flagged} of {count} are flagged; if most should be normal, this data is unlike that of training"
        sys.stderr.write(f"{message}: see `memae drift {model} {source}`\n")
    tell_unread(notes)


def _loaded(model: Path, false_alarm_rate: float | None, engine: Engine) -> "Estimator":
    """The detector as the command line wants it."""
    from memae.estimators import load

    estimator = load(model)
    if false_alarm_rate is not None:
        estimator.recalibrate(false_alarm_rate=false_alarm_rate)
    return estimator.use_engine(engine)


def _of_discoveries(found: int, samples: int, rate: float, calibrating: int) -> str:
    """A line with the number of discoveries, and the reason if none is possible."""
    from memae.scoring.calibration import fewest_discoveries

    fewest = fewest_discoveries(calibrating, samples, rate)
    if found or fewest == 1:
        return f"{found} discoveries at a false-discovery rate of {rate:g}\n"
    return (
        f"no discovery at a false-discovery rate of {rate:g}: with {calibrating} scores of normal samples, there "
        f"is one only if {fewest} of {samples} samples score above all of these; recalibrate with more normal samples\n"
    )
