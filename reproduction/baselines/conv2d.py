"""AE-Conv2D of Table 2: a convolutional autoencoder that takes the frames of a clip as channels of one image.

Hasan et al., Learning Temporal Regularity in Video Sequences, CVPR 2016.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, max_unpool2d

from reproduction.baselines.clips import ClipAutoencoder, unit

WIDTHS = (512, 256, 128)
"""Channels of the encoder's layers there; the decoder mirrors them."""


class StackedFrames(ClipAutoencoder):
    """Autoencoder of clips of grey frames, stacked as channels.

    Max pooling remembers where each maximum was, and unpooling puts it back there. Tanh follows all layers but the
    last. The regularity of a frame there follows from the sum of its errors, see `ClipErrors.maps`.

    NOTE: padded by half a kernel, so that any frame size comes back; there 227 × 227 goes in and the first layer is not
    padded. Adam without weight decay, as for all methods here; there AdaGrad with it. The last layer is linear. Which
    clips are learned (there also some with frames left out) is up to the caller. The error is squared, as the MemAE
    paper scores.

    Args:
        epochs, length, width, seed, rate, batch: see `ClipAutoencoder`; less width where a training set is too large
            for the time at hand.
    """

    def __init__(
        self,
        *,
        epochs: int,
        length: int = 10,
        width: float = 1.0,
        seed: int = 0,
        rate: float = 1e-3,
        batch: int = 8,
    ) -> None:
        super().__init__(epochs=epochs, length=length, width=width, seed=seed, rate=rate, batch=batch)

    def layers(self) -> None:
        """Sets the layers, with fresh weights."""
        length = self.length
        first, second, third = (max(round(self.width * channels), 1) for channels in WIDTHS)
        self.conv1 = nn.Conv2d(length, first, 11, 4, 5)
        self.conv2 = nn.Conv2d(first, second, 5, padding=2)
        self.conv3 = nn.Conv2d(second, third, 3, padding=1)
        self.deconv3 = nn.ConvTranspose2d(third, second, 3, padding=1)
        self.deconv2 = nn.ConvTranspose2d(second, first, 5, padding=2)
        self.deconv1 = nn.ConvTranspose2d(first, length, 11, 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Frames `(b, length, h, w)` → their reconstruction, the same shape."""
        high = self.conv1(x).tanh()
        pooled, high_places = max_pool2d(high, 2, return_indices=True)
        low = self.conv2(pooled).tanh()
        pooled, low_places = max_pool2d(low, 2, return_indices=True)
        code = self.conv3(pooled).tanh()
        h = max_unpool2d(self.deconv3(code).tanh(), low_places, [2, 2], output_size=low.shape[2:])
        h = max_unpool2d(self.deconv2(h).tanh(), high_places, [2, 2], output_size=high.shape[2:])
        x_hat: Tensor = self.deconv1(h, output_size=x.shape[2:])
        return x_hat

    def reconstruct(self, x: Tensor) -> Tensor:
        """Clips `(b, 1, length, h, w)` in [0, 1] → their reconstruction, the same shape."""
        x_hat: Tensor = self(x[:, 0])[:, None]
        return x_hat

    def loss(self, clips: Tensor, random: torch.Generator) -> Tensor:  # noqa: ARG002 (no noise)
        """Squared error of each clip, mean over its pixels `(b,)`."""
        with torch.set_grad_enabled(self.training):
            x = unit(clips)
            return (x - self.reconstruct(x)).square().flatten(1).mean(1)
