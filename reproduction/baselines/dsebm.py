"""Deep structured energy-based model with MemAE's encoder, for images and for tables.

Zhai et al., Deep Structured Energy Based Models for Anomaly Detection, ICML 2016.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from memae.networks.convolutional import KERNEL, PADDING, Layout
from memae.scoring import Floats
from reproduction.baselines.descent import BATCH, descend

Criterion = Literal["energy", "reconstruction"]


class DeepStructuredEnergy(nn.Module):
    """E(x) = ½‖x − b‖² − Σ g(x), with g the encoder's layers, softplus after each (sections 3.1 and 3.2 there).

    Its gradient makes it an autoencoder with tied weights, x̂ = x − ∂E/∂x, which is trained to take noise away: score
    matching (section 4 there). Without BatchNorm, under which an image's energy would depend on its batch.

    Args:
        layout: of the convolutions; for tables the widths of the layers.
        epochs: passes over the training samples.
        noise: standard deviation of what is added to the samples in training.
        seed: of weights, order and noise.
        rate: first learning rate.
        batch: samples a step.
    """

    def __init__(
        self,
        layout: Layout | Sequence[int],
        *,
        epochs: int,
        noise: float = 0.25,
        seed: int = 0,
        rate: float = 1e-3,
        batch: int = BATCH,
    ) -> None:
        super().__init__()
        self.layout, self.epochs, self.noise, self.seed = layout, epochs, noise, seed
        self.rate, self.batch = rate, batch

    def _build(self, shape: tuple[int, ...]) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            if isinstance(self.layout, Layout):
                pairs = pairwise((shape[0], *self.layout.widths))
                self.layers = nn.ModuleList(
                    nn.Conv2d(i, o, KERNEL, stride, PADDING)  # type: ignore[arg-type]
                    for (i, o), stride in zip(pairs, self.layout.strides, strict=True)
                )
            else:
                self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise((shape[0], *self.layout)))
        self.centre = nn.Parameter(torch.zeros(shape))

    def fit(self, training: Tensor, held_out: Tensor) -> Self:
        """Learns normal samples, `(n, c, h, w)` or `(n, d)`."""
        self._build(tuple(training.shape[1:]))
        with torch.no_grad():
            self.centre.copy_(training.mean(0))
        self.history = descend(
            self,
            self.denoising,
            training,
            held_out,
            epochs=self.epochs,
            rate=self.rate,
            seed=self.seed,
            batch=self.batch,
        )
        return self

    def energy(self, x: Tensor) -> Tensor:
        """E(x) `(b,)`."""
        h = x
        for layer in self.layers:
            h = softplus(layer(h))
        return 0.5 * (x - self.centre).square().flatten(1).sum(1) - h.flatten(1).sum(1)

    def reconstruct(self, x: Tensor, *, learning: bool = False) -> Tensor:
        """X − ∂E/∂x, the shape of x."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            gradient: Tensor = torch.autograd.grad(self.energy(x).sum(), x, create_graph=learning)[0]
        return x - gradient

    def denoising(self, x: Tensor, random: torch.Generator) -> Tensor:
        """Squared error of each sample, restored from a noisy one `(b,)`."""
        noisy = x + self.noise * torch.randn(x.shape, generator=random)
        return (x - self.reconstruct(noisy, learning=self.training)).square().flatten(1).sum(1)

    def scores(self, samples: Tensor, criterion: Criterion) -> Floats:
        """One of the two criteria of section 5 there: the energy, or ‖x − x̂‖² = ‖∂E/∂x‖² `(n,)`."""
        self.eval()
        found = []
        for part in torch.split(samples, 256):
            if criterion == "energy":
                with torch.no_grad():
                    found.append(self.energy(part).double())
            else:
                found.append((part - self.reconstruct(part).detach()).square().flatten(1).sum(1, dtype=torch.float64))
        return torch.cat(found).numpy()

    def anomaly_score(self, images: Tensor) -> Floats:
        """Squared reconstruction error `(n,)`, as the MemAE paper scores it."""
        return self.scores(images, "reconstruction")
