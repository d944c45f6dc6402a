"""Checks a video set: `python -m reproduction doctor ped2` reads all of it and prints what is wrong.

A fault makes results on the set wrong or impossible; the exit code is then 1. A remark is only worth knowing.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from memae.data import pixels
from memae.data.labels import Labels
from memae.data.videos import frame_blocks, frame_files
from memae.errors import InputError, SchemaError, SourceError
from reproduction.datasets import DATA
from reproduction.video_sets import PUBLISHED, READERS, Counts, Masks, VideoSet, frame_number, video_set


class Finding(NamedTuple):
    """One finding of the doctor.

    Attributes:
        check: "missing", "unreadable", "mismatch", "size", "duplicate", "contradiction", "one-sided" or "no-masks".
        fault: whether it is a fault; a remark if not.
        where: the video, for instance "Test/Test001", or the name of the set.
        affected: number of frames, labels, masks or videos.
        text: a description with the first example.
    """

    check: str
    fault: bool
    where: str
    affected: int
    text: str


class Report(NamedTuple):
    """The contents of a set, and the findings."""

    name: str
    counts: Counts
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> int:
        """Number of findings that are faults."""
        return sum(finding.fault for finding in self.findings)


class Frame(NamedTuple):
    """Facts about a frame.

    Attributes:
        name: name of its file; in a video file "frame 0", "frame 1", ...
        size: height and width in pixels; None if it cannot be read.
        repeats: whether it equals the frame before, pixel for pixel.
        error: why it cannot be read, or "".
    """

    name: str
    size: tuple[int, int] | None
    repeats: bool
    error: str


class _Looked(NamedTuple):
    """Facts about one video."""

    frames: list[Frame]
    findings: list[Finding]
    abnormal: int = 0  # frames of a test video
    masked: bool = False  # whether there are masks, readable or not


def diagnose(videos: VideoSet, published: Counts | None = None) -> Report:
    """Reads all of a set: each frame, label and mask.

    Args:
        videos: the set.
        published: counts of the complete set; None if unknown.
    """
    training = [_look(video) for video in videos.training]
    test = [_judge(videos, number) for number in range(len(videos.test))]
    seen, judged = (sum(len(video.frames) for video in part) for part in (training, test))
    counts = Counts(len(training), seen, len(test), judged, sum(video.abnormal for video in test))
    findings = [finding for video in training + test for finding in video.findings]
    findings += _incomplete(videos.name, counts, published)
    findings += _sizes_of_videos(videos.name, training + test)
    findings += _without_masks(videos, test)
    return Report(videos.name, counts, tuple(findings))


def _look(video: Path) -> _Looked:
    """Checks the frames of a video."""
    where, frames = _where(video), frames_of(video)
    alone = (_unreadable, _sizes, _repeats)
    return _Looked(frames, [*_missing(where, video), *(found for check in alone for found in check(where, frames))])


def _judge(videos: VideoSet, number: int) -> _Looked:
    """Checks the frames of a test video, and its labels and masks."""
    where = _where(videos.test[number])
    frames, findings, *_ = _look(videos.test[number])
    labels = _tried(where, videos.labels, number)
    masks = _tried(where, videos.masks, number)
    findings += [found for found in (labels, masks) if isinstance(found, Finding)]
    abnormal = 0
    if isinstance(labels, np.ndarray):
        abnormal = int(labels.sum())
        findings += [*_lengths(where, "labels", len(labels), frames), *_one_sided(where, labels)]
    if isinstance(masks, np.ndarray):
        findings += [*_lengths(where, "masks", len(masks), frames), *_other_size(where, masks, frames)]
    if isinstance(labels, np.ndarray) and isinstance(masks, np.ndarray):
        findings += _contradictions(where, labels, masks, frames)
    return _Looked(frames, findings, abnormal, masks is not None)


def _tried(where: str, read: Callable[[int], Masks | None], number: int) -> Masks | Finding | None:
    """The result of `read`, or a finding if it fails."""
    try:
        return read(number)
    except InputError as error:
        return Finding("mismatch" if isinstance(error, SchemaError) else "unreadable", True, where, 1, str(error))


def _where(video: Path) -> str:
    return f"{video.parent.name}/{video.name}"


def frames_of(video: Path) -> list[Frame]:
    """All frames of a file or folder; the unreadable rest of a video file counts as one frame."""
    frames: list[Frame] = []
    before: Tensor | None = None
    for name, decoded in (_in_folder if video.is_dir() else _in_file)(video):
        if isinstance(decoded, SourceError):
            frames.append(Frame(name, None, False, str(decoded)))
            before = None
            continue
        height, width = decoded.shape[-2:]
        frames.append(Frame(name, (height, width), _same(before, decoded), ""))
        before = decoded
    return frames


def _in_folder(folder: Path) -> Iterator[tuple[str, Tensor | SourceError]]:
    for file in frame_files(folder):
        try:
            yield file.name, pixels.decode(file, 3)
        except SourceError as error:
            yield file.name, error


def _in_file(file: Path) -> Iterator[tuple[str, Tensor | SourceError]]:
    number = 0
    try:
        # blocks of one frame, so that no frame before a damaged one is lost
        for block, _ in frame_blocks(file, channels=3, block=1):
            yield f"frame {number}", block[0]
            number += 1
    except SourceError as error:
        yield f"frame {number}", error


def _same(before: Tensor | None, frame: Tensor) -> bool:
    return before is not None and before.dtype == frame.dtype and torch.equal(before, frame)


def _missing(where: str, video: Path) -> Iterator[Finding]:
    """Gaps in the numbers of the frames, which start at 0 or 1."""
    if not video.is_dir():
        return
    try:
        numbers = {frame_number(file) for file in frame_files(video)}
    except SourceError as error:
        yield Finding("missing", True, where, 1, str(error))
        return
    gaps = sorted(set(range(min({1, *numbers}), max(numbers, default=0) + 1)) - numbers)
    if gaps:
        text = f"{_frames(len(gaps))} missing, the first has the number {gaps[0]}"
        yield Finding("missing", True, where, len(gaps), text)
    if not numbers:
        yield Finding("missing", True, where, 1, "the folder holds no frames")


def _unreadable(where: str, frames: Sequence[Frame]) -> Iterator[Finding]:
    broken = [frame for frame in frames if frame.error]
    if broken:
        text = f"{_frames(len(broken))} cannot be read, the first: {broken[0].error}"
        yield Finding("unreadable", True, where, len(broken), text)


def _sizes(where: str, frames: Sequence[Frame]) -> Iterator[Finding]:
    """Frames of several sizes in one video, which cannot be read then."""
    readable = [frame for frame in frames if frame.size]
    other = [frame for frame in readable if frame.size != readable[0].size]
    if other:
        sizes = f"{_by(other[0])} and not {_by(readable[0])} (h x w) as the first frame"
        yield Finding(
            "size", True, where, len(other), f"{_frames(len(other))} of another size; {other[0].name}: {sizes}"
        )


def _repeats(where: str, frames: Sequence[Frame]) -> Iterator[Finding]:
    twins = [number for number, frame in enumerate(frames) if frame.repeats]
    if twins:
        first = f"{frames[twins[0]].name} is {frames[twins[0] - 1].name}"
        text = f"{_frames(len(twins))} identical to the frame before, the first: {first}"
        yield Finding("duplicate", False, where, len(twins), text)


def _lengths(where: str, what: str, found: int, frames: Sequence[Frame]) -> Iterator[Finding]:
    if found != len(frames):
        text = f"{found} {what} for {_frames(len(frames))}"
        yield Finding("mismatch", True, where, abs(found - len(frames)), text)


def _one_sided(where: str, labels: Labels) -> Iterator[Finding]:
    if len(labels) and labels.all() == labels.any():
        text = f"all {len(labels)} frames are {'abnormal' if labels.any() else 'normal'}; it has no AUROC of its own"
        yield Finding("one-sided", False, where, len(labels), text)


def _other_size(where: str, masks: Masks, frames: Sequence[Frame]) -> Iterator[Finding]:
    size = next((frame.size for frame in frames if frame.size), None)
    if size and masks.size and masks.shape[1:] != size:
        text = f"masks are {masks.shape[1]} x {masks.shape[2]} and frames {size[0]} x {size[1]} (h x w)"
        yield Finding("mismatch", True, where, len(masks), text)


def _contradictions(where: str, labels: Labels, masks: Masks, frames: Sequence[Frame]) -> Iterator[Finding]:
    """Frames on which masks and labels disagree, if their numbers are equal."""
    if not len(labels) == len(masks) == len(frames):
        return
    marked = masks.any((1, 2))
    disagreeing = {
        "marked by masks, and labelled normal": marked & ~labels,
        "labelled abnormal, and unmarked": labels & ~marked,
    }
    for text, wrong in disagreeing.items():
        if wrong.any():
            first = frames[int(wrong.argmax())].name
            count = int(wrong.sum())
            yield Finding("contradiction", False, where, count, f"{_frames(count)} {text}, the first: {first}")


def _incomplete(name: str, counts: Counts, published: Counts | None) -> Iterator[Finding]:
    for what, found, expected in zip(Counts._fields, counts, published or (), strict=False):
        if expected is not None and found != expected:
            text = f"{found} {what.replace('_', ' ')}, the publisher's set has {expected}"
            yield Finding("mismatch", True, name, abs((found or 0) - expected), text)


def _sizes_of_videos(name: str, videos: Sequence[_Looked]) -> Iterator[Finding]:
    """Videos whose frames have another size than those of the first; readers can scale them."""
    first = [next((frame for frame in video.frames if frame.size), None) for video in videos]
    known = [frame for frame in first if frame]
    other = [frame for frame in known if frame.size != known[0].size]
    if other:
        text = f"{len(other)} videos of another size than {_by(known[0])} (h x w), for instance {_by(other[0])}"
        yield Finding("size", False, name, len(other), text)


def _without_masks(videos: VideoSet, test: Sequence[_Looked]) -> Iterator[Finding]:
    bare = [_where(path) for path, video in zip(videos.test, test, strict=True) if not video.masked]
    if bare:
        text = f"{len(bare)} of {len(test)} test videos without pixel masks, the first: {bare[0]}"
        yield Finding("no-masks", False, videos.name, len(bare), text)


def _by(frame: Frame) -> str:
    return "unreadable" if frame.size is None else f"{frame.size[0]} x {frame.size[1]}"


def _frames(count: int) -> str:
    return f"{count} frame{'' if count == 1 else 's'}"


def lines(report: Report) -> str:
    """The report as plain lines, faults first."""
    counts, remarks = report.counts, len(report.findings) - report.faults
    held = (
        f"{report.name}: {counts.training_videos} training videos of {counts.training_frames} frames, "
        f"{counts.test_videos} test videos of {counts.test_frames}, {counts.abnormal_frames} of them abnormal"
    )
    ordered = sorted(report.findings, key=lambda finding: not finding.fault)
    findings = [f"{'fault ' if each.fault else 'remark'}  {each.where}: {each.text}" for each in ordered]
    return "\n".join([held, *findings, f"faults: {report.faults}, remarks: {remarks}\n"])


def as_json(report: Report) -> str:
    """The report as one JSON object: name, faults, counts, findings."""
    findings = [finding._asdict() for finding in report.findings]
    content = {"name": report.name, "faults": report.faults, "counts": report.counts._asdict(), "findings": findings}
    return json.dumps(content, indent=2) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `python -m reproduction doctor`."""
    parser.add_argument("set", choices=tuple(READERS), metavar="SET", help=", ".join(READERS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def main(arguments: argparse.Namespace) -> None:
    """Prints the report; the exit code is 1 if the set has a fault."""
    report = diagnose(video_set(arguments.set, DATA), PUBLISHED[arguments.set])
    sys.stdout.write(as_json(report) if arguments.json else lines(report))
    if report.faults:
        sys.exit(1)
