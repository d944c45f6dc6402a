"""Frame-Pred of Table 2: a U-Net predicts the next frame from four; what it cannot predict is anomalous.

Liu et al., Future Frame Prediction for Anomaly Detection: a New Baseline, CVPR 2018.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import avg_pool2d, conv2d, leaky_relu, max_pool2d, pad

from memae.data.clips import Clips
from memae.data.pixels import resize
from memae.data.samples import Samples, Selection
from memae.data.videos import videos_of_array
from memae.frames import smoothed
from reproduction.baselines.clips import unit
from reproduction.baselines.descent import descend
from reproduction.baselines.films import Film, FilmScores

GIVEN = 4
"""Frames from which the next one is predicted."""
INTENSITY, GRADIENT, FLOW, ADVERSARIAL = 1.0, 1.0, 2.0, 0.05
"""Weights of the losses, those of the paper."""
WINDOW = 9
"""Side of the window in which the flow is constant, in pixels."""
LEAST_STRUCTURE = 1e-4
"""Added to the squared gradients of a window, so that plain ground has no flow."""
SHOWN = 8
"""Side of a cell of the error maps, in pixels of the scaled frame."""
SMOOTHED = 15
"""Frames over which the other score is smoothed; the paper does not smooth."""
SCORED = 16
"""Frames that are predicted at once."""


class UNet(nn.Module):
    """Frames `(b, 4, h, w)` → the next one `(b, 1, h, w)`; sides must be multiples of 8.

    Args:
        widths: channels of the four levels.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        before = (GIVEN, *widths[:-1])
        self.down = nn.ModuleList(_convolutions(a, b) for a, b in zip(before, widths, strict=True))
        pairs = list(pairwise(widths))[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(low, high, 2, 2) for high, low in pairs)
        self.merged = nn.ModuleList(_convolutions(2 * high, high) for high, _ in pairs)
        self.last = nn.Conv2d(widths[0], 1, 3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        """The next frame of each clip."""
        levels: list[Tensor] = []
        for level in self.down:
            levels.append(level(max_pool2d(levels[-1], 2) if levels else frames))
        x = levels.pop()
        for up, merged in zip(self.up, self.merged, strict=True):
            x = merged(torch.cat([levels.pop(), up(x)], 1))
        found: Tensor = self.last(x)
        return found


def _convolutions(before: int, after: int) -> nn.Sequential:
    layers = [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


class Discriminator(nn.Module):
    """Frames `(b, 1, h, w)` → whether each of their patches is real `(b, 1, h / 8, w / 8)`, 1 or 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = (1, width, 2 * width, 4 * width)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(sizes))
        self.last = nn.Conv2d(sizes[-1], 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """How real each patch looks."""
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
        found: Tensor = self.last(x)
        return found


def gradient_difference(predicted: Tensor, real: Tensor) -> Tensor:
    """L1 distance of the absolute differences of neighbouring pixels `(b,)`, mean over pixels and both directions."""
    each = [(predicted.diff(dim=axis).abs() - real.diff(dim=axis).abs()).abs().flatten(1).mean(1) for axis in (2, 3)]
    return (each[0] + each[1]) / 2


def local_flow(before: Tensor, after: Tensor) -> Tensor:
    """Flow from one frame to the next, both `(b, 1, h, w)` in [0, 1], in pixels `(b, 2, h, w)`: right, down.

    One step of Lucas and Kanade, which can be differentiated with respect to the next frame.
    """
    kernel = before.new_tensor([[-0.5, 0.0, 0.5]])
    across = conv2d(pad(before, (1, 1, 0, 0), mode="replicate"), kernel[None, None])
    along = conv2d(pad(before, (0, 0, 1, 1), mode="replicate"), kernel.T[None, None])
    change = after - before
    products = torch.cat([across**2, along**2, across * along, across * change, along * change], 1)
    xx, yy, xy, xt, yt = torch.split(avg_pool2d(products, WINDOW, 1, WINDOW // 2), 1, 1)
    xx, yy = xx + LEAST_STRUCTURE, yy + LEAST_STRUCTURE
    size = xx * yy - xy**2
    return torch.cat([(xy * yt - yy * xt) / size, (xy * xt - xx * yt) / size], 1)


class FramePrediction(nn.Module):
    """Predicts each frame from the four before it; a frame's score is its negative PSNR.

    The losses are those of the paper: intensity, gradients, flow from the last frame to the prediction, and a
    discriminator of patches by least squares.

    NOTE: grey frames are scaled down (256 × 256 there) and the network is narrow, for two cores. The flow of the loss
    is one step of Lucas and Kanade; there it is FlowNet's. Generator and discriminator have one rate, which falls along
    half a cosine; there 2e-4 and 2e-5 for grey frames, constant. The epoch is that with the lowest squared error on
    held-out normal films. The first four frames have the score of the fifth.

    Args:
        size: height and width that frames are scaled to, multiples of 8.
        widths: channels of the four levels; (64, 128, 256, 512) there.
        epochs: passes over the training clips.
        step: frames from one training clip to the next.
        rate: of Adam.
        batch: clips a step.
        seed: of weights and order.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int] = (96, 144),
        widths: Sequence[int] = (16, 32, 64, 64),
        epochs: int = 5,
        step: int = 2,
        rate: float = 1e-3,
        batch: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.widths = size, tuple(widths)
        self.epochs, self.step, self.rate, self.batch, self.seed = epochs, step, rate, batch, seed

    def fit(self, training: Sequence[Film], held_out: Sequence[Film], checkpoint: Path | None = None) -> Self:
        """Learns normal films; see `descend` for the checkpoint."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.generator, self.discriminator = UNet(self.widths), Discriminator(self.widths[0])
        learned, others = (self._clips(films) for films in (training, held_out))
        self.history = descend(
            self, self.loss, learned, others,
            epochs=self.epochs, rate=self.rate, seed=self.seed, batch=self.batch, checkpoint=checkpoint,
        )  # fmt: skip
        return self

    def loss(self, clips: Tensor, random: torch.Generator) -> Tensor:  # noqa: ARG002 (no noise)
        """What falls in training, of each clip of five frames `(b,)`; otherwise its squared error alone."""
        frames = unit(clips)[:, 0]
        before, real = frames[:, GIVEN - 1 : GIVEN], frames[:, GIVEN:]
        predicted = self.generator(frames[:, :GIVEN])
        intensity: Tensor = (predicted - real).square().flatten(1).mean(1)
        if not self.training:
            return intensity
        moved = (local_flow(before, predicted) - local_flow(before, real)).abs().flatten(1).mean(1)
        own = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        fooled = (functional_call(self.discriminator, own, (predicted,)) - 1).square().flatten(1).mean(1) / 2
        true, false = self.discriminator(real), self.discriminator(predicted.detach())
        told = ((true - 1).square() + false.square()).flatten(1).mean(1) / 2
        edges = gradient_difference(predicted, real)
        found: Tensor = INTENSITY * intensity + GRADIENT * edges + FLOW * moved + ADVERSARIAL * fooled + told
        return found

    @torch.no_grad()
    def anomaly_score(self, film: Film) -> FilmScores:
        """Negative PSNR of the prediction of each frame in dB; and smoothed over 15 frames."""
        self.eval()
        scaled = self._scaled(film)
        scaled = torch.cat([scaled, scaled[-1:].expand(max(GIVEN + 1 - len(scaled), 0), -1, -1)])
        windows = scaled.unfold(0, GIVEN + 1, 1).permute(0, 3, 1, 2)
        errors = torch.cat([self._errors(unit(part)) for part in torch.split(windows, SCORED)])
        first = min(GIVEN, len(film) - 1)
        errors = torch.cat([errors[:1].expand(first, -1, -1), errors])[: len(film)]
        score = (10 * errors.double().mean((1, 2)).clamp_min(1e-12).log10()).numpy()
        maps = avg_pool2d(errors[:, None], min(SHOWN, *self.size))[:, 0].numpy()
        calm = np.array([value for _, value in smoothed(zip(range(len(score)), score.tolist(), strict=True), SMOOTHED)])
        return FilmScores(score, maps, {f"smoothed over {SMOOTHED} frames": calm})

    def _errors(self, frames: Tensor) -> Tensor:
        """Squared error of each pixel of the fifth frames `(b, h, w)`."""
        found: Tensor = (self.generator(frames[:, :GIVEN]) - frames[:, GIVEN:]).square()[:, 0]
        return found

    def _scaled(self, film: Film) -> Tensor:
        return resize(torch.from_numpy(film), self.size)

    def _clips(self, films: Sequence[Film]) -> Samples:
        videos = videos_of_array([self._scaled(film).numpy() for film in films])
        return Selection(Clips(videos, GIVEN + 1, self.step))
