"""Frames of videos, scored by the clips around them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memae.data.ahead import ahead
from memae.data.clips import sliding
from memae.data.formats import VideoFormat, warn_if_unlike
from memae.data.images import none_read
from memae.data.labels import find_labels
from memae.data.pixels import resize, with_channels
from memae.data.tiles import Box
from memae.data.videos import VIDEO_SUFFIXES, find_videos, frame_blocks, videos_of_array
from memae.errors import OptionError, SchemaError, SourceError
from memae.evidence import Evidence, Explainer, Item, calibrated, position_map
from memae.frames import causal, normality, smoothed
from memae.kinds.comparing import compared
from memae.kinds.following import Footage, FrameScore, Seen, followed
from memae.kinds.kind import Kind, Labelled, Names, Notes, Part, Sample, Scored, Words, paths_of
from memae.kinds.pacing import Paced
from memae.kinds.pieces import Piece, film_pieces
from memae.kinds.pixel_units import check_unit
from memae.kinds.video_words import CLIPS, FRAMES
from memae.metrics import video_auroc
from memae.pretext.speeds import SHARPER
from memae.scoring import Floats, Scorer
from memae.scoring.calibration import Calibration

TOGETHER, WITH_MAPS = 1024, 32
"""Frames per part, without and with maps."""
APART = 1.0
"""Minimum distance of frames to explain, in seconds: neighbours have the same explanation."""


@dataclass(frozen=True)
class Videos(Kind):
    """Video files, folders of frames, and arrays.

    Args:
        shape: `(c, length, h, w)` of a clip.
        unit: of pixel values; see `memae.kinds.pixel_units`.
        size: height and width that frames are scaled to; None for no scaling.
        score_step: frames from the start of one scored clip to the next.
        smooth: frames over which scores are smoothed.
        format: of the training videos; None if unknown.
        described: whether frames are described by a pretrained network; else clips show how things move.
    """

    shape: tuple[int, ...]
    unit: str
    size: tuple[int, int] | None = None
    score_step: int = 1
    smooth: int = 1
    format: VideoFormat | None = None
    described: bool = False

    suffixes = VIDEO_SUFFIXES
    takes = "a video: MP4, AVI, MKV, MOV, WebM, MPEG or WMV"

    @property
    def words(self) -> Words:
        """Words for frames that are compared with kept ones, or for clips that are restored from memory."""
        return FRAMES if self.described else CLIPS

    @property
    def channels(self) -> int:
        """Channels of a frame."""
        return self.shape[0]

    @property
    def length(self) -> int:
        """Frames per clip."""
        return self.shape[1]

    # ------------------------------------------------------------------------------------------------------ reading

    def open(self, X: Any, *, notes: Notes | None = None) -> Iterator[Part]:
        """Frames, named by their video, number and time; see `Kind.open`.

        The frames of a damaged video end where the damage begins.
        """
        check_unit(self.unit, X)
        videos = footage(X, self.channels, self.size)
        paths = find_videos(Path(X)) if isinstance(X, str | Path) else ()
        return self._open(self._compared(videos), None if len(paths) == 1 else notes)

    def pieces(self, folder: Path, notes: Notes) -> Iterator[Piece]:  # noqa: ARG002 (what is no film is of no interest)
        """Each film; see `Kind.pieces`."""
        return film_pieces(folder)

    def _compared(self, videos: Iterable[Footage]) -> Iterator[Footage]:
        """The same videos; warns of those whose format differs from the training videos."""
        for video in videos:
            if isinstance(video.name, Path):
                warn_if_unlike(video.name, self.format, paced=not self.described)
            yield video

    def _open(self, videos: Iterable[Footage], notes: Notes | None) -> Iterator[Part]:
        count = 0
        for video in videos:
            try:
                for part in self.parts(video):
                    count += 1
                    yield part
            except (SourceError, SchemaError) as error:
                if notes is None or not isinstance(video.name, Path):
                    raise
                notes.unread[video.name] = str(error)
        if notes is not None and notes.unread and not count:
            raise none_read(notes.unread)

    def parts(self, video: Footage) -> Iterator[Part]:
        """The frames of one video; yields none before there are enough for a clip."""
        held: list[Part] = []
        count = 0
        for frames, times in video.blocks:
            self._check_frames(str(video.name), frames)
            kind, column = "path" if isinstance(video.name, Path) else "video", [video.name] * len(frames)
            names = {kind: column, "frame": range(count, count + len(frames)), "time": times.tolist()}
            held.append(Part(names, frames))
            count += len(frames)
            if count >= self.length:
                yield from held
                held = []
        if count < self.length:
            raise self._too_short(str(video.name), count)

    def _check_frames(self, name: str, frames: Tensor) -> None:
        expected, found = (self.shape[0], *self.shape[2:]), tuple(frames.shape[1:])
        if found != expected:
            raise SchemaError(
                f"the model was fitted on frames of (c, h, w) = {expected}, {name} has {found}; scale it, or fit with "
                "a size"
            )

    def _too_short(self, name: str, frames: int) -> SchemaError:
        return SchemaError(f"{name} has {frames} frames, the model needs {self.length} (its clip length) or more")

    def raw(self, X: Any) -> Iterator[Tensor]:
        """Clips `(1, c, length, h, w)`."""
        for video in footage_of(self.open(X)):
            for _, clip in self.clips(str(video.name), (frames for frames, _ in video.blocks)):
                yield clip

    def clips(self, name: str, blocks: Iterator[Tensor]) -> Iterator[tuple[int, Tensor]]:
        """Number of the first frame and pixels `(1, c, length, h, w)` of each clip to score in a video.

        Args:
            name: of the video, for error messages.
            blocks: frames `(k, c, h, w)`.

        Raises:
            SchemaError: frames have another size, or are too few.
        """
        count = 0

        def checked() -> Iterator[Tensor]:
            nonlocal count
            for frames in blocks:
                self._check_frames(name, frames)
                count += len(frames)
                yield frames

        found = sliding(checked(), self.length, self.score_step)
        first = next(found, None)
        if first is None:
            raise self._too_short(name, count)
        return chain([first], found)

    # ------------------------------------------------------------------------------------------------------ scoring

    def scored(self, scorer: Scorer, parts: Iterator[Part], *, maps: bool = False) -> Iterator[Scored]:
        """Frames with their scores; see `Kind.scored`."""
        nothing = torch.empty(0)
        for video in footage_of(parts):
            frames = self.follow(scorer, video)
            if not maps:  # drops them: they would take more memory than the video
                frames = (frame._replace(error_map=nothing) for frame in frames)
            while together := list(islice(frames, WITH_MAPS if maps else TOGETHER)):
                yield _scored_frames(scorer, video.name, together, maps=maps)

    def follow(self, scorer: Scorer, video: Footage) -> Iterator[FrameScore]:
        """The score of each frame of one video, which may be live."""
        return (seen.frame._replace(score=score) for seen, score in self._smoothed(scorer, video))

    def _smoothed(self, scorer: Scorer, video: Footage) -> Iterator[tuple[Seen, float]]:
        """Each frame of one video, and its score as `follow` gives it."""
        paced = None if video.live or self.rate is None else Paced(video.blocks, self.rate)
        played = video if paced is None else video._replace(blocks=paced.blocks())
        seen = followed(scorer, played, self.length, self.clips)
        found = smoothed(((each, each.frame.score) for each in seen), self.smooth)
        return found if paced is None else paced.as_filmed(found)

    @property
    def rate(self) -> float | None:
        """Frames a second at which videos are judged; None if their rate does not matter or is not known."""
        return None if self.described or self.format is None else self.format.rate

    def delay(self, scorer: Scorer) -> int:
        """Maximum number of later frames that `follow` needs before it gives a frame's score.

        The terms: half a clip after the frame it is centred on; the next clip, which shows that no centre is nearer;
        `Scorer.chunk` clips, which are computed at once; half of the smoothing window; with positions, another half
        clip, since the map is a mean over clips. Frames before the first centre also wait for the first clips.
        """
        shared = self.length // 2 if scorer.by_position else 0
        later = self.length - self.length // 2 - 1 + shared
        nearer = (self.score_step + 1) // 2
        return later + nearer + scorer.chunk * self.score_step - 1 + self.smooth // 2

    # --------------------------------------------------------------------------------------------------- explaining

    def explained(
        self, explainer: Explainer, parts: Iterator[Part], only: Collection[int] | None = None
    ) -> Iterator[Evidence]:
        """Evidence of frames, whose indices count over all videos; see `Kind.explained`."""
        number = -1
        for video in footage_of(parts):
            name = str(video.name) if isinstance(video.name, Path) else f"video {video.name}"
            clip: Tensor | None = None
            items: tuple[Item, ...] = ()
            for seen, score in self._smoothed(explainer.scorer, video):
                number += 1
                if only is not None and number not in only:
                    continue
                if seen.clip.pixels is not clip:  # several frames may share a clip
                    clip = seen.clip.pixels
                    items = self._items(explainer, seen)
                yield frame_evidence(explainer, f"{name} frame {seen.frame.frame}", score, seen, items)

    def _items(self, explainer: Explainer, seen: Seen) -> tuple[Item, ...]:
        """The memory items that a clip addressed; of features, those that its most anomalous places are nearest to."""
        clip, scorer = seen.clip, explainer.scorer
        if scorer.features is None:
            (items,) = explainer.addressed(clip.pixels[None])
            return items
        size = clip.pixels.shape[2], clip.pixels.shape[3]
        return compared(explainer, clip.pixels, clip.error_map[0, 0], Box(0, 0, *size))

    def _again(self, source: Path, chosen: Sequence[Sample]) -> Iterator[tuple[Any, dict[int, int]]]:  # noqa: ARG002
        videos: dict[Path, dict[int, int]] = {}
        for number, sample in enumerate(chosen):
            videos.setdefault(sample["path"], {})[sample["frame"]] = number
        for path, frames in videos.items():
            yield [path], frames

    def most_anomalous(self, names: Names, scores: Floats, top: int) -> list[int]:
        """See `Kind.most_anomalous`; no two frames of a video lie within `APART` seconds."""
        chosen: list[int] = []
        times: dict[Any, list[float]] = {}
        for index in np.argsort(-scores, kind="stable").tolist():
            if len(chosen) == top:
                break
            others, seconds = times.setdefault(names["path"][index], []), names["time"][index]
            if all(abs(seconds - other) >= APART for other in others):
                chosen.append(index)
                others.append(seconds)
        return chosen

    # ------------------------------------------------------------------------------------------------------- labels

    def labelled(
        self, scorer: Scorer, source: Path, labels: str | None, normal: Sequence[str], notes: Notes
    ) -> Labelled:
        """Scores and labels of all frames of the videos that can be read completely."""
        if normal:
            raise OptionError("--normal is for tables")
        found: dict[Path, list[Floats]] = {}
        for part in self.scored(scorer, self.open(source, notes=notes)):
            found.setdefault(part.names["path"][0], []).append(part.judged.score.numpy())
        whole = {path: np.concatenate(scores) for path, scores in found.items() if path not in notes.unread}
        if not whole:
            raise none_read(notes.unread)
        where = Path(labels) if labels else source
        truth = find_labels(where, list(map(str, whole)), [len(scores) for scores in whole.values()])
        return Labelled(truth, list(whole.values()))

    def more_figures(self, found: Labelled, calibration: Calibration) -> dict[str, Any]:
        """Frame AUROC with scores normalised per video, normalised causally, and not normalised."""
        low, high = float(calibration.scores[0]), float(calibration.scores[-1])
        ways: dict[str, Callable[[Floats], Floats]] = {
            "per_video": lambda scores: 1 - normality(scores),
            "causal": lambda scores: causal(scores, low, high),
            "none": lambda scores: scores,
        }
        figures = {}
        for name, way in ways.items():
            micro, macro = video_auroc(found.truth, [way(scores) for scores in found.scores])
            figures[name] = {"micro_auroc": micro.as_json(), "macro_auroc": macro.as_json()}
        return {"videos": len(found.scores), "normalisation": figures}

    # ----------------------------------------------------------------------------------------------------- pictures

    def map_files(self, source: Path, names: Names) -> list[Path]:  # noqa: ARG002 (images lie below it)
        """A folder for each video, with a file for each frame."""
        frames = zip(names.get("path", ()), names.get("frame", ()), strict=True)
        return [Path(path.name) / f"{frame:06d}.png" for path, frame in frames]

    def map_folders(self, source: Path, maps: Path) -> Iterator[tuple[Path, Path]]:
        """The folder of all maps, and one for each video."""
        yield maps, source
        for video in find_videos(source):
            yield maps / video.name, video

    def about(self) -> dict[str, Any]:
        """The size of frames, and the minimum number of frames of a video."""
        channels, frames, height, width = self.shape
        return {"channels": channels, "height": height, "width": width, "least_frames": frames}

    def exported(self, calibration: Calibration) -> dict[str, Any]:
        """What pixels mean, and how the scores of frames are made from those of clips, outside of the graph."""
        return {
            "unit": self.unit,
            "score_step": self.score_step,
            "smooth": self.smooth,
            "held_out_scores": tuple(calibration.scores.tolist()),
        }


def footage(X: Any, channels: int, size: tuple[int, int] | None) -> Iterator[Footage]:
    """The videos of any source, scaled, one after another.

    Args:
        X: a file, a folder, a list of files, an array, or a list of arrays.
        channels: 1 for grey, 3 for RGB.
        size: height and width to scale to; None for those of the source.
    """
    listed = paths_of(X)
    if listed is not None or isinstance(X, str | Path):
        for path in find_videos(Path(X)) if listed is None else listed:
            yield Footage(path, ahead(frame_blocks(path, channels=channels, size=size)))
        return
    for video in videos_of_array(X):
        frames = with_channels(video.frames, channels)
        yield Footage(video.name, [(frames if size is None else resize(frames, size), video.times)])


def footage_of(parts: Iterable[Part]) -> Iterator[Footage]:
    """Groups consecutive frames into videos; each starts with frame 0."""
    number = 0

    def video(part: Part) -> tuple[int, Path | str]:
        nonlocal number
        number += part.names["frame"][0] == 0
        return number, next(iter(part.names.values()))[0]

    for (_, name), group in groupby(parts, video):
        yield Footage(name, ((part.raw, torch.tensor(part.names["time"], dtype=torch.float64)) for part in group))


def _scored_frames(scorer: Scorer, video: Path | str, frames: Sequence[FrameScore], *, maps: bool) -> Scored:
    """Frames of one video with p-values and flags."""
    names: Names = {
        "path" if isinstance(video, Path) else "video": [video] * len(frames),
        "frame": [frame.frame for frame in frames],
        "time": [frame.time for frame in frames],
    }
    judged = calibrated(scorer).judge(torch.tensor([frame.score for frame in frames], dtype=torch.float64))
    shown = torch.stack([position_map(scorer, frame.error_map) for frame in frames]) if maps else None
    return Scored(names, judged, maps=shown)


def frame_evidence(explainer: Explainer, name: str, score: float, seen: Seen, items: tuple[Item, ...]) -> Evidence:
    """The evidence of one frame: for the frame itself or, if the model restores motion, for its change to the next."""
    scorer, clip, x_hat = explainer.scorer, seen.clip.pixels, seen.clip.x_hat
    pixels, error_map = seen.pixels.clone(), seen.frame.error_map.clone()
    if scorer.features is not None:
        return explainer.evidence(name, score, pixels, None, error_map, items, size=(pixels.shape[1], pixels.shape[2]))
    if not scorer.by_position:
        return explainer.evidence(name, score, pixels, x_hat[:, seen.offset].clone(), error_map, items)
    offset = min(seen.offset, clip.shape[1] - 2)
    motion = (clip[:, offset + 1].float() - clip[:, offset].float()).cpu()
    motions = x_hat[-clip.shape[0] * (clip.shape[1] - 1) :]  # the last channels, after those of the frames
    restored = motions.reshape(clip.shape[0], -1, *x_hat.shape[1:])[:, offset] * (scorer.scaling.scale.cpu() / SHARPER)
    return explainer.evidence(name, score, pixels, restored, error_map, items, motion)
