"""Gated PixelCNN: the likelihood of an image, pixel by pixel, each given those above and to the left.

van den Oord et al., Conditional Image Generation with PixelCNN Decoders, NeurIPS 2016. A pixel's distribution is a
mixture of discretised logistics (Salimans et al., PixelCNN++, ICLR 2017) instead of 256 classes, which costs a tenth.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, pad, softplus

from memae.scoring import Floats
from reproduction.baselines.descent import descend

MIXTURE = 5


class Gated(nn.Module):
    """One layer of the two stacks: what lies above (vertical), and what lies to the left in the row (horizontal).

    Args:
        inputs: channels that come in.
        width: channels that go out.
        size: of the kernel.
        first: the horizontal stack must not see the pixel itself, and there is no residual yet.
    """

    def __init__(self, inputs: int, width: int, size: int, *, first: bool) -> None:
        super().__init__()
        self.reach, self.first = size // 2, first
        self.vertical = nn.Conv2d(inputs, 2 * width, (self.reach + 1, size))
        self.horizontal = nn.Conv2d(inputs, 2 * width, (1, self.reach + (not first)))
        self.down = nn.Conv2d(2 * width, 2 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, above: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """Both stacks `(b, inputs, h, w)` → both `(b, width, h, w)`."""
        reach, (height, width) = self.reach, above.shape[2:]
        seen = self.vertical(pad(above, (reach, reach, reach + 1, 0)))[:, :, :height]  # rows above alone
        row = self.horizontal(pad(left, (reach, 0, 0, 0)))[:, :, :, :width]
        found = self.out(_gate(row + self.down(seen)))
        return _gate(seen), found if self.first else left + found


def _gate(both: Tensor) -> Tensor:
    signal, gate = both.chunk(2, 1)
    return signal.tanh() * gate.sigmoid()


class PixelCNN(nn.Module):
    """Gated PixelCNN for 8-bit images.

    Args:
        epochs: passes over the training images.
        width: channels of the stacks.
        layers: of the stacks; the first has a kernel of 7, the others of 3.
        seed: of weights and order.
        rate: first learning rate.
    """

    def __init__(self, *, epochs: int, width: int = 24, layers: int = 5, seed: int = 0, rate: float = 4e-3) -> None:
        super().__init__()
        self.epochs, self.width, self.depth, self.seed, self.rate = epochs, width, layers, seed, rate

    def _build(self, channels: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.layers = nn.ModuleList(
                Gated(self.width if layer else channels, self.width, 3 if layer else 7, first=not layer)
                for layer in range(self.depth)
            )
            couplings = channels * (channels - 1) // 2
            self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(self.width, MIXTURE * (1 + 2 * channels + couplings), 1))

    def fit(self, training: Tensor, held_out: Tensor) -> Self:
        """Learns normal images `(n, c, h, w)`."""
        self._build(training.shape[1])
        self.history = descend(
            self, lambda x, _: -self.log_likelihood(x), training, held_out,
            epochs=self.epochs, rate=self.rate, seed=self.seed,
        )  # fmt: skip
        return self

    def parameters_of(self, x: Tensor) -> Tensor:
        """Parameters of each pixel's distribution given the pixels before it: `(b, parameters, h, w)`; x in [−1, 1]."""
        above = left = x
        for layer in self.layers:
            above, left = layer(above, left)
        found: Tensor = self.head(left)
        return found

    def log_likelihood(self, images: Tensor) -> Tensor:
        """Negative log-likelihood of each image, in nats `(b,)`."""
        x = images * 2 - 1
        return mixture_log_likelihood(x, self.parameters_of(x)).flatten(1).sum(1)

    @torch.no_grad()
    def anomaly_score(self, images: Tensor) -> Floats:
        """Negative log-likelihood in nats `(n,)`."""
        self.eval()
        found: Floats = torch.cat([-self.log_likelihood(part).double() for part in torch.split(images, 128)]).numpy()
        return found


def mixture_log_likelihood(x: Tensor, parameters: Tensor) -> Tensor:
    """Log-likelihood of each pixel under a mixture of discretised logistics, in nats.

    The mean of a colour depends, within a component, on the colours before it.

    Args:
        x: 8-bit pixels `(b, c, h, w)`, scaled to [−1, 1].
        parameters: `(b, MIXTURE · (1 + 2c + c(c−1)/2), h, w)`: weights, means, scales, couplings.

    Returns:
        `(b, h, w)`.
    """
    batch, channels, height, width = x.shape
    grouped = parameters.reshape(batch, MIXTURE, -1, height, width)
    weight, mean, scale, coupling = torch.split(grouped, [1, channels, channels, channels * (channels - 1) // 2], 2)
    pixels = x[:, None]
    means = []
    for colour in range(channels):
        start = colour * (colour - 1) // 2
        before = coupling[:, :, start : start + colour].tanh() * pixels[:, :, :colour]
        means.append(mean[:, :, colour] + before.sum(2))
    each = _discretised_logistic(pixels, torch.stack(means, 2), (scale - 2).clamp_min(-7)).sum(2)
    found: Tensor = (each + weight[:, :, 0].log_softmax(1)).logsumexp(1)
    return found


def _discretised_logistic(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log of the mass between the two edges of an 8-bit level; the outermost levels reach to infinity."""
    inverse = (-log_scale).exp()
    upper, lower = (x - mean + 1 / 255) * inverse, (x - mean - 1 / 255) * inverse
    # log(σ(u) − σ(l)) = log σ(u) + log σ(−l) + log(1 − e^(l−u)), which is exact where the difference vanishes
    inside = logsigmoid(upper) + logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
    return torch.where(x < -0.999, -softplus(-upper), torch.where(x > 0.999, -softplus(lower), inside))
