"""AMDN of Table 2: denoising autoencoders of appearance and motion, and one-class SVMs of their codes.

Xu et al., Learning Deep Representations of Appearance and Motion for Anomalous Event Detection, BMVC 2015.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.svm import OneClassSVM
from torch import Tensor, nn

from reproduction.baselines.descent import descend
from reproduction.baselines.films import Film, FilmScores, each_frame, flow, highest

SIDE = 15
"""Height and width of a patch, in pixels."""
STRIDE = 10
"""Pixels from one patch to the next."""
EVERY = 3
"""Frames from one that is cut into patches to the next."""
FOREGROUND = 0.15
"""Mean speed of a patch at least, in pixels a frame: others are neither learned nor scored."""
FLOW_SCALE = 4.0
"""Pixels a frame that are 1 for the network."""
PATCHES, HELD_OUT = 24_000, 4_000
"""Of training and of held-out films, at most."""
SUPPORT = 4_000
"""Codes that a one-class SVM is fitted to, at most."""
NU = 0.05
"""Share of the normal codes outside, at most."""
LOWEST = -10.0
"""Score of a patch that does not move, in standard deviations of those that do."""
NOISE = 0.05
"""Standard deviation of the noise that is added to values in [0, 1]."""


class Patches(NamedTuple):
    """Moving patches of a film."""

    values: dict[str, Tensor]  # for each pipeline (n, d)
    frame: NDArray[np.int64]  # (n,): which of the frames that were cut
    row: NDArray[np.int64]  # (n,)
    column: NDArray[np.int64]  # (n,)
    grid: tuple[int, int, int]  # frames, rows and columns


def patches(film: Film) -> Patches:
    """The moving patches of every third frame; grey levels and flow are brought to [0, 1] and about [−1, 1]."""
    side = min(SIDE, *film.shape[1:])
    grey = _windows(np.asarray(film[::EVERY] / 255, np.float32), side)
    moved = flow(film)[::EVERY] / np.float32(FLOW_SCALE)
    across, down = (_windows(moved[..., axis].clip(-1, 1), side) for axis in range(2))
    speed = np.hypot(across, down).mean((3, 4)) * FLOW_SCALE
    frame, row, column = np.nonzero(speed >= FOREGROUND)
    here = frame, row, column
    looks = torch.from_numpy(grey[here].reshape(len(frame), -1))
    moves = torch.from_numpy(np.stack([across[here], down[here]], 1).reshape(len(frame), -1))
    values = {"appearance": looks, "motion": moves, "joint": torch.cat([looks, moves], 1)}
    return Patches(values, *here, (grey.shape[0], grey.shape[1], grey.shape[2]))


def _windows(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """A view of the patches of frames `(t, rows, columns, side, side)`."""
    return np.lib.stride_tricks.sliding_window_view(pixels, (side, side), (1, 2))[:, ::STRIDE, ::STRIDE]


class Denoiser(nn.Module):
    """An autoencoder whose first layer widens and whose others halve; it restores patches to which noise was added.

    Args:
        size: values of a patch.
        widths: units of the encoder's layers; the decoder mirrors them.
    """

    def __init__(self, size: int, widths: Sequence[int]) -> None:
        super().__init__()
        sizes = (size, *widths)
        down, up = (
            [layer for before, after in pairwise(each) for layer in (nn.Linear(before, after), nn.Sigmoid())]
            for each in (sizes, sizes[::-1])
        )
        self.encoder, self.decoder = nn.Sequential(*down), nn.Sequential(*up[:-1])  # flow has both signs

    def loss(self, x: Tensor, random: torch.Generator) -> Tensor:
        """Squared error of the patches `(n, d)` that are restored from noisy ones, mean over values `(n,)`."""
        noisy = x + NOISE * torch.randn(x.shape, generator=random)
        found: Tensor = (self.decoder(self.encoder(noisy)) - x).square().mean(1)
        return found


class Pipeline:
    """A denoising autoencoder and a one-class SVM of its codes, its scores standardised over normal patches."""

    def __init__(self, widths: Sequence[int], epochs: int, seed: int) -> None:
        self.widths, self.epochs, self.seed = widths, epochs, seed

    def fit(self, training: Tensor, held_out: Tensor, checkpoint: Path | None) -> Self:
        """Learns normal patches `(n, d)`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = Denoiser(training.shape[1], self.widths)
        descend(
            self.network, self.network.loss, training, held_out,
            epochs=self.epochs, rate=1e-3, seed=self.seed, checkpoint=checkpoint,
        )  # fmt: skip
        with torch.no_grad():
            codes = self.network.encoder(training)
            self.mean, self.spread = codes.mean(0), codes.std(0).clamp_min(1e-6)
        self.machine = OneClassSVM(nu=NU, gamma="scale").fit(self._codes(training[:SUPPORT]))
        normal = self._outside(held_out)
        self.level, self.scale = float(normal.mean()), max(float(normal.std()), 1e-9)
        return self

    def __call__(self, x: Tensor) -> NDArray[np.float64]:
        """Score of each patch `(n,)`."""
        return (self._outside(x) - self.level) / self.scale if len(x) else np.zeros(0)

    def _outside(self, x: Tensor) -> NDArray[np.float64]:
        return -np.asarray(self.machine.score_samples(self._codes(x)))

    @torch.no_grad()
    def _codes(self, x: Tensor) -> NDArray[np.float32]:
        found: NDArray[np.float32] = ((self.network.encoder(x) - self.mean) / self.spread).numpy()
        return found


class AppearanceAndMotion:
    """How far outside normal codes each moving patch is, in appearance, motion and both, added.

    NOTE: patches have one scale, and the autoencoders are trained at once, without layerwise pre-training, and have
    half the units. The scores of the three pipelines, standardised over held-out normal patches, weigh the same; there
    weights are learned from the scatter of normal codes. A frame without a moving patch has the lowest score of all.

    Args:
        width: units of the first layer, which each further one halves; 1024 or 2048 there.
        epochs: passes over the training patches.
        seed: of the sample of patches, weights and order.
    """

    def __init__(self, width: int = 512, epochs: int = 10, seed: int = 0) -> None:
        self.width, self.epochs, self.seed = width, epochs, seed

    def fit(self, training: Sequence[Film], held_out: Sequence[Film], checkpoint: Path | None = None) -> Self:
        """Learns normal films; each pipeline has a checkpoint of its own beside the given one."""
        learned, others = self._sampled(training, PATCHES), self._sampled(held_out, HELD_OUT)
        widths = [self.width // 2**level for level in range(4)]
        self.pipelines = {}
        paths = {name: checkpoint and checkpoint.with_suffix(f".{name}.checkpoint") for name in learned}
        for name, rows in learned.items():
            self.pipelines[name] = Pipeline(widths, self.epochs, self.seed).fit(rows, others[name], paths[name])
        for path in filter(None, paths.values()):
            path.unlink(missing_ok=True)
        return self

    def anomaly_score(self, film: Film) -> FilmScores:
        """Sum of the scores of each patch, and of frames also each pipeline's."""
        found = patches(film)
        scores = {name: pipeline(found.values[name]) for name, pipeline in self.pipelines.items()}
        whole = _map(np.sum([*scores.values()], 0), found)
        frames = {name: highest(_map(each, found)).score for name, each in scores.items()}
        parts = {name: each_frame(score, len(film), EVERY) for name, score in frames.items()}  # type: ignore[arg-type]
        return highest(each_frame(whole, len(film), EVERY))._replace(parts=parts)  # type: ignore[arg-type]

    def _sampled(self, films: Sequence[Film], count: int) -> dict[str, Tensor]:
        """At most so many patches of films, for each pipeline `(n, d)`, in random order."""
        random = torch.Generator().manual_seed(self.seed)
        found: dict[str, list[Tensor]] = {}
        for film in films:
            cut = patches(film).values
            order = torch.randperm(len(cut["joint"]), generator=random)[: -(-count // len(films))]
            for name, rows in cut.items():
                found.setdefault(name, []).append(rows[order])
        together = {name: torch.cat(rows) for name, rows in found.items()}
        order = torch.randperm(len(together["joint"]), generator=random)
        return {name: rows[order] for name, rows in together.items()}


def _map(scores: NDArray[np.float64], found: Patches) -> NDArray[np.float32]:
    cells = np.full(found.grid, LOWEST, np.float32)
    cells[found.frame, found.row, found.column] = scores
    return cells
