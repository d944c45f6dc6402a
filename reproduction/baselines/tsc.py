"""TSC of Table 2: sparse codes of features that change slowly; what the dictionary cannot compose is anomalous.

Luo et al., A Revisit of Sparse Coding Based Anomaly Detection in Stacked RNN Framework, ICCV 2017.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from reproduction.baselines.described import FrameMaps, higher, pyramid
from reproduction.baselines.films import Film, FilmScores, each_frame, highest

SPARSITY, COHERENCE = 0.15, 0.2
"""λ and λ₂: weights of ‖α‖₁ and of the change of α, for features whose length is about 1."""
ATOMS = 256
SAMPLED = 12_000
"""Features that the dictionary is learned from, at most."""
ROUNDS = 8
"""Of coding the sample and learning the dictionary anew."""
STEPS = 12
"""Of iterative soft thresholding for each frame, from the codes of the one before; the first frame has three times as
many."""
EVERY = 2
"""Frames from one that is described to the next."""
RIDGE = 1e-4


class SparseCoding:
    """Error of the sparse composition of a position's features, highest of a frame.

    The codes α of a position minimise ‖x − Aα‖² + λ‖α‖₁ + λ₂ S ‖α − α'‖², α' being those of the frame before, and S
    how alike the features of both are.

    NOTE: features are EfficientNet-Lite0's at 1/16 of the size, of positions and blocks of 3 × 3, every second frame;
    there those of a two-stream network learned from videos of actions. 256 atoms, λ and λ₂ are ours. The dictionary is
    learned without the term of coherence.

    Args:
        atoms: of the dictionary.
        seed: of the sample, and of the first dictionary.
    """

    def __init__(self, atoms: int = ATOMS, seed: int = 0) -> None:
        self.atoms, self.seed = atoms, seed

    @torch.no_grad()
    def fit(self, training: Sequence[Film], held_out: Sequence[Film], checkpoint: Path | None = None) -> Self:  # noqa: ARG002 (see `FilmDetector`)
        """Learns normal films."""
        self.maps = FrameMaps(training, EVERY)
        random = torch.Generator().manual_seed(self.seed)
        share = -(-SAMPLED // len(training))
        drawn = [_rows(self.maps(film[::EVERY]), share, random) for film in training]
        self.dictionary = dictionary(torch.cat(drawn), self.atoms, random)
        return self

    @torch.no_grad()
    def anomaly_score(self, film: Film) -> FilmScores:
        """Squared error of each position of a frame."""
        x, fine, coarse = pyramid(self.maps(film))
        alpha = torch.zeros(x.shape[1], self.dictionary.shape[1])
        errors, before = [], x[0]
        for number, now in enumerate(x):
            steps = STEPS if number else 3 * STEPS
            alpha = coded(now, self.dictionary, alpha, alike(now, before), steps)
            errors.append((now - alpha @ self.dictionary.T).square().sum(1))
            before = now
        maps = higher(torch.stack(errors), fine, coarse)
        return highest(each_frame(maps.numpy(), len(film), EVERY))


def _rows(maps: Tensor, count: int, random: torch.Generator) -> Tensor:
    """At most `count` features of a pyramid `(n, features)`."""
    rows = pyramid(maps)[0].flatten(0, 1)
    return rows[torch.randperm(len(rows), generator=random)[:count]]


def alike(x: Tensor, before: Tensor) -> Tensor:
    """S: similarity of features `(n, d)` to those before, in (0, 1] `(n, 1)`."""
    return torch.exp(-(x - before).square().sum(1, keepdim=True))


def soft(x: Tensor, threshold: Tensor | float) -> Tensor:
    """Soft thresholding: closer to 0 by the threshold, and 0 below it."""
    return x.sign() * (x.abs() - threshold).clamp_min(0)


def coded(x: Tensor, atoms: Tensor, before: Tensor, same: Tensor | float, steps: int) -> Tensor:
    """Codes `(n, k)` of features by iterative soft thresholding.

    Args:
        x: features `(n, d)`.
        atoms: dictionary `(d, k)`, columns of length 1.
        before: codes of the frame before `(n, k)`, from which the iteration starts.
        same: S, how alike the features of both frames are `(n, 1)`.
        steps: iterations.
    """
    largest = torch.linalg.matrix_norm(atoms, 2) ** 2
    rate = 1 / (2 * (largest + COHERENCE * same))
    alpha = before
    for _ in range(steps):
        slope = 2 * (alpha @ atoms.T - x) @ atoms + 2 * COHERENCE * same * (alpha - before)
        alpha = soft(alpha - rate * slope, rate * SPARSITY)
    return alpha


def dictionary(x: Tensor, count: int, random: torch.Generator) -> Tensor:
    """A dictionary `(d, count)` of features `(n, d)`: codes and atoms in turn.

    Atoms are those of least squares (Engan et al., ICASSP 1999). Those that are
    hardly used become features that are composed worst.
    """
    atoms = x[torch.randperm(len(x), generator=random)[:count]].T
    alpha = torch.zeros(len(x), atoms.shape[1])
    for _ in range(ROUNDS):
        alpha = coded(x, atoms, alpha, 0.0, STEPS)
        gram = alpha.T @ alpha + RIDGE * len(x) / count * torch.eye(atoms.shape[1])
        atoms = torch.linalg.solve(gram, alpha.T @ x).T
        unused = atoms.square().sum(0) < RIDGE
        worst = (x - alpha @ atoms.T).square().sum(1).topk(int(unused.sum())).indices
        atoms[:, unused] = x[worst].T
        alpha[:, unused] = 0
        length = torch.linalg.vector_norm(atoms, dim=0).clamp_min(RIDGE)
        atoms, alpha = atoms / length, alpha * length
    return atoms
