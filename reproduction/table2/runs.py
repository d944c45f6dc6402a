"""One run of Tables 2 and 4: one method, one seed, on UCSD Ped2."""

import base64
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import avg_pool2d

from memae.charts import stretches
from memae.data.clips import Clips, sliding
from memae.data.pixels import resize
from memae.data.samples import Samples, Selection, digest, mapped
from memae.data.videos import Video, read_video
from memae.estimators import VideoMemAE
from memae.estimators.cutting import ends
from memae.frames import spread_over_frames
from memae.model import MemAE
from memae.pictures import png
from reproduction import inside
from reproduction.baselines.clips import ClipAutoencoder, unit
from reproduction.baselines.films import Film, FilmDetector
from reproduction.frame_protocol import Figure, frame_figures, pixel_level
from reproduction.recipe import Recipe, watched
from reproduction.table2.degrading import CHANGES, HALF_RATE
from reproduction.table2.recipes import LENGTH, SCALES
from reproduction.tables import Run
from reproduction.video_sets import VideoSet, video_set

Floats = NDArray[np.float64]
Maps = NDArray[np.float16 | np.float32]
ClipErrors = Callable[[Tensor], Tensor]
"""Clips `(b, 1, t, h, w)` in grey levels 0..255 → squared error of each pixel `(b, t, h, w)`."""

PEAK = 8
"""Share of a frame's side over which the score "peak" averages errors: 1/8."""
ROUNDS = 200
"""Of the bootstrap over videos."""
NATIVE = (240, 360)
"""Height and width of the frames of Ped2 as they are, which the methods for whole films get."""
SHOWN = (3, 120)
"""Test video and frame of Figure 6: a cart."""


class Problem(NamedTuple):
    """Ped2 at one size."""

    videos: VideoSet
    training: list[Video]  # less their ends
    held_out: list[Video]  # the ends
    test: list[Video]
    scale: str = "cpu"  # one of `recipes.SCALES`


@functools.cache
def load(size: tuple[int, int]) -> tuple[Problem, str]:
    """The set, and the checksum of its pixels.

    Of each training video the last tenth is held out, one clip at least (NOTE[DIFF] held-out: the paper has none for
    video).
    """
    videos = video_set("ped2")
    training, test = ([read_video(path, size=size) for path in part] for part in (videos.training, videos.test))
    checksum = digest(video.frames for video in training + test)
    begins, held_out = ends(training, LENGTH, lambda frames, _: frames // 10)
    return Problem(videos, begins, held_out, test), checksum


def clips(videos: list[Video], length: int, step: int) -> Samples:
    """Clips of grey levels 0..255 `(b, 1, length, h, w)`."""
    return Selection(Clips(videos, length, step))


# ------------------------------------------------------------------------------------------------- frames from clips


@dataclass
class Judged:
    """Scores and error maps of the frames of the test videos."""

    scores: dict[str, list[Floats]]  # by name of the score, of each video `(t,)`; the first is the method's own
    maps: list[Maps]  # error of each pixel of a frame, of each video `(t, h, w)`


def judged(errors: ClipErrors, test: list[Video], length: int, step: int = 1) -> Judged:
    """Scores of all frames: a frame has the clip that is centred on it, and is seen as that clip's own part.

    Args:
        errors: of a model.
        test: whole videos.
        length: frames a clip.
        step: frames from one clip to the next.
    """
    found: dict[str, list[Floats]] = {name: [] for name in ("clip", "absolute", "frame", "peak")}
    maps = []
    for video in test:
        rows, own = zip(*_frames(errors, video, length, step), strict=True)
        for name, column in zip(found, np.array(rows, np.float64).T, strict=True):
            found[name].append(column)
        maps.append(torch.stack(own).numpy())
    return Judged(found, maps)


def _frames(errors: ClipErrors, video: Video, length: int, step: int) -> Iterator[tuple[list[float], Tensor]]:
    """Scores of each frame by name, and its error map as float16."""
    found = ((start, errors(clip)[0]) for start, clip in sliding([video.frames], length, step))
    for frame, start, each in spread_over_frames(found, length, video.frames.__len__):
        own = each[min(frame - start, length - 1)]
        side = max(own.shape[-1] // PEAK, 1)
        peak = avg_pool2d(own[None], side, 1).max()
        clip, absolute = each.sum(dtype=torch.float64), each.sqrt().mean(dtype=torch.float64)
        yield [float(value) for value in (clip, absolute, own.sum(dtype=torch.float64), peak)], own.half()


def figures(problem: Problem, found: Judged) -> Run:
    """All that a record keeps of the test."""
    labels = [problem.videos.labels(number) for number in range(len(problem.test))]
    own = next(iter(found.scores))
    masks = (problem.videos.masks(number) for number in range(len(problem.test)))
    pixels = pixel_level(found.maps, masks, [len(each) for each in labels], rounds=ROUNDS)
    video, frame = SHOWN
    return {
        "score": own,
        "auroc": {
            name: _by_protocol(frame_figures(labels, scores, rounds=ROUNDS)) for name, scores in found.scores.items()
        },
        "pixel_criterion": pixels.criterion.value,
        "pixel_auroc": pixels.pixels,
        "errors": [" ".join(f"{value:.6g}" for value in scores) for scores in found.scores[own]],
        "abnormal": [_stretches(each) for each in labels],
        "frame": as_text(problem.test[video].frames[frame, 0].numpy() / 255),
        "map": as_text(found.maps[video][frame]),
    }


def _stretches(labels: NDArray[np.bool_]) -> str:
    """First and last abnormal frame of each stretch: "60-179 200-210"."""
    return " ".join(f"{start}-{stop - 1}" for start, stop in stretches(labels))


def as_text(picture: NDArray[Any]) -> str:
    """A picture `(h, w)` from 0 to its highest value, as a PNG in base64: a number a line would fill a record.

    Values below 0 are black: the score of a position whose error is below the expected one.
    """
    levels = np.maximum(picture, 0) / max(float(picture.max()), np.finfo(np.float32).tiny) * 255
    return base64.b64encode(png(levels.round().astype(np.uint8))).decode()


def _by_protocol(each: list[Figure]) -> Run:
    """The figures by protocol and, where they have none, by normalisation, with edges and as micro average."""
    named = {figure.protocol or figure.normalisation: figure for figure in each if figure.edges or figure.protocol}
    values = {name: figure.micro.value for name, figure in named.items()}
    paper = named["paper"]
    return values | {"macro": paper.macro.value, "interval": [paper.micro.low, paper.micro.high]}


# ------------------------------------------------------------------------------------------ MemAE and its variants


def learned(recipe_of: Callable[[str, int], Recipe]) -> Callable[[Problem, int, Path], Run]:
    """The method that trains a recipe; the test is looked at now and then, for the curve alone."""

    def method(problem: Problem, seed: int, checkpoint: Path) -> Run:
        about, recipe = SCALES[problem.scale], recipe_of(problem.scale, seed)
        training, held_out = (
            mapped(clips(part, LENGTH, about.step), unit) for part in (problem.training, problem.held_out)
        )
        labels = [problem.videos.labels(number) for number in range(len(problem.test))]

        def figure(model: MemAE) -> float:
            found = judged(errors_of(model, recipe), problem.test, LENGTH, step=8)
            return float(_by_protocol(frame_figures(labels, found.scores["clip"], rounds=1))["paper"])

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model, course = watched(recipe, training, held_out, checkpoint, figure, every=about.every, device=device)
        return figures(problem, judged(errors_of(model, recipe), problem.test, LENGTH)) | course

    return method


def errors_of(model: MemAE, recipe: Recipe) -> ClipErrors:
    """Squared errors of a recipe's model, in the unit of pixels in [0, 1]."""

    @torch.no_grad()
    def errors(batch: Tensor) -> Tensor:
        model.eval()
        x = unit(batch).to(next(model.parameters()).device)
        x_hat = recipe.unit(model(recipe.scaled(x)).x_hat)
        return (x - x_hat).square()[:, 0].cpu()

    return errors


# ------------------------------------------------------------------------------------------------- all others


def compared(make: Callable[[int], ClipAutoencoder], learned_length: int) -> Callable[[Problem, int, Path], Run]:
    """The method that fits a baseline on clips of so many frames."""

    def method(problem: Problem, seed: int, checkpoint: Path) -> Run:
        detector, step = make(seed), SCALES[problem.scale].step
        longest = min(learned_length, *(len(video.frames) for video in problem.held_out))
        training = clips(problem.training, learned_length, step)
        detector.fit(training, clips(problem.held_out, max(longest, detector.length), step), checkpoint)
        found = judged(lambda batch: detector.clip_error(batch).maps, problem.test, detector.length)
        return figures(problem, found) | {"held_out_error": detector.history}

    return method


def of_films(make: Callable[[int], FilmDetector]) -> Callable[[Problem, int, Path], Run]:
    """The method that fits a baseline on whole films, at their own size."""

    def method(problem: Problem, seed: int, checkpoint: Path) -> Run:
        native, checksum = load(NATIVE)
        detector = make(seed)
        began = time.process_time()
        detector.fit(_films(native.training), _films(native.held_out), checkpoint)
        fitted = time.process_time() - began
        found = [detector.anomaly_score(film) for film in _films(native.test)]
        scores = {"": [each.score for each in found]}
        scores |= {name: [each.parts[name] for each in found] for name in found[0].parts}
        size = (problem.test[0].frames.shape[2], problem.test[0].frames.shape[3])
        maps: list[Maps] = [resize(torch.from_numpy(each.maps), size).numpy() for each in found]
        return figures(problem, Judged(scores, maps)) | {"data": checksum, "fit_cpu_seconds": fitted}

    return method


def _films(videos: list[Video]) -> list[Film]:
    return [video.frames[:, 0].numpy() for video in videos]


def difference(problem: Problem, seed: int, checkpoint: Path) -> Run:  # noqa: ARG001 (short)
    """A control that learns nothing: the squared difference of a frame to the one before, at its peak."""

    def errors(batch: Tensor) -> Tensor:
        x = unit(batch)[:, 0]
        return x.diff(dim=1).square()[:, [0, 0]]  # of two frames

    found = judged(errors, problem.test, 2)
    scores = {name: found.scores[name] for name in ("peak", "frame")}
    return figures(problem, Judged(scores, found.maps))


def ours(make: type[VideoMemAE] = VideoMemAE, **options: Any) -> Callable[[Problem, int, Path], Run]:
    """The method that is `VideoMemAE`, or a form of it; it reads, scales and holds out by itself."""

    def method(problem: Problem, seed: int, checkpoint: Path) -> Run:
        detector = make(**options, random_state=seed)
        began = time.process_time()
        inside.fit(detector, problem.videos.training[0].parent, checkpoint)
        fitted = time.process_time() - began
        scores: list[Floats] = []
        maps: list[Maps] = []
        for path in problem.videos.test:
            frames = list(detector.frames(path))
            scores.append(np.array([frame.score for frame in frames]))
            maps.append(torch.stack([frame.error_map.mean(0).half() for frame in frames]).numpy())
        return figures(problem, Judged({"": scores}, maps)) | {
            "epoch": detector.best_epoch_.epoch,
            "held_out_error": [epoch.held_out_error for epoch in detector.history_],
            "in_use": detector.health_.in_use if detector.health_ else None,
            "flagged": flagged(problem, scores, detector.threshold_),
            "fit_cpu_seconds": fitted,
        }

    return method


def flagged(problem: Problem, scores: list[Floats], threshold: float) -> dict[str, float]:
    """Share of the normal and of the abnormal test frames whose score is above the threshold."""
    above = np.concatenate(scores) > threshold
    labels = np.concatenate([problem.videos.labels(number) for number in range(len(scores))])
    return {"normal": float(above[~labels].mean()), "abnormal": float(above[labels].mean())}


class WithoutMemory(VideoMemAE):
    """`VideoMemAE()` whose memory is a single item: the position that is nearest to the mean of all."""

    choose_patches = staticmethod(lambda patches, *_: (patches - patches.mean(0)).square().sum(1).argmin()[None])


class AtRandom(VideoMemAE):
    """`VideoMemAE()` whose items are drawn at random, not spread out."""

    choose_patches = staticmethod(lambda patches, most, random: torch.randperm(len(patches), generator=random)[:most])


def degraded(problem: Problem, seed: int, checkpoint: Path) -> Run:
    """`VideoMemAE()`, learned from the films as they are and tested on copies with other light, noise and rate."""
    detector = VideoMemAE(random_state=seed)
    inside.fit(detector, problem.videos.training[0].parent, checkpoint)
    labels = [problem.videos.labels(number) for number in range(len(problem.test))]
    films = [read_video(path).frames[:, 0].numpy() for path in problem.videos.test]
    found: Run = {}
    for name, change in CHANGES.items():
        random = np.random.default_rng(seed)
        scores = [detector.anomaly_score(change(film, random)) for film in films]
        wanted = [each[::2] if name == HALF_RATE else each for each in labels]
        truth, together = np.concatenate(wanted), np.concatenate(scores)
        found[name] = {
            "auroc": float(roc_auc_score(truth, together)),
            "normal_flagged": float((together[~truth] > detector.threshold_).mean()),
        }
    return {"degraded": found}
