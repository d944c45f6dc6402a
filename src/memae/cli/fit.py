"""`memae fit`: one command per kind of data, with options made from the fields of `memae.parameters`."""

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial, wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from memae import parameters
from memae.cli.fit_shelf import Grouping, fit_shelf
from memae.cli.processors import computing
from memae.cli.reading import grouped, reads_tables, source_of
from memae.cli.settings import chosen, option, options_of
from memae.parameters import Common
from memae.parameters.settings import NETWORK

if TYPE_CHECKING:
    from memae.cli.logs import Log
    from memae.data.dialects import Dialect

fit = typer.Typer(no_args_is_help=True, help="Learn what is normal from a table, images or video.")

Source = Annotated[Path, source_of("Normal data: a file, a folder, or - for standard input.")]
Output = Annotated[Path, option("Model file to write.", "--output", "-o")]
Protocol = Annotated[
    Literal["ours", "paper"],
    option("The paper's setting instead of our defaults; other options still apply.", "--protocol"),
]
Resume = Annotated[bool, option("Continue a stopped training from MODEL.checkpoint.", "--resume")]
LogDir = Annotated[Path | None, option("Folder for TensorBoard logs.", "--log-dir")]
Tracking = Annotated[str | None, option("Where to log with MLflow: a server's address, or a folder.", "--mlflow")]
Json = Annotated[bool, option("Print a JSON summary on stdout.", "--json")]
Native = Annotated[bool, option("Keep the size of the frames.", "--native-size", panel=NETWORK)]


class Job(NamedTuple):
    """The options of a training besides the parameters of its estimator."""

    source: Source
    output: Output
    protocol: Protocol = "ours"
    resume: Resume = False
    log_dir: LogDir = None
    mlflow: Tracking = None
    as_json: Json = False


def _settable(kind: type[Common]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turns a function `(job, settings, **own options)` into a command with an option for each parameter of `kind`."""

    def decorate(run: Callable[..., None]) -> Callable[..., None]:
        own = list(signature(run).parameters.values())[2:]

        @computing
        @wraps(run)
        def command(context: typer.Context, **given: Any) -> None:
            job = Job(**{name: given.pop(name) for name in Job._fields})
            more = {each.name: given.pop(each.name) for each in own}
            run(job, chosen(kind, context, given, paper=job.protocol == "paper"), **more)

        context = Parameter("context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        jobs = signature(Job).parameters.values()
        command.__signature__ = Signature([context, *jobs, *own, *options_of(kind)])  # type: ignore[attr-defined]
        return command

    return decorate


@fit.command()
@_settable(parameters.Tabular)
@reads_tables
@grouped(grouping=Grouping)
def table(job: Job, settings: dict[str, Any], *, grouping: Grouping, dialect: "Dialect") -> None:
    """Learn normal rows of a table: CSV, TSV, JSON lines, Parquet, Feather, Excel, or a folder of one of them.

    How a text file is written (separator, decimal comma, encoding, header) is detected, and said.

    Columns of text are categories; missing values are allowed. By default nothing is trained: up to 10,000 rows are
    kept in the model file. --n-items trains a network instead.

    With --by, each group of rows, such as those of one device, gets a model of its own; all are in one Parquet file.

    Example: memae fit table normal.csv --ignore id -o model.memae
    """
    from memae.estimators import TabularMemAE

    if grouping.by:
        fit_shelf(job, settings, grouping, dialect)
        return
    if grouping != Grouping():
        raise typer.BadParameter("--shared, --fewest and --workers are for --by COLUMN, which fits a model a group")

    _run(partial(_reading, TabularMemAE, dialect), job, settings)


@fit.command()
@_settable(parameters.Image)
def images(job: Job, settings: dict[str, Any]) -> None:
    """Learn normal images from a folder: PNG, JPEG, TIFF, BMP, WebP, GIF, JPEG 2000, AVIF, HEIC and others.

    With memae[features], images of 64 pixels a side or more are compared with patches kept of these ones, as a
    pretrained network describes them; nothing is trained, and sizes may differ.

    Example: memae fit images parts/good -o model.memae
    """
    from memae.estimators import ImageMemAE

    _run(ImageMemAE, job, settings)


@fit.command()
@_settable(parameters.Video)
def video(job: Job, settings: dict[str, Any], *, native_size: Native = False) -> None:
    """Learn normal video: a file, a folder of frames, or a folder of either.

    With memae[features], places of some frames a second are kept, as a pretrained network describes them; nothing is
    trained. --n-items trains a network on how things move instead.

    Example: memae fit video normal/ -o model.memae
    """
    from memae.data.videos import find_videos
    from memae.estimators import VideoMemAE

    videos = find_videos(job.source)  # printed at once, since reading the wrong folder could take minutes
    last = f" … {videos[-1]}" if len(videos) > 1 else ""
    sys.stderr.write(f"reading {len(videos)} video{'s' * (len(videos) > 1)}: {videos[0]}{last}\n")
    _run(VideoMemAE, job, settings | ({"size": "native"} if native_size else {}))


def _reading(kind: Any, dialect: "Dialect", **settings: Any) -> Any:
    """A detector for tables that reads files as the options say."""
    return kind(**settings).read_as(dialect)


def _run(kind: Any, job: Job, settings: dict[str, Any]) -> None:
    """Fits an estimator that `kind` makes, showing progress, and writes its model file."""
    from memae.cli.logs import opened
    from memae.cli.paths import check_apart

    check_apart(job.output, job.source)
    checkpoint = checkpoint_of(job.output, resume=job.resume)
    if settings.get("strides"):
        settings["strides"] = [_stride(text) for text in settings["strides"]]
    estimator = kind(**settings)
    with opened(job.log_dir, job.mlflow, estimator, job.source, job.output) as logs:
        _train(estimator, job, checkpoint, logs)
    _report(estimator, job.output, job.as_json)


def checkpoint_of(output: Path, *, resume: bool) -> Path:
    """Path of the training's checkpoint; without --resume, an existing one is an error, so that it is not lost."""
    from memae.errors import OptionError

    checkpoint = output.with_name(output.name + ".checkpoint")
    exists = checkpoint.exists()
    if exists and not resume:
        message = f"{checkpoint} exists, from a training that was stopped or is still running"
        raise OptionError(f"{message}; continue it with --resume, or delete it to start anew")
    if resume and not exists:
        sys.stderr.write(f"memae: warning: there is no {checkpoint}; the training starts anew\n")
    elif resume:
        sys.stderr.write(f"continuing from {checkpoint}\n")
    return checkpoint


def _train(estimator: Any, job: Job, checkpoint: Path, logs: "Sequence[Log]") -> None:
    from memae.cli.progress import followed

    try:
        steps = estimator.fit_steps(job.source, checkpoint=checkpoint, resume=job.resume, tell=_tell)
        for line in followed(steps, estimator.epochs if estimator.trains else None, logs):
            if estimator.trains:  # with "auto" features, that is known once fitted
                sys.stderr.write(line + "\n")
    except KeyboardInterrupt:
        if checkpoint.exists():
            sys.stderr.write(f"memae: {checkpoint} is kept; the same command with --resume continues from it\n")
        raise
    estimator.save(job.output)
    checkpoint.unlink(missing_ok=True)
    for log in logs:
        log.finish(estimator, job.output)


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")


def _stride(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"a stride must be integers separated by commas, such as 2,2; got {text!r}") from None


def _report(estimator: Any, output: Path, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(_facts(estimator, output)) + "\n")
        return
    if estimator.kind == "table":
        for line in estimator.encoder_.report():
            sys.stderr.write(f"{line}\n")
    from memae.cli.promises import told

    calibration = estimator.calibration_
    how, scores = _trained(estimator) if estimator.scorer_.model.trained else _kept(estimator)
    sys.stdout.write(
        f"{output}: {how}; flags scores above {estimator.threshold_:.4g} (false-alarm rate "
        f"{calibration.false_alarm_rate:.3g}, from {len(calibration.scores)} {scores})\n"
    )
    sys.stderr.write(told(estimator, output))


def _trained(estimator: Any) -> tuple[str, str]:
    """How a network was trained, and what calibrated it."""
    best = estimator.best_epoch_
    how = f"epoch {best.epoch} of {len(estimator.history_)} kept, held-out error {best.held_out_error:.4g}"
    return how, "held-out samples"


def _kept(estimator: Any) -> tuple[str, str]:
    """How many samples were kept, and what calibrated the detector."""
    words = estimator.kind_.words
    if estimator.spec_.features is not None:
        kept = f"{len(estimator.scorer_.model.memory.items):,} {words.kept} of {estimator.learned_:,} {words.many} kept"
        return kept, f"{words.many}, each scored {words.apart}"
    kept = f"{len(estimator.scorer_.kept_samples)} of {estimator.learned_} {words.kept} kept"
    left_out = f", after a share of {estimator.contamination:g} was left out" * (estimator.contamination > 0)
    worth = f", worth {estimator.independent_} independent ones" * estimator.correlated
    return kept + left_out, f"{words.kept}, each scored {words.apart}{worth}"


def _facts(estimator: Any, output: Path) -> dict[str, Any]:
    """A summary, JSON-ready; facts of a training are None where nothing was trained."""
    best, samples = estimator.best_epoch_, len(estimator.calibration_.scores)
    kept, trained, described = estimator.scorer_.kept_samples, estimator.scorer_.model.trained, estimator.spec_.features
    return {
        "model": str(output),
        "training_samples": estimator.learned_,
        "features": None if described is None else described.name,
        "kept_samples": 0 if kept is None else len(kept),
        "kept_patches": 0 if described is None or trained else len(estimator.scorer_.model.memory.items),
        "epochs": len(estimator.history_) if trained else 0,
        "best_epoch": best.epoch if trained else None,
        "held_out_error": best.held_out_error if trained else None,
        "threshold": estimator.threshold_,
        "false_alarm_rate": estimator.calibration_.false_alarm_rate,
        "calibration_samples": samples,
        "held_out_samples": samples,  # the former name of calibration_samples
        "seconds": sum(epoch.seconds for epoch in estimator.history_),
    }
