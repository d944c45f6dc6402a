"""The detector for video."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from memae.artifact import Artifact
from memae.data.clips import Clips
from memae.data.formats import common_format
from memae.data.samples import Samples, Selection
from memae.data.videos import Video, find_videos, read_videos
from memae.errors import OptionError
from memae.estimators.base import Estimator, Prepared, check_references
from memae.estimators.cutting import ends, read_ends, scaled_size, streamed
from memae.estimators.devices import Device
from memae.estimators.examples import frame_name, root_of
from memae.estimators.restoring import check_clips, restored_format, restored_pixels
from memae.frames import Floats
from memae.kinds import Videos
from memae.kinds.following import Footage, FrameScore, told_of_clips
from memae.kinds.pixel_units import checked_size, pixel_range, pixel_unit
from memae.kinds.videos import footage, footage_of
from memae.losses import Reduction
from memae.memory import OnEmpty, Similarity
from memae.networks.convolutional import STACKED, VIDEO, Layout, shortened
from memae.networks.pace import span
from memae.options import Choice, Init, Options
from memae.scoring import Scorer

PAPER: dict[str, Any] = {
    "widths": "paper",
    "n_items": 2000,
    "size": (128, 128),
    "length": 16,
    "step": 4,
    "temperature": 1.0,
    "shrinkage": 1.0,
    "on_empty": "zero",
    "paces": False,
    "references": 0,
    "smooth": 1,
    "epochs": 30,
    "batch_size": 4,
    "init": "uniform",
    "warmup": 0,
}
"""What the paper says, at the size, rate and epochs with which its Table 2 is reproduced here."""

PACES = (1, 2, 3)
SHORTER_SIDE = 192
"""Pixels to which the shorter side of frames is scaled, if it is longer."""
CLIPS = 4000
"""Training clips an epoch, about, where the step from one to the next is free."""
REFERENCES = 2000  # known places; to look through more of them would take longer than the network
PER_CLIP = 4  # of a clip, where there are clips enough: neighbouring ones are alike
IN_MEMORY = 2**31
"""Bytes of frames up to which files are held in memory; more are decoded in each pass."""
BUFFER = 2**28
"""Bytes of clips that decoded files take for shuffling, and of frames that are held out."""


class VideoMemAE(Estimator):
    """Detects anomalous frames of videos, and where in them, from clips of neighbouring frames.

    X is a video file, a folder of frames, a folder of such files or folders, an array `(t, h, w)`, `(t, c, h, w)` or
    `(t, h, w, c)`, or a list of arrays. All scores are per frame, the videos one after another: a frame gets the score
    of the clip centred on it, the frames at the edges that of the nearest clip.

    By default the frames of a clip and what changes between them are the channels of one picture; for each of its
    positions the memory restores both, and its answer tells how fast the clip is played. A frame has the score of its
    most anomalous place, over all clips that hold it. `paper` gives the paper's network, which convolves in time.

    Args:
        n_items: items of the memory, each the feature of one position; 0 is a plain autoencoder.
        size: height and width that frames are scaled to; "native" keeps theirs; None makes their shorter side 192, if
            it is longer.
        channels: 1 for grey (the paper), 3 for RGB.
        length: frames a clip.
        step: frames from the start of one training clip to the next; None takes every clip, of long videos about 4000.
        score_step: the same when scoring; frames between get the nearest clip.
        widths: channels of the encoder's layers; "paper" takes the paper's network.
        strides: of the encoder's layers: two numbers each, or three to convolve in time.
        similarity: "cosine" (the paper) or "dot" (the authors' code).
        temperature: divides the similarity; the lower, the fewer items answer. The paper's is 1.
        learn_temperature: whether it is trained.
        shrinkage: λ·N of the hard shrinkage; the paper recommends 1 to 3, 0 switches it off.
        on_empty: what a query reads whose weights all fall below λ: the "strongest" item, or "zero".
        alpha: weight of the entropy in the training objective.
        reduction: squared error as "sum" or "mean" over the clip, or mean "absolute" error.
        paces: whether the score also counts the odds, told from the memory's answer, that a clip is not played as fast
            as it was filmed, but two or three times as fast. Not for networks that convolve in time.
        references: positions of training clips whose codes are kept, so that the score also counts the distance to the
            nearest of them; None takes 2000, 0 none. Not for networks that convolve in time.
        smooth: frames around a frame whose mean score it gets, an odd number; 1 leaves scores as they are.
        epochs: passes over the training clips, at most.
        batch_size: clips a step.
        learning_rate: of Adam.
        decay: whether it falls to 0 over the training.
        choose: keep the epoch with the "lowest" held-out error, or the "last".
        patience: stop after so many epochs without a lower held-out error; None never.
        init: first items: "uniform", encodings of "samples", or their "kmeans" centres.
        warmup: epochs without memory before the items are set; None takes two thirds of them.
        revive: restart items that no position reads.
        held_out: share of each video, its end, that is only used to choose the epoch and to calibrate; more is taken
            where the false-alarm rate needs it.
        false_alarm_rate: share of normal frames that may be flagged.
        keep_samples: whether the model keeps small pictures of the training frames that lie nearest to its items, to
            explain scores with; see `explain`.
        device: where to train: "auto", "cpu", "cuda" or "mps".
        random_state: seed of everything that is drawn.

    Attributes:
        scorer_: the trained `Scorer`, of clips.
        history_: one `Epoch` a pass.
        health_: state of the memory in the chosen epoch.
        threshold_: anomaly score above which a frame is flagged; `offset_` is its negative.
        format_: `VideoFormat` of the training videos; None where they differ, or were arrays.

    References:
        Gong et al., ICCV 2019, section 4.2.
    """

    kind = "video"
    correlated = True

    def __init__(
        self,
        n_items: int = 1000,
        *,
        size: tuple[int, int] | Literal["native"] | None = None,
        channels: int = 1,
        length: int = 9,
        step: int | None = None,
        score_step: int = 1,
        widths: Sequence[int] | Literal["paper"] | None = None,
        strides: Sequence[Sequence[int]] | None = None,
        similarity: Similarity = "cosine",
        temperature: float = 0.03,
        learn_temperature: bool = False,
        shrinkage: float = 1.0,
        on_empty: OnEmpty = "strongest",
        alpha: float = 0.0002,
        reduction: Reduction = "sum",
        paces: bool = True,
        references: int | None = None,
        smooth: int = 15,
        epochs: int = 12,
        batch_size: int = 8,
        learning_rate: float = 0.001,
        decay: bool = True,
        choose: Choice = "lowest",
        patience: int | None = None,
        init: Init = "kmeans",
        warmup: int | None = None,
        revive: bool = False,
        held_out: float = 0.1,
        false_alarm_rate: float = 0.05,
        keep_samples: bool = True,
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
        self.paces = paces
        self.references = references
        self.smooth = smooth
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
        self.keep_samples = keep_samples
        self.device = device
        self.random_state = random_state

    @classmethod
    def paper(cls, **more: Any) -> Self:
        """The paper's setting instead of the defaults, as far as it is disclosed and can work (see docs/method.md).

        Clips of 16 frames convolved in time, cosine without temperature, λ = 1/N, items from random numbers, Eq. 10 and
        Eq. 8 alone; frames of 128 × 128, a quarter of the paper's pixels.

        Args:
            more: other parameters, and those of the paper to replace.

        Example:
            >>> VideoMemAE.paper(size=(256, 256)).length
            16
        """
        return cls(**(PAPER | more))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def _prepare(self, X: Any) -> Prepared:
        check_references(self.references)
        if self.smooth < 1 or self.smooth % 2 == 0:
            raise OptionError(f"smooth must be an odd number of frames, 1 or more; got {self.smooth}")
        self._held_out_count(2)  # checks the share
        self.format_ = common_format(find_videos(Path(X))) if isinstance(X, str | Path) else None
        self.size_ = self._chosen_size(X)
        whole = ((str(each.name), each.blocks) for each in self._footage(X))
        videos, checksum = read_videos(whole, IN_MEMORY if isinstance(X, str | Path) else np.inf)
        streams = bool(videos) and videos[0].frames.is_meta
        room = BUFFER // (videos[0].frames[0].nbytes * len(videos)) if streams else None
        self.unit_ = pixel_unit(X)
        advice = "Lower the length" + (", or set paces=False (--no-paces)" if len(self._paces()) > 1 else "")
        training, held_out = ends(videos, self._film_length(), self._held_frames, room, advice)
        films = self._films(training)
        self.shape_ = (films.shape[0], self.length, *films.shape[2:])
        center, scale = pixel_range(self.unit_, films)
        if streams:
            held_out = read_ends(self._footage(X), videos, training)
        samples = streamed(lambda: self._footage(X), films, BUFFER) if streams else Selection(films)
        held, normal = (Selection(Clips(held_out, length, self.score_step)) for length in (films.length, self.length))
        names = partial(frame_name, root_of(X) if isinstance(X, str | Path) else None, films)
        return Prepared(self.shape_, center, scale, samples, held, checksum, names, normal)

    def _chosen_size(self, X: Any) -> tuple[int, int] | None:
        """Height and width that frames are scaled to; None for theirs."""
        if self.size not in ("native", None):
            return checked_size(self.size)
        self.size_ = None
        return None if self.size else scaled_size(self._footage(X), SHORTER_SIDE)

    def _films(self, training: Sequence[Video]) -> Clips:
        """What is learned: clips, or the longer stretches from which those at other paces are taken as well."""
        length = self._film_length()
        free = sum(max(len(video.frames) - length + 1, 0) for video in training) // CLIPS
        return Clips(training, length, max(free, 1) if self.step is None else self.step)

    def _film_length(self) -> int:
        return span(self._paces() or (1,), self.length)

    def _paces(self) -> tuple[int, ...]:
        """Those that are told; none where a layout is the paper's or has three strides a layer."""
        in_time = self.widths == "paper" or (self.strides is not None and any(len(each) == 3 for each in self.strides))
        return () if in_time else PACES if self.paces else PACES[:1]

    def _held_frames(self, frames: int, videos: int) -> int:
        """How many frames at the end of a video of so many are held out: enough for the false-alarm rate."""
        clips = round(1 / self.false_alarm_rate) // max(videos, 1)
        needed = self.length + clips * self.score_step
        return max(round(self.held_out * frames), min(needed, frames // 3))

    @property
    def kind_(self) -> Videos:
        """Reads, scores and explains frames as those of training."""
        check_is_fitted(self, "scorer_")
        return Videos(self.shape_, self.unit_, self.size_, self.score_step, self.smooth, self.format_)

    def _footage(self, X: Any) -> Iterator[Footage]:
        return footage(X, self.channels, self.size_)

    def frames(self, X: Any) -> Iterator[FrameScore]:
        """The score of each frame of each video, as soon as it is known, in constant memory."""
        return chain.from_iterable(map(self.follow, footage_of(self.kind_.open(X))))

    def follow(self, video: Footage) -> Iterator[FrameScore]:
        """The score of each frame of one video whose frames may still be coming, as from a camera.

        Args:
            video: frames `(k, c, h, w)` of the model's size, in blocks of any number, in the unit of the training data.
        """
        return self.kind_.follow(self.scorer_, video)

    @property
    def delay(self) -> int:
        """Frames after a frame that must have come before `follow` gives its score, at most."""
        return self.kind_.delay(self.scorer_)

    def _warmup(self) -> int:
        return 2 * int(self.epochs) // 3

    def _layout(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        known, space = (STACKED, shape[2:]) if self._paces() else (VIDEO, shape[1:])
        widths = known.widths if self.widths is None or self.widths == "paper" else tuple(self.widths)
        if self.strides is not None:
            return widths, tuple(tuple(stride) for stride in self.strides)
        return shortened(Layout(widths, known.strides[: len(widths)]), space)

    def _per_position(self) -> bool:
        return True

    def _remember(self, scorer: Scorer, training: Samples, options: Options) -> None:
        wanted = REFERENCES if self.references is None else self.references
        if wanted and scorer.model.pace is not None:
            random = torch.Generator().manual_seed(options.seed)
            each = max(-(-wanted // len(training)), PER_CLIP)
            scorer.remember(scorer.position_codes(training.batches(self.batch_size, random), wanted, each, random))

    def _as_told(self, scorer: Scorer, measures: Tensor, prepared: Prepared) -> Floats:
        """Scores of held-out clips as those of the frames they are centred on."""
        assert isinstance(prepared.normal, Selection)  # noqa: S101 (`_prepare` made it)
        clips = prepared.normal.samples
        assert isinstance(clips, Clips)  # noqa: S101 (the same)
        ends = np.flatnonzero(np.diff(clips.origin[:, 0].numpy())) + 1
        videos = torch.tensor_split(measures, torch.from_numpy(ends))
        about = self.length, self.smooth, self.score_step
        return np.concatenate([told_of_clips(scorer, each, *about) for each in videos])

    def _encoding(self) -> dict[str, Any]:
        known = self.format_ and self.format_._asdict()
        return {"unit": self.unit_, "shape": list(self.shape_), "video_format": known}

    def _restore(self, source: Artifact) -> None:
        self.unit_, self.shape_ = restored_pixels(source, self.size)
        self.format_ = restored_format(source)
        check_clips(self.shape_, self.channels, self.length, self.score_step, self.smooth)
        self.size_ = None if self.size == "native" else (self.shape_[2], self.shape_[3])
