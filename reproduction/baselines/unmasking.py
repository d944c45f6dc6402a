"""Unmasking of Table 2: how easily frames are told from those just before them, although the best features are removed.

Tudor Ionescu et al., Unmasking the Abnormal Events in Video, ICCV 2017.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from memae.data.pixels import resize
from reproduction.baselines.described import FrameMaps
from reproduction.baselines.films import Cells, Film, FilmScores

HALF = 10
"""Frames of each of the two neighbouring windows."""
STRIDE = 2
"""Frames from one pair of windows to the next."""
BINS = 2
"""Rows and columns of the parts of a frame."""
LOOPS = 10
"""Classifiers that are trained in turn, each without the features that told most to those before it."""
REMOVED = 50
"""Features removed after each of them, of either sign of weight; fewer of short vectors, so that half are left."""
COST = 0.1
"""C of the logistic regression."""
NEWTON = 6
"""Steps of Newton's method."""
SCALED = (120, 160)
"""Height and width of the frames whose gradients are taken."""
GRAIN = 5
"""Side of the cells over which gradients are averaged, in pixels of the scaled frame."""
SIGMA = 10.0
"""Of the Gaussian that smooths scores, in frames."""


def gradients(film: Film) -> Tensor:
    """Magnitudes of the gradients of each cell in x, y and time `(t, 3, rows, columns)`."""
    frames = resize(torch.from_numpy(film), SCALED).float() / 255
    along = torch.gradient(frames, dim=0)[0] if len(film) > 1 else torch.zeros_like(frames)
    each = [torch.gradient(frames, dim=axis)[0].abs() for axis in (2, 1)]
    return avg_pool2d(torch.stack([*each, along.abs()], 1), GRAIN)


def appearance(film: Film) -> Tensor:
    """Maps of a pretrained network, mean over 2 × 2 positions `(t, features, rows, columns)`."""
    maps = FrameMaps([film], every=1)(film)
    return avg_pool2d(maps, 2, ceil_mode=True)


def parts_of(maps: Tensor) -> Tensor:
    """Features of each part of a frame, of length 1 `(bins, t, d)`, less rows and columns that do not divide."""
    rows, columns = (max(size // BINS, 1) for size in maps.shape[2:])
    cut = maps[:, :, : rows * BINS, : columns * BINS].unfold(2, rows, rows).unfold(3, columns, columns)
    return normalize(cut.permute(2, 3, 0, 1, 4, 5).flatten(3).flatten(0, 1), dim=2)


def regression(x: Tensor) -> tuple[Tensor, Tensor]:
    """Logistic regressions that tell the first half of n sets of vectors from the second, by Newton's method.

    Args:
        x: `(n, m, d)`, m even.

    Returns:
        log odds of the second half for each vector `(n, m)`, and weights `(n, d)`.
    """
    count, m, _ = x.shape
    labels = (torch.arange(m) >= m // 2).to(x.dtype)
    kernel, one = x @ x.mT, torch.ones(count, m, 1, dtype=x.dtype)
    odds = torch.zeros(count, m, dtype=x.dtype)
    for _ in range(NEWTON):
        p = odds.sigmoid()
        spread = p * (1 - p)
        system = torch.cat([kernel + torch.diag_embed(1 / (COST * spread)), one], 2)
        last = torch.cat([one, torch.zeros(count, 1, 1, dtype=x.dtype)], 1).mT
        wanted = torch.cat([odds + (labels - p) / spread, torch.zeros(count, 1, dtype=x.dtype)], 1)
        found = torch.linalg.solve(torch.cat([system, last], 1), wanted)
        beta = found[:, :m]
        odds = (kernel @ beta[..., None])[..., 0] + found[:, m:]
    return odds, (x.mT @ beta[..., None])[..., 0]


def unmasked(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean probability that a classifier gives the right half, over all classifiers, and their mean accuracy.

    Args:
        x: n sets of vectors `(n, m, d)`, whose first and second halves are to be told apart.

    Returns:
        Both `(n,)`.
    """
    x = x.clone()
    right = torch.where(torch.arange(x.shape[1]) >= x.shape[1] // 2, 1.0, -1.0)
    removed = min(REMOVED, x.shape[2] // (4 * LOOPS))
    sure, accurate = [], []
    for _ in range(LOOPS):
        odds, weights = regression(x)
        sure.append((odds * right).sigmoid().mean(1))
        accurate.append((odds * right > 0).to(x.dtype).mean(1))
        for sign in (1, -1):
            strongest = (sign * weights).topk(removed, 1).indices
            x.scatter_(2, strongest[:, None].expand(-1, x.shape[1], -1), 0)
    return torch.stack(sure).mean(0), torch.stack(accurate).mean(0)


class Unmasking:
    """How sure classifiers are which of two neighbouring windows a frame is of, while their best features are removed.

    Nothing is learned from normal films. A window's score is the mean over classifiers, of motion and appearance added;
    that of a frame is the mean over the windows that contain it, for the part of the frame that is highest, smoothed.

    NOTE: a classifier's score is the mean probability that it gives the right half instead of the share of frames that
    it gets right, so that pairs which all classifiers tell apart can be ranked; that share is beside it. Appearance is
    EfficientNet-Lite0's, standardised over the film itself; there conv5 of VGG-f. Motion is the mean of gradients of
    cells in each frame; there gradients of cuboids of 5 frames.
    """

    def fit(self, training: Sequence[Film], held_out: Sequence[Film], checkpoint: Path | None = None) -> Self:  # noqa: ARG002 (see `FilmDetector`)
        """Learns nothing."""
        return self

    @torch.no_grad()
    def anomaly_score(self, film: Film) -> FilmScores:
        """Scores of each part of a frame, and of frames also by motion, appearance and accuracy alone."""
        found = {"motion": changes(gradients(film)), "appearance": changes(appearance(film))}
        maps = {name: sure for name, (sure, _) in found.items()}
        maps["accuracy"] = sum(accurate for _, accurate in found.values())  # type: ignore[assignment]
        whole = _smoothed(maps["motion"] + maps["appearance"])
        each: Mapping[str, Cells] = {name: _smoothed(part) for name, part in maps.items()}
        scores = {name: part.max((1, 2)).astype(np.float64) for name, part in each.items()}
        return FilmScores(whole.max((1, 2)).astype(np.float64), whole, scores)


def changes(maps: Tensor) -> tuple[Cells, Cells]:
    """Both values of `unmasked` for each frame and part `(t, rows, columns)`.

    Args:
        maps: features `(t, c, rows, columns)`; a film shorter than a pair of windows is one pair.
    """
    frames = len(maps)
    half = max(min(HALF, frames // 2), 1)
    x = parts_of(torch.cat([maps, maps[-1:]]) if frames == 1 else maps)
    starts = range(0, x.shape[1] - 2 * half + 1, STRIDE)
    total, count = np.zeros((2, frames, x.shape[0])), np.zeros(frames)
    for start in starts:
        value = torch.stack(unmasked(x[:, start : start + 2 * half])).double().numpy()
        total[:, start : start + 2 * half] += value[:, None]
        count[start : start + 2 * half] += 1
    known = np.flatnonzero(count)
    nearest = known[np.abs(np.arange(frames)[:, None] - known).argmin(1)]
    mean = (total / np.maximum(count, 1)[:, None])[:, nearest].astype(np.float32)
    sure, accurate = mean.reshape(2, frames, min(BINS, maps.shape[2]), -1)
    return sure, accurate


def _smoothed(maps: Cells) -> Cells:
    found: Cells = gaussian_filter1d(maps, SIGMA, axis=0, mode="nearest")
    return found
