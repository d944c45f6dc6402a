"""`memae score`: raw data in, one row per sample out."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from memae.cli.reading import Rows, by_window, grouped, read_as, reads_tables, source_of
from memae.cli.unread import skipped_paths, tell_unread, unread_paths

if TYPE_CHECKING:
    import pandas as pd

    from memae.cli.folder_parts import Scoring
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


class Drawn(NamedTuple):
    """Pictures that are written beside the scores."""

    maps: Annotated[
        Path | None, typer.Option(help="Folder for each image under its heat map, or a heat map of each frame.")
    ] = None
    masks: Annotated[
        Path | None, typer.Option(help="Folder for a mask of the anomalous pixels of each image or frame.")
    ] = None


class Spread(NamedTuple):
    """How a folder is scored into a folder."""

    workers: Annotated[int, typer.Option(help="Processes that score a folder, one core each.", min=1)] = 1
    part: Annotated[
        str | None, typer.Option(help="I/N: score the Ith (from 0) of N parts of a folder; others do the rest.")
    ] = None


@reads_tables
@grouped(drawn=Drawn, spread=Spread)
def score(
    model: Model,
    source: Annotated[Path, source_of("Data of the kind the model was fitted on; - is standard input.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write, .csv, .parquet or .jsonl, or a folder; else CSV on stdout."
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Append the input row (tables).")] = False,
    drawn: Drawn = Drawn(),  # noqa: B008 (immutable)
    false_alarm_rate: FalseAlarms = None,
    fdr: Annotated[
        float | None,
        typer.Option(help="False-discovery rate: mark anomalies of which, on average, this share is normal."),
    ] = None,
    engine: EngineOption = "torch",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON summary; needs --output.")] = False,
    spread: Spread = Spread(),  # noqa: B008 (immutable)
    *,
    columns: Rows,
    dialect: "Dialect",
) -> None:
    """Score each row, image or frame. Higher scores are more anomalous; a small p-value means unlike normal.

    With --maps or --masks, rows in a .jsonl file list the anomalous regions.

    A folder with an output folder is scored file by file, largest first, by --workers processes. The same command
    continues what was stopped; _SUCCESS is there when all is done.

    With the models of many groups, each row is scored by that of its group; a row without one gets a reason.

    Example: memae score model.memae new.csv -o scores.csv --keep
    """
    from memae.cli.paths import check_apart
    from memae.cli.score_shelf import Wanted, score_shelf
    from memae.cli.score_table import Places, discovered, scored
    from memae.cli.writing import check_ending, write
    from memae.errors import OptionError
    from memae.kinds import Notes
    from memae.scoring.calibration import checked_rate
    from memae.shelves.reading import Shelf, is_shelf
    from memae.shelves.scoring import ByGroup

    if as_json and output is None:
        raise typer.BadParameter("--json needs --output, since without it the rows are written to stdout")
    if is_shelf(model):
        _check_for_groups(drawn, spread, engine, windows=columns.windows)
        shelf = Shelf(model, false_alarm_rate=false_alarm_rate)
        rows_of_groups = ByGroup(shelf, columns.by, columns.shared, columns.ignore, columns.strict)
        score_shelf(rows_of_groups, Wanted(source, output, keep, fdr, dialect), as_json=as_json)
        return
    if columns.by or columns.shared:
        raise OptionError(f"--by and --shared are for the models of many groups; {model} is a single model")
    if output is not None and source.is_dir() and (output.is_dir() or not output.suffix):
        order = _scoring(model, output, false_alarm_rate, engine, keep, columns, dialect)
        _score_folder(order, source, spread, drawn, fdr, as_json=as_json)
        return
    if spread != Spread():
        raise OptionError("--workers and --part are for a folder that is scored into a folder, -o FOLDER")
    check_apart(output, model, source)
    check_ending(output)
    estimator, notes = _loaded(model, false_alarm_rate, engine), Notes()
    read_as(estimator, dialect)
    located = bool(drawn.maps or drawn.masks) and output is not None and output.suffix.lower() == ".jsonl"
    places = Places(*drawn, regions=located)
    kind = estimator.kind_.ignoring(columns.ignore, strict=columns.strict)
    kind = by_window(kind) if columns.windows else kind
    rows: Iterable[pd.DataFrame] = scored(estimator, kind, source, keep=keep, places=places, notes=notes)
    found = 0
    if fdr is not None:
        rows, found = discovered(rows, checked_rate(fdr, "false-discovery"), output)
    count, flagged = write(rows, output)
    facts = {"output": str(output), "samples": count, "flagged": flagged, "threshold": estimator.threshold_}
    if fdr is not None:
        facts["discoveries"] = found
        sys.stderr.write(of_discoveries(found, count, fdr, len(estimator.calibration_.scores)))
    for remark in notes.remarks:
        sys.stderr.write(f"memae: warning: {remark}\n")
    if as_json:
        left_out = {"unread": unread_paths(notes), "skipped": skipped_paths(notes)}
        sys.stdout.write(json.dumps(facts | left_out) + "\n")
    elif output is not None:
        sys.stderr.write(f"{output}: {count} scored, {flagged} flagged (score above {estimator.threshold_:.4g})\n")
    if _mostly(flagged, count):
        sys.stderr.write(f"{_mostly(flagged, count)}: see `memae drift {model} {source}`\n")
    tell_unread(notes)


def _mostly(flagged: int, count: int) -> str:
    """A warning if most are flagged, else nothing."""
    if flagged <= count / 2 or count < MANY:
        return ""
    return f"{flagged} of {count} are flagged; if most should be normal, this data is unlike that of training"


def _check_for_groups(drawn: Drawn, spread: Spread, engine: Engine, *, windows: bool) -> None:
    """Refuses what is not there for the models of many groups."""
    from memae.errors import OptionError

    given = {
        "--maps and --masks": drawn != Drawn(),
        "--workers and --part": spread != Spread(),
        "--engine": engine != "torch",
        "--windows": windows,
    }
    for names, there in given.items():
        if there:
            raise OptionError(f"{names} cannot be used with the models of many groups; leave it out")


def _scoring(
    model: Path,
    output: Path,
    false_alarm_rate: float | None,
    engine: Engine,
    keep: bool,
    columns: Rows,
    dialect: "Dialect",
) -> "Scoring":
    """What is done with each piece of a folder."""
    from memae.cli.folder_parts import Scoring
    from memae.errors import OptionError
    from memae.modelfile.artifact import named

    if columns.windows:
        raise OptionError("--windows needs one file as output, -o scores.csv; leave it out for a folder")
    content = Path(named(model)).read_bytes()
    return Scoring(content, output, false_alarm_rate, engine, keep, tuple(columns.ignore), columns.strict, dialect)


def _score_folder(
    scoring: "Scoring", source: Path, spread: Spread, drawn: Drawn, fdr: float | None, *, as_json: bool
) -> None:
    """Scores a folder into a folder, and tells what was found."""
    from memae.cli.score_folder import Share, score_folder
    from memae.errors import OptionError
    from memae.scoring.calibration import checked_rate

    if drawn != Drawn():
        raise OptionError("--maps and --masks need one file as output, -o scores.csv; leave them out for a folder")
    rate = None if fdr is None else checked_rate(fdr, "false-discovery")
    read_as(scoring.estimator, scoring.dialect)  # raises if the options do not fit the model
    facts = score_folder(scoring, source, spread.workers, Share.parsed(spread.part), rate)
    if rate is not None:
        sys.stderr.write(of_discoveries(facts["fdr"]["discoveries"], facts["samples"], rate, facts["held_out"]))
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
    if facts["unread"]:
        sys.stderr.write(f"memae: error: {len(facts['unread'])} files could not be read, or not to their end\n")
        raise typer.Exit(1)


def _loaded(model: Path, false_alarm_rate: float | None, engine: Engine) -> "Estimator":
    """The detector as the command line wants it."""
    from memae.estimators import load

    estimator = load(model)
    if false_alarm_rate is not None:
        estimator.recalibrate(false_alarm_rate=false_alarm_rate)
    return estimator.use_engine(engine)


def of_discoveries(found: int, samples: int, rate: float, calibrating: int) -> str:
    """A line with the number of discoveries, and the reason if none is possible."""
    from memae.scoring.calibration import fewest_discoveries

    fewest = fewest_discoveries(calibrating, samples, rate)
    if found or fewest == 1:
        return f"{found} discoveries at a false-discovery rate of {rate:g}\n"
    return (
        f"no discovery at a false-discovery rate of {rate:g}: with {calibrating} scores of normal samples, there "
        f"is one only if {fewest} of {samples} samples score above all of these; recalibrate with more normal samples\n"
    )
