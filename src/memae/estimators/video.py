"""The detector for video."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from memae.data.ahead import ahead
from memae.data.pixels import resize, with_channels
from memae.data.samples import Selection, Streamed
from memae.data.videos import (
    Blocks,
    Clips,
    Video,
    between,
    find_videos,
    frame_blocks,
    read_videos,
    sliding,
    videos_of_array,
)
from memae.errors import SchemaError
from memae.estimators.base import Estimator, Prepared
from memae.estimators.devices import Device
from memae.estimators.pixel_units import check_unit, pixel_range, pixel_unit
from memae.losses import Reduction
from memae.memory import OnEmpty, Similarity
from memae.networks.convolutional import VIDEO, shortened
from memae.options import Choice, Init
from memae.scoring import Floats, spread_over_frames

IN_MEMORY = 2**31
"""Bytes of frames up to which files are held in memory; more are decoded in each pass."""
BUFFER = 2**28
"""Bytes of clips that decoded files take for shuffling, and of frames that are held out."""


class FrameScore(NamedTuple):
    """The anomaly of one frame of a video."""

    video: str  # its path, or its number in a list of arrays
    frame: int  # from 0
    time: float  # seconds from the first frame
    score: float  # that of the clip centred on the frame
    error_map: Tensor  # (c, h, w): the frame's own part of that clip's error


class Part(NamedTuple):
    """One video to score: its frames come in blocks, once."""

    name: str
    blocks: Blocks


class VideoMemAE(Estimator):
    """Detects anomalous frames of videos, and where in them, from clips of neighbouring frames.

    X is a video file, a folder of frames, a folder of such files or folders, an array `(t, h, w)`, `(t, c, h, w)` or
    `(t, h, w, c)`, or a list of arrays. All scores are per frame, the videos one after another: a frame gets the error
    of the clip centred on it, the frames at the edges that of the nearest clip.

    Args:
        n_items: items of the memory; 0 is a plain autoencoder.
        size: height and width that frames are scaled to; None keeps theirs.
        channels: 1 for grey (the paper), 3 for RGB.
        length: frames a clip.
        step: frames from the start of one training clip to the next; the paper takes every clip (1).
        score_step: the same when scoring; frames between get the nearest clip.
        widths: channels of the encoder's layers; None takes the paper's.
        strides: of the encoder's layers; None takes the paper's, less the last layers where a side is too small.
        similarity: "cosine" (the paper) or "dot" (the authors' code).
        temperature: divides the similarity; the lower, the fewer items answer. The paper's is 1.
        learn_temperature: whether it is trained.
        shrinkage: λ·N of the hard shrinkage; the paper recommends 1 to 3, 0 switches it off.
        on_empty: what a query reads whose weights all fall below λ: the "strongest" item, or "zero".
        alpha: weight of the entropy in the training objective.
        reduction: squared error as "sum" or "mean" over the clip, or mean "absolute" error.
        epochs: passes over the training clips, at most.
        batch_size: clips a step.
        learning_rate: of Adam.
        decay: whether it falls to 0 over the training.
        choose: keep the epoch with the "lowest" held-out error, or the "last".
        patience: stop after so many epochs without a lower held-out error; None never.
        init: first items: "uniform", encodings of "samples", or their "kmeans" centres.
        warmup: epochs without memory before the items are set.
        revive: restart items that no position reads.
        held_out: share of each video, its end, that is only used to choose the epoch and to calibrate; more is taken
            where the false-alarm rate needs it.
        false_alarm_rate: share of normal frames that may be flagged.
        device: where to train: "auto", "cpu", "cuda" or "mps".
        random_state: seed of everything that is drawn.

    Attributes:
        scorer_: the trained `Scorer`, of clips.
        history_: one `Epoch` a pass.
        health_: state of the memory in the chosen epoch.
        threshold_: anomaly score above which a frame is flagged; `offset_` is its negative.

    References:
        Gong et al., ICCV 2019, section 4.2.
    """

    kind = "video"

    def __init__(
        self,
        n_items: int = 2000,
        *,
        size: tuple[int, int] | None = (128, 128),
        channels: int = 1,
        length: int = 16,
        step: int = 4,
        score_step: int = 1,
        widths: Sequence[int] | None = None,
        strides: Sequence[Sequence[int]] | None = None,
        similarity: Similarity = "cosine",
        temperature: float = 0.03,
        learn_temperature: bool = False,
        shrinkage: float = 1.0,
        on_empty: OnEmpty = "strongest",
        alpha: float = 0.0002,
        reduction: Reduction = "sum",
        epochs: int = 20,
        batch_size: int = 4,
        learning_rate: float = 0.001,
        decay: bool = True,
        choose: Choice = "lowest",
        patience: int | None = None,
        init: Init = "kmeans",
        warmup: int = 1,
        revive: bool = False,
        held_out: float = 0.1,
        false_alarm_rate: float = 0.05,
        device: Device = "auto",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.n_items = n_items
        self.size = size
        self.channels = channels
        self.length = length
        self.step = step
        self.score_step = score_step
        self.widths = widths
        self.strides = strides
        self.similarity = similarity
        self.temperature = temperature
        self.learn_temperature = learn_temperature
        self.shrinkage = shrinkage
        self.on_empty = on_empty
        self.alpha = alpha
        self.reduction = reduction
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.decay = decay
        self.choose = choose
        self.patience = patience
        self.init = init
        self.warmup = warmup
        self.revive = revive
        self.held_out = held_out
        self.false_alarm_rate = false_alarm_rate
        self.device = device
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def _prepare(self, X: Any) -> Prepared:
        videos, checksum = read_videos(self._parts(X), IN_MEMORY if isinstance(X, str | Path) else np.inf)
        streams = bool(videos) and videos[0].frames.is_meta
        room = BUFFER // (videos[0].frames[0].nbytes * len(videos)) if streams else None
        self.unit_ = pixel_unit(X)
        training, held_out = self._ends(videos, room)
        clips = Clips(training, self.length, self.step)
        self.shape_ = tuple(clips.shape)
        center, scale = pixel_range(self.unit_, clips)
        if streams:
            held_out = self._read_ends(X, videos, training)
        held = Clips(held_out, self.length, self.score_step)
        samples = self._streamed(X, clips) if streams else Selection(clips)
        return Prepared(self.shape_, center, scale, samples, Selection(held), checksum)

    def _streamed(self, X: str | Path, clips: Clips) -> Streamed:
        """Clips of videos that do not fit into memory, decoded in each pass and shuffled through a buffer."""

        def decoded() -> Iterator[Tensor]:
            for part, video in zip(self._parts(X), clips.videos, strict=True):
                if len(video.frames) >= self.length:
                    frames = (frames for frames, _ in between(part.blocks, 0, len(video.frames)))
                    yield from (clip.to(clips.dtype) for _, clip in sliding(frames, self.length, self.step))

        size = math.prod(clips.shape) * clips.dtype.itemsize
        return Streamed(decoded, len(clips), max(BUFFER // size, 1))

    def _read_ends(self, X: str | Path, videos: Sequence[Video], training: Sequence[Video]) -> list[Video]:
        """What `_ends` holds out, in memory."""
        ends = []
        for part, whole, begin in zip(self._parts(X), videos, training, strict=True):
            if len(begin.frames) < len(whole.frames):
                blocks = between(part.blocks, len(begin.frames), len(whole.frames))
                frames, times = zip(*((frames.clone(), times) for frames, times in blocks), strict=True)
                ends.append(Video(whole.name, torch.cat(frames), torch.cat(times)))
        return ends

    def _ends(self, videos: Sequence[Video], room: int | None = None) -> tuple[list[Video], list[Video]]:
        """Each video cut in two: what trains, and the end that is held out, of `room` frames at most or one clip.

        No frame is in both.
        """
        self._held_out_count(len(videos) + 1)  # checks the share
        clips = round(1 / self.false_alarm_rate) // max(len(videos), 1)
        needed = self.length + clips * self.score_step
        training, held_out = [], []
        for video in videos:
            frames = len(video.frames)
            held = max(round(self.held_out * frames), min(needed, frames // 3))
            cut = frames - max(self.length, held if room is None else min(held, room))
            if cut < self.length:
                training.append(video)
                continue
            training.append(Video(video.name, video.frames[:cut], video.times[:cut]))
            held_out.append(Video(video.name, video.frames[cut:], video.times[cut:]))
        if not held_out:
            longest = max((len(video.frames) for video in videos), default=0)
            raise SchemaError(
                f"the longest video has {longest} frames; one of at least {2 * self.length}, twice the clip length "
                f"{self.length}, is needed to train on its beginning and calibrate on its end. Lower the length"
            )
        return training, held_out

    def _parts(self, X: Any) -> Iterator[Part]:
        """The videos of any source, scaled, one after another."""
        size = None if self.size is None else (self.size[0], self.size[1])
        if isinstance(X, str | Path):
            for path in find_videos(Path(X)):
                yield Part(str(path), ahead(frame_blocks(path, channels=self.channels, size=size)))
            return
        for video in videos_of_array(X):
            frames = with_channels(video.frames, self.channels)
            yield Part(video.name, [(frames if size is None else resize(frames, size), video.times)])

    def _raw(self, X: Any) -> Iterator[Tensor]:
        check_is_fitted(self, "shape_")
        check_unit(self.unit_, X)
        return (clip for part in self._parts(X) for _, clip in self._clips(part, []))

    def _clips(self, part: Part, times: list[float]) -> Iterator[tuple[int, Tensor]]:
        """First frame and pixels of each clip to score; `times` receives the time of each frame that was read."""

        def blocks() -> Iterator[Tensor]:
            for frames, seconds in part.blocks:
                if (frames.shape[1], *frames.shape[2:]) != (self.shape_[0], *self.shape_[2:]):
                    raise SchemaError(
                        f"the model was fitted on frames of (c, h, w) = {(self.shape_[0], *self.shape_[2:])}, "
                        f"{part.name} has {tuple(frames.shape[1:])}; scale it, or fit with a size"
                    )
                times.extend(seconds.tolist())
                yield frames

        found = sliding(blocks(), self.length, self.score_step)
        first = next(found, None)
        if first is None:
            raise SchemaError(
                f"{part.name} has {len(times)} frames, the model needs {self.length} (its clip length) or more"
            )
        return chain([first], found)

    def frames(self, X: Any) -> Iterator[FrameScore]:
        """The score of each frame of each video, as soon as it is known, in constant memory."""
        check_is_fitted(self, "shape_")
        check_unit(self.unit_, X)
        return chain.from_iterable(self.follow(part) for part in self._parts(X))

    def follow(self, part: Part) -> Iterator[FrameScore]:
        """The score of each frame of one video whose frames may still be coming, as from a camera.

        Args:
            part: frames `(k, c, h, w)` of the model's size, in blocks of any number, in the unit of the training data.
        """
        times: list[float] = []
        starts: list[int] = []
        clips = self._chunks(self._clips(part, times), starts)
        scored = (
            (starts.pop(0), (float(score), error_map))
            for scores in self.scorer_.batched(clips)
            for score, error_map in zip(scores.score, scores.error_map, strict=True)
        )
        for frame, start, (score, error_map) in spread_over_frames(scored, self.length, times.__len__):
            shown = error_map[:, min(frame - start, self.length - 1)]
            yield FrameScore(part.name, frame, times[frame], score, shown)

    @property
    def delay(self) -> int:
        """Frames after a frame that must have come before `follow` gives its score, at most.

        Half a clip lies after the frame on which it is centred, the next clip tells that none lies nearer, and
        `Scorer.chunk` clips are computed at once. Frames before the first centre wait for the first clips besides.
        """
        check_is_fitted(self, "scorer_")
        later = self.length - self.length // 2 - 1
        nearer = (self.score_step + 1) // 2
        return later + nearer + self.scorer_.chunk * self.score_step - 1

    def _chunks(self, clips: Iterable[tuple[int, Tensor]], starts: list[int]) -> Iterator[Tensor]:
        """Clips as many as are computed at once; `starts` receives the first frame of each."""
        waiting: list[Tensor] = []
        for start, clip in clips:
            starts.append(start)
            waiting.append(clip)
            if len(waiting) == self.scorer_.chunk:
                yield torch.cat(waiting)
                waiting = []
        if waiting:
            yield torch.cat(waiting)

    def anomaly_score(self, X: Any) -> Floats:
        """Anomaly score of each frame of each video, one after another `(frames,)`, higher = more anomalous."""
        check_is_fitted(self, "scorer_")
        return np.array([frame.score for frame in self.frames(X)], dtype=np.float64)

    def _layout(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        layout = shortened(VIDEO, shape[1:]) if self.strides is None else VIDEO
        strides = layout.strides if self.strides is None else tuple(tuple(stride) for stride in self.strides)
        widths = tuple(self.widths) if self.widths is not None else layout.widths[: len(strides)]
        return widths, strides if self.strides is not None else strides[: len(widths)]

    def _per_position(self) -> bool:
        return True

    def _encoding(self) -> dict[str, Any]:
        return {"unit": self.unit_, "shape": list(self.shape_)}

    def _restore(self, encoding: dict[str, Any]) -> None:
        self.unit_ = encoding["unit"]
        self.shape_ = tuple(encoding["shape"])
