"""The detector for video."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from memae import parameters
from memae.data.clips import Clips
from memae.data.formats import common_format
from memae.data.samples import InMemory, Samples, Selection, digest
from memae.data.videos import Video, find_videos, read_videos
from memae.errors import OptionError
from memae.estimators.base import Estimator, Plan, Prepared, Tell, check_kept_samples
from memae.estimators.choosing import Choice, features_of_frames
from memae.estimators.cutting import ends, read_ends, scaled_size, streamed
from memae.estimators.devices import together
from memae.estimators.examples import film_examples, frame_name, root_of
from memae.estimators.film_updating import Accepted, Span, accepted, check_kept, grown, stretches
from memae.estimators.films import A_SECOND, ITEMS, SIDE, STEP, UNTRAINED, keep_films, sampled
from memae.estimators.naming import with_parameters
from memae.estimators.networks import Lite
from memae.estimators.restoring import (
    check_clips,
    check_types,
    restored_format,
    restored_pixels,
    restored_step,
    restored_worth,
)
from memae.frames import Floats
from memae.kinds import Videos
from memae.kinds.following import Footage, FrameScore, scores_of_clips
from memae.kinds.pixel_units import checked_size, pixel_range, pixel_unit
from memae.kinds.videos import footage, footage_of
from memae.modelfile import artifact
from memae.modelfile.artifact import Artifact
from memae.networks.convolutional import STACKED, VIDEO, Layout, shortened
from memae.options import Epoch, Options, Step
from memae.parameters import former_names, renamed
from memae.parameters.video import OF_TRAINING
from memae.patches import spread_out
from memae.pretext.speeds import SpeedSpec, span
from memae.scoring import Scaling, Scorer
from memae.scoring.calibration import Calibration, checked_rate
from memae.scoring.distances import PositionDistance
from memae.scoring.fitting import kept_positions
from memae.scoring.measures import Error, Measure, PositionError, PositionSurprise
from memae.spec import Spec, code_shape

SPEEDS = (1, 2, 3)
LEARNED_ITEMS = 1000
"""Items of a memory that is learned, by default."""
SHORTER_SIDE = 192
"""Maximum length of the shorter side of frames that a network is trained on, in pixels, by default."""
CLIPS = 4000
"""Minimum of training clips per epoch if the step is chosen here, as far as the videos have them."""
KEPT_POSITIONS = 2000  # by default; the search in more of them would take longer than the network
PER_CLIP = 4  # kept positions of a clip, given enough clips: neighbouring positions are alike
IN_MEMORY = 2**31
"""Bytes of frames up to which files are held in memory; more are decoded in each pass."""
BUFFER = 2**28
"""Size in bytes of the shuffle buffer of files decoded in each pass, and of their held-out frames."""


@with_parameters
@dataclass(eq=False, repr=False)
class VideoMemAE(parameters.Video, Estimator):
    """Detects anomalous frames of videos and locates the anomalies in them, from clips of neighbouring frames.

    X is a video file, a folder of frames, a folder of such files or folders, an array `(t, h, w)`, `(t, c, h, w)` or
    `(t, h, w, c)`, or a list of arrays. All scores are per frame, one video after another: a frame gets the score of
    the clip centred on it, frames at the edges that of the nearest clip.

    By default, with memae[features], nothing is trained: a pretrained network describes the positions of some frames a
    second, and what is unlike all kept positions of normal frames is anomalous, moving or not. The light of a frame
    does not count, nor does the frame rate.

    With `n_items`, a network is trained: the frames of a clip and their differences are the channels of one picture.
    Both are restored, and the playback speed is predicted, from the memory read-out at each position. A frame's score
    is that of its most anomalous position, over all clips that contain the frame. `paper` gives the paper's network,
    which convolves in time.

    Args: see `memae.parameters.Video`.

    Attributes:
        scorer_: the trained `Scorer`, of clips.
        history_: an `Epoch` for each pass.
        health_: state of the memory in the chosen epoch.
        threshold_: anomaly score above which a frame is flagged; `offset_` is its negative.
        format_: `VideoFormat` of the training videos; None if they differ or were arrays.

    References:
        Gong et al., ICCV 2019, section 4.2.
    """

    kind = "video"
    correlated = True
    choose_patches: ClassVar["staticmethod[[Tensor, int, torch.Generator], Tensor]"] = staticmethod(spread_out)
    """Which positions are kept; comparisons choose others."""

    @classmethod
    def paper(cls, **more: Any) -> Self:
        """A detector with the paper's settings, as far as they are published and work (see docs/method.md).

        Clips of 16 frames convolved in time, cosine similarity without temperature, λ = 1/N, random initial items, and
        only Eq. 10 and Eq. 8; frames of 128 × 128, a quarter of the paper's pixels.

        Args:
            more: other parameters, which override those of the paper.

        Example:
            >>> VideoMemAE.paper(size=(256, 256)).length
            16
        """
        return cls(**(cls.PAPER | renamed(former_names(cls), more)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def fit_steps(
        self,
        X: Any,
        *,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        every: float = 10.0,
        tell: Tell | None = None,
    ) -> Iterator[Step | Epoch]:
        """`fit` as a generator, see `Estimator.fit_steps`. Kept positions are one step."""
        check_types(self)
        checked_rate(self.false_alarm_rate)
        check_kept_samples(self.kept_samples)
        self._check_smooth()
        choice = self.features_for(X)
        if tell is not None:
            tell(str(choice))
        if isinstance(choice.network, Lite):
            yield self._keep(X, choice.network)
        else:
            yield from super().fit_steps(X, checkpoint=checkpoint, resume=resume, every=every)

    def features_for(self, X: Any) -> Choice:
        """The features that `fit` takes for these videos, and why."""
        size = checked_size(self.size) if self.size not in ("native", None) else None
        return features_of_frames(self.features, size, X, self.n_items)

    @property
    def trains(self) -> bool:
        """Whether `fit` trains a network. With "auto" features that depends on the videos: it is known once fitted."""
        if hasattr(self, "scorer_"):
            return bool(self.scorer_.model.trained)
        return self.features in ("auto", "none")

    def _keep(self, X: Any, network: Lite) -> Epoch:
        """Fits the detector by keeping positions; see `films`."""
        began = time.perf_counter()
        self._warn_of_unused(OF_TRAINING, UNTRAINED)
        self.format_ = common_format(find_videos(Path(X)), paced=False) if isinstance(X, str | Path) else None
        self.size_ = self._chosen_size(X, SIDE)
        self.unit_ = pixel_unit(X)
        self.step_ = max(round(self._rate / A_SECOND), 1) if self.score_step is None else int(self.score_step)
        films = sampled(self._footage(X), self.step_)
        channels, *size = films.raw[0].shape
        self.shape_ = (channels, 1, *size)
        seen = films.raw[:1] if self.unit_ == "grey levels" else films.raw  # whose range is known
        scaling = Scaling(*pixel_range(self.unit_, InMemory(torch.stack(seen))))
        spec, features = network.frames(self.shape_)
        checksum, seed = digest(films.raw), int(check_random_state(self.random_state).randint(2**31 - 1))
        kept = keep_films(
            films,
            spec,
            features,
            scaling=scaling,
            most=self._most,
            smooth=self.smooth,
            rate=self._rate,
            random=torch.Generator().manual_seed(seed),
            choose=self.choose_patches,
            group=together(checksum, seed, self),
        )
        epoch = Epoch(1, kept.error, kept.error, 0.0, kept.error, kept.health, time.perf_counter() - began)
        self._settle(kept.scorer, kept.spec, [epoch], epoch, checksum, artifact.versions())
        self.learned_ = films.frames
        self.recalibrate(kept.scores)
        self.scorer_ = self.scorer_.replaced(peaks=Calibration(kept.peaks, self.calibration_.false_alarm_rate))
        if self.keep_examples:
            root = root_of(X) if isinstance(X, str | Path) else None
            self.examples_ = film_examples(films, kept.frame, kept.position, spec.shape[1:], scaling, root)
        return epoch

    def update(self, X: Any) -> Self:
        """A copy of this detector that knows more normal videos; this detector stays unchanged, so keep it to go back.

        Nothing is trained: positions of the new videos join the kept ones, of which those go that the others cover
        best. The threshold becomes that of the new videos, each (or each stretch of a single one) scored without
        itself: give a normal day that the detector has not been fitted on.

        Args:
            X: normal videos, as in `fit`.

        Raises:
            InputError: the frames are too few for the false-alarm rate.
            OptionError: the memory was trained; it would have to be trained again.
            SchemaError: frames have another size or unit than those of `fit`.
        """
        check_is_fitted(self, "scorer_")
        check_kept(self)
        films = sampled(footage_of(self.kind_.open(X)), self.step_)
        root = root_of(X) if isinstance(X, str | Path) else None
        return grown(self, films, smooth=self.smooth, rate=self._rate, most=self._most, root=root)

    def accept(self, X: Any, times: Sequence[Sequence[Span]]) -> Accepted[Self]:
        """A copy of this detector for which stretches of videos are normal, such as alarms that were none.

        The positions of their frames that exceed the threshold join the memory. This detector and the threshold stay.

        Args:
            X: the videos, as in `fit`.
            times: of each video, first and last second of each stretch; it is widened by the smoothing.

        Raises:
            InputError: a stretch has no frames, or would still be flagged.
            OptionError: the memory was trained.
        """
        check_is_fitted(self, "scorer_")
        check_kept(self)
        margin = (self.smooth // 2 + self.step_ // 2 + 1) / self._rate
        films = stretches(footage_of(self.kind_.open(X)), times, self.step_, margin)
        root = root_of(X) if isinstance(X, str | Path | list) else None
        return accepted(self, films, smooth=self.smooth, most=self._most, root=root)

    @property
    def _rate(self) -> float:
        """Frames a second of the training videos, or a guess."""
        return self.format_.rate if self.format_ and self.format_.rate else A_SECOND * STEP

    @property
    def _most(self) -> int:
        """Maximum number of kept positions."""
        return ITEMS if self.kept_samples is None else self.kept_samples

    def _check_smooth(self) -> None:
        if self.smooth < 1 or self.smooth % 2 == 0:
            raise OptionError(f"smooth must be an odd number of frames, 1 or more; got {self.smooth}")

    def _prepare(self, X: Any) -> Prepared:
        self.step_ = 1 if self.score_step is None else int(self.score_step)
        self._held_out_count(2)  # checks the share
        self.format_ = common_format(find_videos(Path(X))) if isinstance(X, str | Path) else None
        self.size_ = self._chosen_size(X, SHORTER_SIDE)
        whole = ((str(each.name), each.blocks) for each in self._footage(X))
        videos, checksum = read_videos(whole, IN_MEMORY if isinstance(X, str | Path) else np.inf)
        streams = bool(videos) and videos[0].frames.is_meta
        room = BUFFER // (videos[0].frames[0].nbytes * len(videos)) if streams else None
        self.unit_ = pixel_unit(X)
        advice = "Lower the length" + (", or set speeds=False (--no-speeds)" if len(self._speeds()) > 1 else "")
        training, held_out = ends(videos, self._film_length(), self._held_frames, room, advice)
        films = self._films(training)
        self.shape_ = (films.shape[0], self.length, *films.shape[2:])
        center, scale = pixel_range(self.unit_, films)
        if streams:
            held_out = read_ends(self._footage(X), videos, training)
        samples = streamed(lambda: self._footage(X), films, BUFFER) if streams else Selection(films)
        held, normal = (Selection(Clips(held_out, length, self.step_)) for length in (films.length, self.length))
        names = partial(frame_name, root_of(X) if isinstance(X, str | Path) else None, films)
        return Prepared(self.shape_, center, scale, samples, held, checksum, names, normal)

    def _chosen_size(self, X: Any, shorter: int) -> tuple[int, int] | None:
        """Height and width that frames are scaled to, by default so that the shorter side is at most `shorter`.

        None for no scaling.
        """
        if self.size not in ("native", None):
            return checked_size(self.size)
        self.size_ = None
        return None if self.size else scaled_size(self._footage(X), shorter)

    def _films(self, training: Sequence[Video]) -> Clips:
        """Training samples: clips, or longer films from which clips of every speed can be taken."""
        length = self._film_length()
        free = sum(max(len(video.frames) - length + 1, 0) for video in training) // CLIPS
        return Clips(training, length, max(free, 1) if self.step is None else self.step)

    def _film_length(self) -> int:
        return span(self._speeds() or (1,), self.length)

    def _speeds(self) -> tuple[int, ...]:
        """The speeds to predict, as filmed first; none for a network that convolves in time."""
        in_time = self.widths == "paper" or (self.strides is not None and any(len(each) == 3 for each in self.strides))
        return () if in_time else SPEEDS if self.speeds else SPEEDS[:1]

    def _held_frames(self, frames: int, videos: int) -> int:
        """Number of held-out frames at the end of a video of `frames`, among so many videos.

        It is the requested share, or more if the false-alarm rate needs it.
        """
        clips = round(1 / self.false_alarm_rate) // max(videos, 1)
        needed = self.length + clips * self.step_
        return max(round(self.held_out * frames), min(needed, frames // 3))

    @property
    def kind_(self) -> Videos:
        """Reads, scores and explains frames in the format of the training data."""
        check_is_fitted(self, "scorer_")
        described = self.scorer_.features is not None
        return Videos(self.shape_, self.unit_, self.size_, self.step_, self.smooth, self.format_, described)

    def _footage(self, X: Any) -> Iterator[Footage]:
        return footage(X, self.channels, self.size_)

    def frames(self, X: Any) -> Iterator[FrameScore]:
        """The score of each frame of each video, as soon as it is final, in constant memory."""
        return chain.from_iterable(map(self.follow, footage_of(self.kind_.open(X))))

    def follow(self, video: Footage) -> Iterator[FrameScore]:
        """The score of each frame of one video, which may be live, as from a camera.

        Args:
            video: blocks of frames `(k, c, h, w)`, any k, of the model's size and in the unit of the training data.
        """
        return self.kind_.follow(self.scorer_, video)

    @property
    def delay(self) -> int:
        """Maximum number of later frames that `follow` needs before it gives a frame's score."""
        return self.kind_.delay(self.scorer_)

    def _plan(self, prepared: Prepared) -> Plan:
        shape, speeds = prepared.shape, self._speeds()
        layout, space = (STACKED, shape[2:]) if speeds else (VIDEO, shape[1:])
        widths = layout.widths if self.widths is None or self.widths == "paper" else tuple(self.widths)
        if self.strides is not None:
            strides = tuple(tuple(stride) for stride in self.strides)
        else:
            widths, strides = shortened(Layout(widths, layout.strides[: len(widths)]), space)
        memory = self._memory(LEARNED_ITEMS if self.n_items is None else int(self.n_items), per_position=True)
        spec = Spec(shape, widths, strides, memory, SpeedSpec(speeds) if speeds else None)
        options = self._options(batch_size=int(self.batch_size), warmup=2 * int(self.epochs) // 3)
        scaling = Scaling(prepared.center, prepared.scale)
        return Plan(spec, options, scaling, partial(self._measures, prepared.training, options, spec))

    def _measures(
        self,
        training: Samples,
        options: Options,
        spec: Spec,
        scorer: Scorer,
        held_out: Samples,  # noqa: ARG002
    ) -> list[Measure]:
        if not isinstance(spec.pretext, SpeedSpec):
            return [Error(options.reduction)]
        _, height, width = code_shape(spec)
        frames = spec.shape[0] * spec.shape[1]  # the first channels: restored, but only the motion after them is scored
        measures: list[Measure] = [PositionError((height, width), frames, options.reduction)]
        if len(spec.pretext.speeds) > 1:
            measures.append(PositionSurprise())
        wanted = KEPT_POSITIONS if self.kept_samples is None else self.kept_samples
        if wanted:
            random = torch.Generator().manual_seed(options.seed)
            each = max(-(-wanted // len(training)), PER_CLIP)
            batches = training.batches(self.batch_size, random)
            measures.append(PositionDistance(kept_positions(scorer, batches, wanted, each, random)))
        return measures

    def _held_out_scores(self, scorer: Scorer, measures: Tensor, prepared: Prepared) -> Floats:
        """The `anomaly_score` of the frames on which the held-out clips are centred."""
        assert isinstance(prepared.normal, Selection)  # noqa: S101 (`_prepare` made it)
        clips = prepared.normal.samples
        assert isinstance(clips, Clips)  # noqa: S101 (the same)
        ends = np.flatnonzero(np.diff(clips.origin[:, 0].numpy())) + 1
        videos = torch.tensor_split(measures, torch.from_numpy(ends))
        about = self.length, self.smooth, self.step_
        return np.concatenate([scores_of_clips(scorer, each, *about) for each in videos])

    def _encoding(self) -> dict[str, Any]:
        video_format = self.format_ and self.format_._asdict()
        known = {"unit": self.unit_, "shape": list(self.shape_), "video_format": video_format, "step": self.step_}
        return known | {"independent": self._worth}

    def _restore(self, source: Artifact) -> None:
        self.unit_, self.shape_ = restored_pixels(source, self.size)
        self.format_ = restored_format(source)
        self.step_ = restored_step(source, self.score_step)
        self._worth = restored_worth(source)
        length = self.length if source.spec.features is None else 1
        check_clips(self.shape_, self.channels, length, self.step_, self.smooth)
        self.size_ = None if self.size == "native" else (self.shape_[2], self.shape_[3])
