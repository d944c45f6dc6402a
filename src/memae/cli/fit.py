"""`memae fit`: options mirror the estimators' parameters; a test holds the defaults equal."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from memae.cli.logs import Log

fit = typer.Typer(no_args_is_help=True, help="Learn what is normal from a table, images or video.")


# The closed choices of the estimators, written out, since importing theirs would import torch for --help.
Similarity = Literal["cosine", "dot"]
OnEmpty = Literal["strongest", "zero"]
Reduction = Literal["sum", "mean", "absolute"]
Criterion = Literal["error", "relative"]
Protocol = Literal["ours", "paper"]
Choice = Literal["lowest", "last"]
Init = Literal["uniform", "samples", "kmeans"]
Scaling = Literal["standard", "minmax"]
Device = Literal["auto", "cpu", "cuda", "mps"]


def _option(help: str, *names: str, panel: str = "Options", **more: Any) -> Any:  # noqa: A002 (typer's name)
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=True, **more)


Source = Annotated[Path, typer.Argument(help="Normal data: a file or a folder.", show_default=False)]
Output = Annotated[Path, _option("Model file to write.", "--output", "-o")]
Resume = Annotated[bool, _option("Go on from MODEL.checkpoint, where a training was stopped.", "--resume")]
LogDir = Annotated[Path | None, _option("Folder for TensorBoard logs.", "--log-dir")]
Tracking = Annotated[str | None, _option("MLflow to log to: the address of its server, or a folder.", "--mlflow")]
AsPrinted = Annotated[
    Protocol, _option("The paper's setting instead of our defaults; other options still apply.", "--protocol")
]
Json = Annotated[bool, _option("Print a JSON summary on stdout.", "--json")]
MEMORY, NETWORK, TRAINING = "Memory", "Network", "Training"
Items = Annotated[int, _option("Items of the memory; 0 is a plain autoencoder.", "--n-items", panel=MEMORY)]
Sim = Annotated[Similarity, _option("Similarity of code and item.", panel=MEMORY)]
Temperature = Annotated[float, _option("Divides the similarity; lower = fewer items answer.", panel=MEMORY)]
LearnTemperature = Annotated[bool, _option("Train the temperature.", "--learn-temperature", panel=MEMORY)]
Shrinkage = Annotated[float, _option("λ·N of the hard shrinkage; 0 switches it off.", panel=MEMORY)]
Empty = Annotated[OnEmpty, _option("What a query reads whose weights all fall below λ.", panel=MEMORY)]
First = Annotated[Init, _option("First items.", "--init", panel=MEMORY)]
Warmup = Annotated[
    int | None,
    _option(
        "Epochs without memory before the items are set; by default 3 of a table, 2 of images, two thirds of video.",
        panel=MEMORY,
    ),
]
Revive = Annotated[bool, _option("Restart items that nothing reads.", "--revive", panel=MEMORY)]
Widths = Annotated[list[int] | None, _option("Encoder layer width; repeat for each layer.", "--width", panel=NETWORK)]
Strides = Annotated[
    list[str] | None, _option("Encoder layer stride, as 2,2; repeat for each layer.", "--stride", panel=NETWORK)
]
Size = Annotated[
    tuple[int, int] | None, _option("Height and width to scale to.", "--size", panel=NETWORK, metavar="H W")
]
Alpha = Annotated[float, _option("Weight of the entropy in the objective.", panel=TRAINING)]
Red = Annotated[Reduction, _option("Formula of the reconstruction error.", panel=TRAINING)]
Epochs = Annotated[int, _option("Passes over the training data, at most.", panel=TRAINING)]
BatchSize = Annotated[int, _option("Samples a step.", panel=TRAINING)]
Rate = Annotated[float, _option("Learning rate of Adam.", panel=TRAINING)]
Decay = Annotated[bool, _option("Let the learning rate fall to 0.", panel=TRAINING)]
Choose = Annotated[Choice, _option("Keep the epoch with the lowest held-out error, or the last.", panel=TRAINING)]
Patience = Annotated[int | None, _option("Stop after so many epochs without improvement.", panel=TRAINING)]
HeldOut = Annotated[float, _option("Share held out to choose the epoch and to calibrate.", panel=TRAINING)]
FalseAlarms = Annotated[float, _option("Share of normal samples that may be flagged.", panel=TRAINING)]
Keep = Annotated[
    bool,
    _option(
        "Keep, to explain with, which training samples lie nearest to each item: row numbers, or small pictures.",
        "--keep-samples/--no-keep-samples",
    ),
]
On = Annotated[Device, _option("Where to train.", panel=TRAINING)]
Seed = Annotated[int, _option("Seed of everything that is drawn.", "--random-state", "--seed", panel=TRAINING)]


@fit.command()
def table(
    context: typer.Context,
    source: Source,
    output: Output,
    protocol: AsPrinted = "ours",
    n_items: Annotated[
        int | None,
        _option(
            "Items of the memory, 0 for none; by default half as many as rows, 10 to 200.", "--n-items", panel=MEMORY
        ),
    ] = None,
    ignore: Annotated[list[str], _option("Column to leave out; repeat for each.", "--ignore")] = [],  # noqa: B006
    widths: Widths = None,
    similarity: Sim = "cosine",
    temperature: Temperature = 0.05,
    learn_temperature: LearnTemperature = False,
    shrinkage: Shrinkage = 1.0,
    on_empty: Empty = "strongest",
    scaling: Annotated[Scaling, _option("Features to mean 0 and deviation 1, or to 0 … 1.")] = "standard",
    hide: Annotated[
        bool, _option("Hide columns and restore them from the others.", "--hide/--no-hide", panel=TRAINING)
    ] = True,
    references: Annotated[
        int | None,
        _option("Rows kept in the model to score the distance, 0 for none; by default 10,000.", panel=TRAINING),
    ] = None,
    contamination: Annotated[float, _option("Share of the rows that may be anomalous.", panel=TRAINING)] = 0.0,
    alpha: Alpha = 0.0002,
    reduction: Red = "sum",
    epochs: Epochs = 10,
    batch_size: Annotated[
        int | None,
        _option("Rows a step; by default a tenth of them, 16 to 256, and up to 1024 for many.", panel=TRAINING),
    ] = None,
    learning_rate: Rate = 0.01,
    decay: Decay = True,
    choose: Choose = "lowest",
    patience: Patience = None,
    init: First = "kmeans",
    warmup: Warmup = None,
    revive: Revive = False,
    held_out: HeldOut = 0.1,
    false_alarm_rate: FalseAlarms = 0.05,
    keep_samples: Keep = False,
    device: On = "auto",
    random_state: Seed = 0,
    resume: Resume = False,
    log_dir: LogDir = None,
    mlflow: Tracking = None,
    as_json: Json = False,
) -> None:
    """Learn normal rows of a .csv or .parquet file.

    Columns of text are categories; missing values are allowed.

    Example: memae fit table normal.csv --ignore id -o model.memae
    """
    parameters = dict(locals())
    from memae.estimators import TabularMemAE
    from memae.estimators.tabular import PAPER

    _run(TabularMemAE, _as_printed(parameters, PAPER))


@fit.command()
def images(
    context: typer.Context,
    source: Source,
    output: Output,
    protocol: AsPrinted = "ours",
    n_items: Annotated[
        int | None,
        _option("Items of the memory, 0 for none; by default half as many as images.", "--n-items", panel=MEMORY),
    ] = None,
    size: Size = None,
    channels: Annotated[
        int | None, _option("1 for grey, 3 for RGB; by default as the images are.", panel=NETWORK)
    ] = None,
    widths: Widths = None,
    strides: Strides = None,
    per_position: Annotated[
        bool, _option("An item holds one position's feature, not the whole code.", "--per-position", panel=MEMORY)
    ] = False,
    similarity: Sim = "cosine",
    temperature: Temperature = 0.03,
    learn_temperature: LearnTemperature = False,
    shrinkage: Shrinkage = 1.0,
    on_empty: Empty = "strongest",
    alpha: Alpha = 0.0002,
    reduction: Red = "sum",
    criterion: Annotated[
        Criterion, _option("Score by the error alone, or relative to the image's contrast.", panel=TRAINING)
    ] = "relative",
    turns: Annotated[
        bool, _option("Also score how badly an image's orientation is told.", "--turns/--no-turns", panel=TRAINING)
    ] = True,
    references: Annotated[
        int | None,
        _option("Images whose codes are kept to score the distance; by default what 64 MiB hold.", panel=TRAINING),
    ] = None,
    erase: Annotated[
        float, _option("Side of the block to restore, as a share of the image's; 0 for none.", panel=TRAINING)
    ] = 0.35,
    epochs: Epochs = 20,
    batch_size: Annotated[
        int | None, _option("Images a step; by default a fiftieth of them, 8 to 64.", panel=TRAINING)
    ] = None,
    learning_rate: Rate = 0.002,
    decay: Decay = True,
    choose: Choose = "lowest",
    patience: Patience = None,
    init: First = "kmeans",
    warmup: Warmup = None,
    revive: Revive = False,
    held_out: HeldOut = 0.1,
    false_alarm_rate: FalseAlarms = 0.05,
    keep_samples: Keep = True,
    device: On = "auto",
    random_state: Seed = 0,
    resume: Resume = False,
    log_dir: LogDir = None,
    mlflow: Tracking = None,
    as_json: Json = False,
) -> None:
    """Learn normal images from a folder: PNG, JPEG, BMP, TIFF.

    Example: memae fit images parts/good --size 64 64 -o model.memae
    """
    parameters = dict(locals())
    from memae.estimators import ImageMemAE
    from memae.estimators.image import PAPER

    _run(ImageMemAE, _as_printed(parameters, PAPER))


@fit.command()
def video(
    context: typer.Context,
    source: Source,
    output: Output,
    protocol: AsPrinted = "ours",
    n_items: Items = 1000,
    size: Annotated[
        tuple[int, int] | None,
        _option(
            "Height and width to scale to; by default the shorter side to 192.",
            "--size",
            panel=NETWORK,
            metavar="H W",
        ),
    ] = None,
    native_size: Annotated[bool, _option("Keep the frames' size.", "--native-size", panel=NETWORK)] = False,
    channels: Annotated[int, _option("1 for grey, 3 for RGB.", panel=NETWORK)] = 1,
    length: Annotated[int, _option("Frames a clip.", panel=NETWORK)] = 9,
    step: Annotated[
        int | None,
        _option(
            "Frames from one training clip to the next; by default so many that an epoch has 8000 clips at most.",
            panel=TRAINING,
        ),
    ] = None,
    score_step: Annotated[int, _option("Frames from one scored clip to the next.", panel=TRAINING)] = 1,
    widths: Widths = None,
    strides: Annotated[
        list[str] | None,
        _option("Encoder layer stride, as 2,2, or 2,2,2 to convolve in time; repeat.", "--stride", panel=NETWORK),
    ] = None,
    similarity: Sim = "cosine",
    temperature: Temperature = 0.03,
    learn_temperature: LearnTemperature = False,
    shrinkage: Shrinkage = 1.0,
    on_empty: Empty = "strongest",
    alpha: Alpha = 0.0002,
    reduction: Red = "sum",
    paces: Annotated[
        bool,
        _option("Also score the odds that a clip plays at another pace.", "--paces/--no-paces", panel=TRAINING),
    ] = True,
    references: Annotated[
        int | None,
        _option("Positions whose codes are kept to score the distance, 0 for none; by default 2000.", panel=TRAINING),
    ] = None,
    smooth: Annotated[int, _option("Frames over which scores are averaged, an odd number.", panel=TRAINING)] = 15,
    epochs: Epochs = 12,
    batch_size: BatchSize = 8,
    learning_rate: Rate = 0.001,
    decay: Decay = True,
    choose: Choose = "lowest",
    patience: Patience = None,
    init: First = "kmeans",
    warmup: Warmup = None,
    revive: Revive = False,
    held_out: HeldOut = 0.1,
    false_alarm_rate: FalseAlarms = 0.05,
    keep_samples: Keep = True,
    device: On = "auto",
    random_state: Seed = 0,
    resume: Resume = False,
    log_dir: LogDir = None,
    mlflow: Tracking = None,
    as_json: Json = False,
) -> None:
    """Learn normal video: a file, a folder of frames, or a folder of either.

    Example: memae fit video normal/ --size 128 192 -o model.memae
    """
    parameters = dict(locals())
    native = parameters.pop("native_size")
    from memae.data.videos import find_videos
    from memae.estimators import VideoMemAE
    from memae.estimators.video import PAPER

    videos = find_videos(source)  # said at once, for a folder too high up takes minutes to be noticed
    last = f" … {videos[-1]}" if len(videos) > 1 else ""
    sys.stderr.write(f"reading {len(videos)} video{'s' * (len(videos) > 1)}: {videos[0]}{last}\n")
    printed = _as_printed(parameters, PAPER)
    _run(VideoMemAE, printed | ({"size": "native"} if native else {}))


def _as_printed(parameters: dict[str, Any], paper: dict[str, Any]) -> dict[str, Any]:
    """The parameters with those of the paper, where they are asked for and not given."""
    context: typer.Context = parameters.pop("context")
    if parameters.pop("protocol") == "ours":
        return parameters
    sources = {name: context.get_parameter_source(name) for name in paper}
    return parameters | {
        name: paper[name] for name, source in sources.items() if source is not None and source.name == "DEFAULT"
    }


def _run(kind: Any, parameters: dict[str, Any]) -> None:
    """Fits an estimator of this kind, showing progress, and writes its model file."""
    from memae.cli.logs import opened
    from memae.cli.paths import check_apart

    source, output, resume, log_dir, mlflow, as_json = (
        parameters.pop(name) for name in ("source", "output", "resume", "log_dir", "mlflow", "as_json")
    )
    check_apart(output, source)
    checkpoint = _checkpoint(output, resume=resume)
    if parameters.get("strides"):
        parameters["strides"] = [_stride(text) for text in parameters["strides"]]
    estimator = kind(**parameters)
    with opened(log_dir, mlflow, estimator, source, output) as logs:
        _train(estimator, source, output, checkpoint, resume, logs)
    _tell(estimator, output, as_json)


def _checkpoint(output: Path, *, resume: bool) -> Path:
    """Where the training is kept as it goes; hours of one that was stopped are not lost by a forgotten option."""
    from memae.errors import OptionError

    checkpoint = output.with_name(output.name + ".checkpoint")
    there = checkpoint.exists()
    if there and not resume:
        told = f"{checkpoint} is there, of a training that was stopped or is still running"
        raise OptionError(f"{told}; --resume goes on from it, or delete it to start anew")
    if resume and not there:
        sys.stderr.write(f"memae: warning: there is no {checkpoint}; the training starts anew\n")
    elif resume:
        sys.stderr.write(f"going on from {checkpoint}\n")
    return checkpoint


def _train(estimator: Any, source: Path, output: Path, checkpoint: Path, resume: bool, logs: "Sequence[Log]") -> None:
    from memae.cli.progress import followed

    try:
        steps = estimator.fit_steps(source, checkpoint=checkpoint, resume=resume)
        for line in followed(steps, estimator.epochs, logs):
            sys.stderr.write(line + "\n")
    except KeyboardInterrupt:
        if checkpoint.exists():
            sys.stderr.write(f"memae: {checkpoint} is kept; the same command with --resume goes on from it\n")
        raise
    estimator.save(output)
    checkpoint.unlink(missing_ok=True)
    for log in logs:
        log.finish(estimator, output)


def _stride(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"a stride is whole numbers with commas, as 2,2; got {text!r}") from None


def _tell(estimator: Any, output: Path, as_json: bool) -> None:
    best = estimator.best_epoch_
    facts = {
        "model": str(output),
        "epochs": len(estimator.history_),
        "best_epoch": best.epoch,
        "held_out_error": best.held_out_error,
        "threshold": estimator.threshold_,
        "false_alarm_rate": estimator.scorer_.calibration.false_alarm_rate,
        "held_out_samples": len(estimator.scorer_.calibration.scores),
        "seconds": sum(epoch.seconds for epoch in estimator.history_),
    }
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
        return
    if estimator.kind == "table":
        for line in estimator.encoder_.report():
            sys.stderr.write(f"{line}\n")
    sys.stdout.write(
        f"{output}: epoch {best.epoch} of {len(estimator.history_)} kept, held-out error {best.held_out_error:.4g}; "
        f"flags scores above {estimator.threshold_:.4g} (false-alarm rate {facts['false_alarm_rate']:.3g}, "
        f"from {facts['held_out_samples']} held-out samples)\n"
    )
    if estimator.kind == "video":
        sys.stderr.write(
            "the held-out samples are the ends of these videos, and frames of another day often lie higher: set the "
            f"threshold by normal videos of such a day before relying on it, `memae recalibrate {output} VIDEOS -o …`\n"
        )
