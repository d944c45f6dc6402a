"""StackRNN of Table 2: the iterations of coherent sparse coding as layers of a recurrent network, learned.

Luo et al., A Revisit of Sparse Coding Based Anomaly Detection in Stacked RNN Framework, ICCV 2017.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from reproduction.baselines.descent import descend
from reproduction.baselines.described import FrameMaps, higher, pyramid
from reproduction.baselines.films import Film, FilmScores, each_frame, highest
from reproduction.baselines.tsc import COHERENCE, EVERY, SPARSITY, dictionary, soft

LAYERS = 3
LENGTH = 6
"""Described frames of a training sequence."""
SEQUENCES, HELD_OUT = 12_000, 2_000
"""Of training and of held-out films, at most."""
SAMPLED = 12_000
"""Features that the first dictionary is learned from, at most."""


class StackedRNN(nn.Module):
    """Error of the composition of a position's features by a stack of three layers, highest of a frame.

    Each layer is a step of soft thresholding from the codes of the layer below; the first starts from the last layer's
    codes of the frame before, and all are drawn to these. Dictionary, step, and the weights of features in the
    similarity of two frames are shared by all layers and learned by gradient, from TSC's dictionary on.

    NOTE: features, λ and λ₂ as in `tsc`, so not those of the paper, which also learns a projection of them.

    Args:
        atoms: of the dictionary.
        epochs: passes over the training sequences.
        rate: of Adam.
        batch: sequences a step.
        seed: of samples, weights and order.
    """

    def __init__(
        self, *, atoms: int = 256, epochs: int = 6, rate: float = 1e-3, batch: int = 64, seed: int = 0
    ) -> None:
        super().__init__()
        self.count, self.epochs, self.rate, self.batch, self.seed = atoms, epochs, rate, batch, seed

    def fit(self, training: Sequence[Film], held_out: Sequence[Film], checkpoint: Path | None = None) -> Self:
        """Learns normal films; see `descend` for the checkpoint."""
        self.maps = FrameMaps(training, EVERY)
        random = torch.Generator().manual_seed(self.seed)
        learned, others = self._sequences(training, SEQUENCES, random), self._sequences(held_out, HELD_OUT, random)
        with torch.no_grad():
            first = dictionary(learned[:SAMPLED, 0], self.count, random)
            largest = torch.linalg.matrix_norm(first, 2) ** 2
        self.atoms = nn.Parameter(first.contiguous())
        self.log_rate = nn.Parameter(-torch.log(2 * (largest + COHERENCE)))
        self.weights = nn.Parameter(torch.ones(first.shape[0]))
        self.history = descend(
            self, self.loss, learned, others,
            epochs=self.epochs, rate=self.rate, seed=self.seed, batch=self.batch, checkpoint=checkpoint,
        )  # fmt: skip
        return self

    def step(self, x: Tensor, before: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """The codes of one frame `(n, k)`, and how alike it and the one before are `(n, 1)`.

        Args:
            x: features `(n, d)`.
            before: those of the frame before.
            alpha: its codes `(n, k)`.
        """
        atoms, rate = normalize(self.atoms, dim=0), self.log_rate.exp()
        same = torch.exp(-(self.weights * (x - before)).square().sum(1, keepdim=True))
        last = alpha
        for _ in range(LAYERS):
            slope = 2 * (alpha @ atoms.T - x) @ atoms + 2 * COHERENCE * same * (alpha - last)
            alpha = soft(alpha - rate * slope, rate * SPARSITY)
        return alpha, same

    def error(self, x: Tensor, alpha: Tensor) -> Tensor:
        """Squared error of the composition of features `(n,)`."""
        return (x - alpha @ normalize(self.atoms, dim=0).T).square().sum(1)

    def loss(self, sequences: Tensor, random: torch.Generator) -> Tensor:  # noqa: ARG002 (no noise)
        """What sparse coding minimises, of each sequence `(b, frames, d)`, mean over its frames `(b,)`."""
        alpha = sequences.new_zeros(len(sequences), self.atoms.shape[1])
        before, total = sequences[:, 0], torch.zeros(len(sequences))
        for x in sequences.unbind(1):
            last = alpha
            alpha, same = self.step(x, before, alpha)
            change = COHERENCE * same[:, 0] * (alpha - last).square().sum(1)
            total = total + self.error(x, alpha) + SPARSITY * alpha.abs().sum(1) + change
            before = x
        return total / sequences.shape[1]

    @torch.no_grad()
    def anomaly_score(self, film: Film) -> FilmScores:
        """Squared error of each position of a frame."""
        x, fine, coarse = pyramid(self.maps(film))
        alpha, _ = self.step(x[0], x[0], torch.zeros(x.shape[1], self.atoms.shape[1]))
        errors, before = [], x[0]
        for now in x:
            alpha, _ = self.step(now, before, alpha)
            errors.append(self.error(now, alpha))
            before = now
        return highest(each_frame(higher(torch.stack(errors), fine, coarse).numpy(), len(film), EVERY))

    @torch.no_grad()
    def _sequences(self, films: Sequence[Film], count: int, random: torch.Generator) -> Tensor:
        """At most `count` sequences of consecutive features of one position `(n, frames, d)`."""
        found = []
        for film in films:
            x = pyramid(self.maps(film))[0]
            length = min(LENGTH, len(x))
            apart = x[: len(x) // length * length].reshape(-1, length, *x.shape[1:]).transpose(1, 2).flatten(0, 1)
            found.append(apart[torch.randperm(len(apart), generator=random)[: -(-count // len(films))]])
        shortest = min(each.shape[1] for each in found)
        return torch.cat([each[:, :shortest] for each in found])
