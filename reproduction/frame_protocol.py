"""From frame errors of any model to the figures that papers report, each under its protocol.

Arrays in, numbers out. A protocol says which frames count and how errors are normalised before one AUROC is computed
over all of them: "paper" scales each video (Eq. 11) and counts all frames, "authors" does the same without the edge
frames (D6 and D8 of the notes on the paper).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from memae.data.pixels import resize
from memae.errors import InputError
from memae.frames import causal, normality
from memae.metrics import Estimate, video_auroc

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]
Array = NDArray[Any]
Normalisation = Literal["per_video", "none", "causal", "causal_alone"]
Protocol = Literal["paper", "authors"]

CLIP = 16
"""Frames of a clip; the clip from frame s on is centred on frame s + 8."""
BEFORE, AFTER = CLIP // 2, CLIP - CLIP // 2 - 1
"""Frames at the start and the end of a video on which no clip is centred: 8 and 7."""
PERCENT = 40
"""Percentage of a frame's abnormal pixels that must lie above the threshold."""
BLOCK = 16
"""Number of error maps in memory at once."""
FRACTION_BITS = 11
"""Bits of a pixel's error that separate bins: values within one bin differ by at most 2^-11 = 0.05 % of their size."""
_CUT = 23 - FRACTION_BITS  # bits of a float32 that are left out
_BINS = 1 << (32 - _CUT)

_FORMS = {1: "errors (frames,)", 3: "error maps (frames, h, w)"}


class Frames(NamedTuple):
    """Values of the frames of test videos."""

    videos: list[Array]  # for each video (t, …), or (t − 15, …) without the edge frames
    edges: bool  # whether the edge frames are included


def by_video(values: Array | Sequence[Array], lengths: Sequence[int], ndim: int = 1) -> Frames:
    """Errors or error maps split by video; memory maps are kept. Their number tells whether edge frames are included.

    Args:
        values: one array with all videos in order, or one array for each video; for all frames, or only for those on
            which a clip of 16 is centred, frames 8 to t − 8 of t.
        lengths: number of frames of each video.
        ndim: 1 for errors `(frames,)`, 3 for error maps `(frames, h, w)`.

    Raises:
        InputError: the number of frames or the shape does not fit, or a video is shorter than a clip.
    """
    if min(lengths) < CLIP:
        raise InputError(f"a video has {min(lengths)} frames; {CLIP} are a clip, shorter videos have no protocol")
    for edges, lost in ((True, 0), (False, BEFORE + AFTER)):
        videos = _apart(values, [length - lost for length in lengths])
        if videos is not None:
            return Frames(_formed(videos, ndim), edges)
    raise _miscounted(values, lengths)


def _apart(values: Array | Sequence[Array], counts: list[int]) -> Sequence[Array] | None:
    """One array for each video with `counts` frames; None if the numbers do not fit."""
    if isinstance(values, np.ndarray):
        return np.split(values, np.cumsum(counts)[:-1]) if _count(values) == sum(counts) else None
    return values if [_count(each) for each in values] == counts else None


def _count(values: Array) -> int:
    return len(values) if values.ndim else 1


def _formed(videos: Sequence[Array], ndim: int) -> list[Array]:
    for each in videos:
        if each.ndim != ndim or each.dtype.kind not in "fiu":
            raise InputError(f"numbers are expected as {_FORMS[ndim]}; a video has {each.dtype} {each.shape}")
    return list(videos)


def _miscounted(values: Array | Sequence[Array], lengths: Sequence[int]) -> InputError:
    lost = BEFORE + AFTER
    inner = [length - lost for length in lengths]
    if isinstance(values, np.ndarray):
        found, whole, rest = f"{_count(values)} frames", str(sum(lengths)), str(sum(inner))
    else:
        counts, whole, rest = (", ".join(map(str, each)) for each in (map(_count, values), lengths, inner))
        found = f"{len(values)} videos of {counts} frames"
    return InputError(
        f"there are {found}; the {len(lengths)} test videos have {whole}, or {rest} without the {lost} edge frames "
        "of each. Give one value for each of them, the videos in order"
    )


def without_edges(frames: Array) -> Array:
    """The values `(t − 15, …)` of those frames of a video `(t, …)` on which a clip is centred: [8:−7].

    Example:
        >>> without_edges(np.arange(18)).tolist()
        [8, 9, 10]
    """
    return frames[BEFORE : len(frames) - AFTER]


# ------------------------------------------------------------------------------------------------------------- frames


class Figure(NamedTuple):
    """Frame AUROC for one normalisation of errors."""

    normalisation: Normalisation
    edges: bool  # whether the edge frames count
    frames: int
    micro: Estimate  # over all frames together
    macro: Estimate  # mean over the videos that have frames of both classes
    protocol: Protocol | None  # the protocol of `micro`; None if no paper reports it


def frame_figures(
    labels: Sequence[Labels], errors: Array | Sequence[Array], held_out: Array | None = None, *, rounds: int = 500
) -> list[Figure]:
    """Frame AUROC for each normalisation, with the edge frames, if given, and without them.

    Edge frames are left out before errors are scaled, as in the authors' code, so the figures without them do not
    depend on whether they were given. Intervals are those of `memae.metrics.video_auroc`.

    Args:
        labels: for each test video, which of its frames are abnormal `(t,)`.
        errors: higher = more anomalous; see `by_video`.
        held_out: errors of normal frames that were not trained on `(n,)`, whose range initialises `causal`.
        rounds: rounds of the bootstrap, which resamples whole videos.

    Raises:
        InputError: see `by_video`; or values are NaN or infinite, or all frames are of one class.
    """
    frames = by_video(errors, [len(each) for each in labels])
    own = [_finite(each, "errors") for each in frames.videos]
    known = None if held_out is None else _finite(_formed([held_out], 1)[0], "held-out errors")
    inner = [without_edges(each) for each in labels]
    if not frames.edges:
        return _figures(inner, normalised(own, known), rounds, edges=False)
    rest = [without_edges(each) for each in own]
    whole = _figures(labels, normalised(own, known), rounds, edges=True)
    return whole + _figures(inner, normalised(rest, known), rounds, edges=False)


def _finite(values: Array, name: str) -> Floats:
    if not len(values) or not np.isfinite(values).all():
        wrong = f"{int((~np.isfinite(values)).sum())} of {len(values)} values"
        raise InputError(f"{name} must be finite and at least one; {wrong} are NaN or infinite. Score them again")
    return values.astype(np.float64)


def _figures(
    labels: Sequence[Labels], ways: dict[Normalisation, list[Floats]], rounds: int, *, edges: bool
) -> list[Figure]:
    count = sum(map(len, labels))
    return [
        Figure(way, edges, count, *video_auroc(labels, scores, rounds=rounds), protocol(way, edges=edges))
        for way, scores in ways.items()
    ]


def normalised(errors: list[Floats], held_out: Floats | None = None) -> dict[Normalisation, list[Floats]]:
    """Frame scores, higher = more anomalous, under every normalisation that puts videos on a common scale.

    "per_video" is Eq. 11 and needs the whole video. "causal" only needs past frames: it starts with the range of
    held-out normal errors and widens it frame by frame. Without held-out errors it is "causal_alone", which starts
    without a range, so that the first frames score 0.

    Args:
        errors: for each video, the errors of its frames `(t,)`.
        held_out: held-out errors `(n,)`.
    """
    found: dict[Normalisation, list[Floats]] = {"per_video": [-normality(each) for each in errors], "none": errors}
    if held_out is None:
        return {**found, "causal_alone": [causal(each, np.inf, -np.inf) for each in errors]}
    low, high = float(held_out.min()), float(held_out.max())
    return {**found, "causal": [causal(each, low, high) for each in errors]}


def protocol(normalisation: Normalisation, *, edges: bool) -> Protocol | None:
    """The protocol of a micro AUROC."""
    if normalisation != "per_video":
        return None
    return "paper" if edges else "authors"


# ------------------------------------------------------------------------------------------------------------- pixels


class PixelLevel(NamedTuple):
    """How well error maps find abnormal pixels. Errors of all videos are compared without normalisation.

    The criterion is hard: a single pixel makes a false alarm, so that pure noise gives about 0 instead of 0.5.
    """

    frames: int
    edges: bool  # whether the edge frames count
    criterion: Estimate  # AUROC of the pixel-level criterion, over all frames together
    equal_error: float  # equal error rate: where misses and false alarms are equally frequent
    pixels: float  # AUROC of all pixels of all frames, in bins of `FRACTION_BITS`


def pixel_level(
    maps: Array | Sequence[Array], masks: Iterable[Labels | None], lengths: Sequence[int], *, rounds: int = 500
) -> PixelLevel:
    """Pixel-level figures of error maps: the criterion of frames, and the AUROC of pixels.

    It makes one pass over the maps, with a few maps and the masks of one video in memory.

    Args:
        maps: `(frames, h, w)`, higher = more anomalous, see `by_video`; scaled bilinearly to the size of the masks.
        masks: for each test video, in order, which pixels are abnormal `(t, H, W)`; a frame is abnormal if any of its
            pixels is. None leaves the video out.
        lengths: number of frames of each video.
        rounds: rounds of the bootstrap, which resamples whole videos.

    Raises:
        InputError: see `by_video`; masks have another shape; a value is NaN or infinite; all frames are of one class.

    References:
        Mahadevan et al., Anomaly detection in crowded scenes, CVPR 2010.
    """
    frames = by_video(maps, lengths, ndim=3)
    counts = np.zeros((_BINS, 2), np.int64)
    labels, values = [], []
    for video, length, mask in zip(frames.videos, lengths, masks, strict=True):
        if mask is None:
            continue
        truth = _fitting(mask, length)
        truth = truth if frames.edges else without_edges(truth)
        labels.append(np.asarray(truth.any((1, 2))))
        values.append(_values(video, truth, counts))
    if not values:
        raise InputError("no video has masks; pixel-level figures need them, so leave the error maps out")
    criterion, _ = video_auroc(labels, values, rounds=rounds)
    error = equal_error(np.concatenate(labels), np.concatenate(values))
    return PixelLevel(sum(map(len, values)), frames.edges, criterion, error, _area(counts))


def _fitting(masks: Labels, length: int) -> Labels:
    if masks.ndim != 3 or len(masks) != length:
        raise InputError(f"the masks of a video are {masks.shape}; ({length}, h, w) is expected, one for every frame")
    return masks.astype(bool, copy=False)


def _values(maps: Array, masks: Labels, counts: NDArray[np.int64]) -> Floats:
    """`frame_values` of one video `(t,)`, block by block; adds its pixels to the bins `counts` `(_BINS, 2)`."""
    found = []
    for errors, truth in _blocks(maps, masks):
        found.append(frame_values(errors, truth))
        cells = bins(errors).ravel() * 2 + truth.ravel()
        counts += np.bincount(cells, minlength=counts.size).reshape(counts.shape)
    return np.concatenate(found)


def _blocks(maps: Array, masks: Labels) -> Iterator[tuple[NDArray[np.float32], Labels]]:
    for start in range(0, len(masks), BLOCK):
        truth = masks[start : start + BLOCK]
        with np.errstate(over="ignore"):  # values that overflow are reported as not finite
            part = np.array(maps[start : start + BLOCK], np.float32)
        if not np.isfinite(part).all():
            fault = f"one between the frames {start} and {start + len(part) - 1} of a video is NaN or infinite"
            raise InputError(f"error maps must be finite, as float32 too; {fault}. Score them again")
        yield resize(torch.from_numpy(part), (truth.shape[1], truth.shape[2])).numpy(), truth


def frame_values(maps: Array, masks: Labels) -> Floats:
    """The largest threshold at which the pixel-level criterion flags each frame `(t,)`.

    An abnormal frame is detected if at least 40 % of its abnormal pixels lie above the threshold, that is, if the
    threshold is below the largest value that 40 % of them reach. A normal frame is a false alarm if any of its pixels
    lies above the threshold, that is, if the threshold is below its maximum. So the ROC curve of the criterion is that
    of these values, without a sweep over thresholds.

    Args:
        maps: errors `(t, h, w)`.
        masks: which pixels are abnormal `(t, h, w)`.

    Example:
        >>> errors = np.arange(10.0).reshape(2, 1, 5)
        >>> frame_values(errors, errors > 4).tolist()
        [4.0, 8.0]
    """
    return np.array(
        [_reached(each[mask]) if mask.any() else each.max() for each, mask in zip(maps, masks, strict=True)]
    )


def _reached(errors: Array) -> Any:
    """The largest value that at least 40 % of the errors `(n,)` reach."""
    least = -(-PERCENT * errors.size // 100)  # in integers, so that 40 % of 5 pixels are exactly 2
    return np.partition(errors, errors.size - least)[errors.size - least]


def equal_error(labels: Labels, values: Floats) -> float:
    """The equal error rate: where misses and false alarms are equally frequent on the interpolated ROC curve.

    Example:
        >>> equal_error(np.array([False, False, True, True]), np.array([0.0, 2.0, 1.0, 3.0]))
        0.5
    """
    false_alarms, hits, _ = roc_curve(labels, values)
    return float(np.interp(0.0, false_alarms + hits - 1, false_alarms))


def bins(values: Array) -> NDArray[np.uint32]:
    """Index of the bin of each value, in ascending order: sign, exponent and leading fraction bits of its float32.

    So the width of a bin is proportional to its values, whatever the unit of the errors, and float16 is exact.
    """
    bits = (np.asarray(values, np.float32) + np.float32(0)).view(np.uint32)  # the sum turns −0 into 0
    ascending: NDArray[np.uint32] = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)) >> np.uint32(_CUT)
    return ascending


def _area(counts: NDArray[np.int64]) -> float:
    """AUROC from the number of normal and abnormal pixels in each ascending bin `(_BINS, 2)`; a bin is a tie."""
    normal, abnormal = counts.T.astype(np.float64)
    below = np.cumsum(normal) - normal
    return float((abnormal * (below + normal / 2)).sum() / (normal.sum() * abnormal.sum()))
