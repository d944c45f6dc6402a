"""`memae watch`: reads frames and prints alarms as they happen."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from memae.cli.score import EngineOption, FalseAlarms, Model

if TYPE_CHECKING:
    from memae.estimators import VideoMemAE

PICTURE = 640
"""Longest side in pixels of thumbnails."""
FILMED = 1280
"""Longest side in pixels of the overlay video."""


def watch(
    model: Model,
    source: Annotated[
        str,
        typer.Argument(
            help="Video file, folder of frames, camera (0 is /dev/video0), or rtsp://, http://, rtmp:// … address.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for alarms.jsonl, alarms.csv and thumbnails.")
    ] = None,
    render: Annotated[Path | None, typer.Option(help="Overlay video to write, .mp4; for files and folders.")] = None,
    frames: Annotated[bool, typer.Option("--frames", help="Also print a line for each frame.")] = False,
    false_alarm_rate: FalseAlarms = None,
    after: Annotated[
        int | None,
        typer.Option(help="Consecutive frames above the threshold that start an alarm; by default 0.2 s of them."),
    ] = None,
    release: Annotated[float, typer.Option(help="Seconds below the lower threshold that end an alarm.")] = 1.0,
    reconnect: Annotated[
        float | None,
        typer.Option(help="Seconds after which a lost stream is given up; by default never.", show_default=False),
    ] = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="Play a file at its own rate, as if live.")] = False,
    score_step: Annotated[
        int | None,
        typer.Option(
            help="Frames from one scored clip to the next; frames in between get the nearest score. As in the model by "
            "default: with pretrained features a third of a second."
        ),
    ] = None,
    engine: EngineOption = "torch",
) -> None:
    """Watch a video file, a camera or a stream; print alarms as JSON lines as they happen.

    Ctrl-C stops it after it has scored the frames it has read, ended an open alarm and completed all files.

    Example: memae watch model.memae rtsp://camera/stream -o alarms
    """
    from memae.cli.paths import check_folder_apart
    from memae.cli.watch_output import WatchOutput
    from memae.data.addresses import without_secrets
    from memae.data.streams import View, read_source
    from memae.watch.watching import alarms, rule_of
    from memae.watch.watching import watch as scored

    _check_render(render, source, model)
    check_folder_apart(output, Path(source))
    detector = _loaded(model, false_alarm_rate, score_step)
    rule = rule_of(detector, release=release, after=after)
    detector.use_engine(engine)
    view = View(detector.channels, detector.size_, FILMED if render else PICTURE if output else 0)
    with ending() as stop, WatchOutput(detector, rule, folder=output, render=render, frames=frames) as out:
        items = read_source(source, view, stop, realtime=realtime, patience=reconnect)
        for item in alarms(scored(detector, items), rule, first=out.first):
            out.take(item)
        complete = out.sum_up(without_secrets(source), stopped=stop.is_set())
    if not complete:
        raise typer.Exit(1)


def _loaded(model: Path, false_alarm_rate: float | None, score_step: int | None) -> "VideoMemAE":
    from memae.cli.loading import loaded_as
    from memae.errors import OptionError
    from memae.estimators import VideoMemAE

    detector = loaded_as(VideoMemAE, model, "only video can be watched: use `memae score`")
    if score_step is not None:
        if score_step < 1:
            raise OptionError(f"score_step must be 1 clip or more; got {score_step}")
        detector.step_ = score_step
    if false_alarm_rate is not None:
        detector.recalibrate(false_alarm_rate=false_alarm_rate)
    return detector


def _check_render(render: Path | None, source: str, model: Path) -> None:
    """Checks, before anything is computed, that the overlay video can be written."""
    from memae.cli.paths import check_apart
    from memae.data.addresses import live_source, without_secrets
    from memae.errors import OptionError

    if render is None:
        return
    if render.suffix.lower() != ".mp4":
        raise OptionError(f"{render} must end in .mp4")
    if live_source(source) is not None:
        message = f"--render is for files and folders; {without_secrets(source)} has no end"
        raise OptionError(f"{message}. Use --output to keep pictures of alarms")
    check_apart(render, model, Path(source))


@contextmanager
def ending() -> Iterator[Event]:
    """An event that is set by the first Ctrl-C or SIGTERM; a second one interrupts at once.

    After Ctrl-C the block ends with exit code 130, as other commands do; after SIGTERM, by which services are stopped,
    with 0.
    """
    stop, caught = Event(), []

    def end(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        caught.append(number)
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGINT in caught:
        raise typer.Exit(130)
