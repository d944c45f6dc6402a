"""Deep clustering network.

Yang et al., Towards K-means-friendly Spaces: Simultaneous Deep Learning and Clustering, ICML 2017.
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from memae.memory import kmeans_items
from memae.networks import tabular
from memae.scoring import Floats
from reproduction.baselines.descent import descend

FIRST_CODES = 8192
"""Number of codes from which the first centres are computed."""


class DeepClusteringNetwork(nn.Module):
    """An autoencoder and k-means of its codes, trained in turn: codes move to centres, and centres to codes.

    Args:
        widths: of the encoder.
        epochs: passes over the training rows, after as many without centres.
        clusters: number of centres.
        pull: λ there, how much the distance to the centres counts beside the error.
        seed: of weights, order and centres.
        rate: first learning rate.
        batch: rows a step.
    """

    centres: Tensor
    counts: Tensor

    def __init__(
        self,
        widths: Sequence[int] = tabular.KDDCUP,
        *,
        epochs: int,
        clusters: int = 4,
        pull: float = 1.0,
        seed: int = 0,
        rate: float = 1e-4,
        batch: int = 1024,
    ) -> None:
        super().__init__()
        self.widths, self.epochs, self.clusters, self.pull = tuple(widths), epochs, clusters, pull
        self.seed, self.rate, self.batch = seed, rate, batch

    def build(self, columns: int) -> None:
        """Initialises the weights by the seed, without centres."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.encoder = tabular.encoder(columns, self.widths)
            self.decoder = tabular.decoder(columns, self.widths)
        self.register_buffer("centres", torch.zeros(self.clusters, self.widths[-1]))
        self.register_buffer("counts", torch.zeros(self.clusters))

    def fit(self, training: Tensor, held_out: Tensor) -> Self:
        """Learns normal rows `(n, d)`: the autoencoder alone, then k-means of its codes, then both (section 3.3)."""
        self.build(training.shape[1])
        same = {"epochs": self.epochs, "rate": self.rate, "seed": self.seed, "batch": self.batch}
        self.history = descend(self, self.loss, training, held_out, **same)  # type: ignore[arg-type]
        with torch.no_grad():
            codes = self.encoder(training[:FIRST_CODES])
            self.centres.copy_(kmeans_items(codes, self.clusters, torch.Generator().manual_seed(self.seed)))
            self.counts.copy_(torch.bincount(self._nearest(codes), minlength=self.clusters).clamp_min(1))
        self.history = descend(self, self.loss, training, held_out, **same)  # type: ignore[arg-type]
        return self

    def loss(self, x: Tensor, random: torch.Generator) -> Tensor:  # noqa: ARG002 (no noise)
        """Squared error, and with centres λ / 2 times the squared distance to the nearest `(b,)`; Eq. 5 there."""
        code = self.encoder(x)
        error: Tensor = (x - self.decoder(code)).square().sum(1)
        if not self.counts.any():
            return error
        nearest = self._nearest(code)
        loss: Tensor = error + self.pull / 2 * (code - self.centres[nearest]).square().sum(1)
        if self.training:
            self.move(code.detach(), nearest)
        return loss

    def _nearest(self, codes: Tensor) -> Tensor:
        nearest: Tensor = torch.cdist(codes.detach(), self.centres).argmin(1)
        return nearest

    def move(self, codes: Tensor, nearest: Tensor) -> None:
        """Moves each centre towards its codes `(b, c)` by 1 / count per code; Eq. 8 there, for a batch at once.

        So taken, one by one, the codes of a centre make it the mean of them and of those that came before.
        """
        new = torch.bincount(nearest, minlength=self.clusters).to(codes.dtype)
        sums = torch.zeros_like(self.centres).index_add_(0, nearest, codes)
        centres = (self.centres * self.counts[:, None] + sums) / (self.counts + new).clamp_min(1)[:, None]
        self.centres = centres  # another tensor, since the gradient needs the old
        self.counts = self.counts + new

    @torch.no_grad()
    def anomaly_score(self, rows: Tensor) -> Floats:
        """Distance of each row's code to the nearest centre `(n,)`, as Zong et al. score it."""
        self.eval()
        found: Floats = torch.cdist(self.encoder(rows), self.centres).amin(1).double().numpy()
        return found
