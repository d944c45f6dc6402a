"""`memae update`: writes a copy of a model that also knows more normal samples; the original is not changed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memae.cli.reading import Names, read_as, reads_tables, source_of

if TYPE_CHECKING:
    from memae.data.dialects import Dialect
    from memae.estimators import VideoMemAE


@reads_tables
def update(
    model: Annotated[Path, typer.Argument(help="Model file; it stays as it is.", show_default=False)],
    source: Annotated[
        Path,
        source_of(
            "More normal data: a table, a folder of tables, photos or videos, or - for standard input; with --accept "
            "the folder of `memae watch -o`."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file to write.")],
    epochs: Annotated[
        int | None, typer.Option(help="Passes over new and kept rows, for a learned memory of a table; by default 3.")
    ] = None,
    accept: Annotated[
        str | None,
        typer.Option(help="Numbers of alarms that were normal, as 3,7: their frames join the memory.", metavar="N,N"),
    ] = None,
    *,
    columns: Names,
    dialect: "Dialect",
) -> None:
    """Learn more normal rows, photos or videos without fitting anew, and write a second model.

    Example: memae update model.memae normal-of-june.csv -o model-june.memae

    Example: memae update model.memae alarms/ --accept 3,7 -o newer.memae
    """
    from memae.cli.paths import check_apart
    from memae.cli.promises import of_photos
    from memae.errors import OptionError
    from memae.estimators import ImageMemAE, TabularMemAE, VideoMemAE, load

    check_apart(output, model, source)
    detector = load(model)
    read_as(detector, dialect, strict=columns.strict)
    if accept is not None and not isinstance(detector, VideoMemAE):
        raise OptionError(f"--accept is for alarms of video; {model} is a model for {detector.kind} data")
    if epochs is not None and not isinstance(detector, TabularMemAE):
        what = "photos" if isinstance(detector, ImageMemAE) else "videos"
        raise OptionError(f"--epochs is for tables with a learned memory; with {what}, nothing is trained")
    updated: TabularMemAE | ImageMemAE | VideoMemAE
    if isinstance(detector, TabularMemAE):
        updated = detector.update(source, epochs=3 if epochs is None else epochs)
    elif isinstance(detector, VideoMemAE) and accept is not None:
        updated = _accepting(detector, source, accept)
    elif isinstance(detector, ImageMemAE | VideoMemAE):
        updated = detector.update(source)
    else:
        raise OptionError(f"{model} is a model for {detector.kind} data, which cannot be updated; refit it")
    updated.save(output)
    sys.stdout.write(f"{output}: flags scores above {updated.threshold_:.4g} ({model}: {detector.threshold_:.4g})\n")
    if isinstance(updated, ImageMemAE):
        sys.stderr.write(of_photos(updated.calibration_))


def _accepting(detector: "VideoMemAE", alarms: Path, accept: str) -> "VideoMemAE":
    """The detector after alarms of these numbers have been accepted; says what has changed."""
    from memae.errors import OptionError
    from memae.watch.past import by_source, past_alarms

    try:
        numbers = list(dict.fromkeys(int(number) for number in accept.split(",")))
    except ValueError:
        raise OptionError(f"--accept takes numbers of alarms, such as 3,7; got {accept}") from None
    sources = by_source(past_alarms(alarms, numbers))
    times = [[(alarm.start, alarm.end) for alarm in found] for found in sources.values()]
    done = detector.accept(list(sources), times)
    ordered = [alarm for found in sources.values() for alarm in found]
    for alarm, before, after in zip(ordered, done.before, done.after, strict=True):
        limit = f"not above the threshold {detector.threshold_:.4g}"
        sys.stderr.write(f"alarm {alarm.number}: highest score {before:.4g}, now {after:.4g}, {limit}\n")
    kept = len(done.detector.scorer_.model.memory.items) if done.detector.scorer_.model.memory else 0
    sys.stderr.write(f"{done.added} positions joined the memory of {kept}, {done.replaced} were given up for them\n")
    return done.detector
