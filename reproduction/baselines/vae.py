"""Variational autoencoder with MemAE's network.

Kingma and Welling, Auto-Encoding Variational Bayes, ICLR 2014. The spread of the pixels is the optimal one of each
batch (Rybkin et al., Simple and Effective VAE Training with Calibrated Decoders, ICML 2021), so that nothing weighs the
two terms by hand.
"""

import math
from typing import Self

import torch
from torch import Tensor, nn

from memae.networks.convolutional import Layout, decoder, encoder, sizes
from memae.scoring import Floats
from reproduction.baselines.descent import descend


class VariationalAutoencoder(nn.Module):
    """Encoder and decoder of MemAE, with as many latent variables as the code has values.

    Args:
        layout: of the encoder's layers.
        epochs: passes over the training images.
        seed: of weights, order and noise.
        rate: first learning rate.
    """

    def __init__(self, layout: Layout, *, epochs: int, seed: int = 0, rate: float = 2e-3) -> None:
        super().__init__()
        self.layout, self.epochs, self.seed, self.rate = layout, epochs, seed, rate

    def _build(self, channels: int, space: tuple[int, ...]) -> None:
        self.code = (self.layout.widths[-1], *sizes(space, self.layout.strides)[-1])
        width = math.prod(self.code)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.encoder = encoder(channels, space, self.layout)
            self.posterior = nn.Linear(width, 2 * width)
            self.prior = nn.Linear(width, width)
            self.decoder = decoder(channels, space, self.layout)

    def fit(self, training: Tensor, held_out: Tensor) -> Self:
        """Learns normal images `(n, c, h, w)`."""
        self._build(training.shape[1], tuple(training.shape[2:]))
        self.history = descend(self, self.bound, training, held_out, epochs=self.epochs, rate=self.rate, seed=self.seed)
        return self

    def _posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.posterior(self.encoder(x).flatten(1)).chunk(2, 1)
        return mean, log_variance.clamp(-10, 10)

    def _decode(self, latent: Tensor) -> Tensor:
        x_hat: Tensor = self.decoder(self.prior(latent).reshape(-1, *self.code))
        return x_hat

    def bound(self, x: Tensor, random: torch.Generator) -> Tensor:
        """Negative evidence lower bound of each image, in nats `(b,)`."""
        mean, log_variance = self._posterior(x)
        noise = torch.randn(mean.shape, generator=random)
        x_hat = self._decode(mean + noise * (log_variance / 2).exp())
        error = (x - x_hat).square().flatten(1).mean(1)
        variance = error.mean().detach().clamp_min(1e-8)
        reconstruction = x[0].numel() / 2 * (error / variance + (2 * math.pi * variance).log())
        return reconstruction + divergence(mean, log_variance)

    @torch.no_grad()
    def anomaly_score(self, images: Tensor) -> Floats:
        """Squared error of the reconstruction from the posterior's mean, without noise `(n,)`."""
        self.eval()
        parts = [
            (part - self._decode(self._posterior(part)[0])).square().flatten(1).sum(1, dtype=torch.float64)
            for part in torch.split(images, 256)
        ]
        found: Floats = torch.cat(parts).numpy()
        return found


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of independent normal variables `(b, d)` from standard ones, in nats `(b,)`."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
