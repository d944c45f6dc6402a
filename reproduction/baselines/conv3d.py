"""AE-Conv3D of Table 2: a 3D convolutional autoencoder that also predicts the frames to come.

Zhao et al., Spatio-Temporal AutoEncoder for Video Anomaly Detection, ACM MM 2017.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from reproduction.baselines.clips import ClipAutoencoder, unit

WIDTHS = (32, 48, 64, 64)
"""Channels of the encoder's layers there; the decoders have (48, 32, 32, 1)."""


def encoder(widths: tuple[int, ...]) -> nn.Sequential:
    """3D convolutions with BatchNorm and LeakyReLU, and pooling after each but the last: to an eighth of each side."""
    layers: list[nn.Module] = []
    for i, o in pairwise((1, *widths)):
        # pooling comes before LeakyReLU, which gives the same for an eighth of the work
        layers += [nn.Conv3d(i, o, 3, padding=1), nn.BatchNorm3d(o), nn.MaxPool3d(2, ceil_mode=True), nn.LeakyReLU()]
    del layers[-2]
    return nn.Sequential(*layers)


def decoder(widths: tuple[int, ...]) -> nn.Sequential:
    """Three transposed convolutions that double all sides, with BatchNorm and LeakyReLU, and one that makes grey."""
    layers: list[nn.Module] = []
    for i, o in pairwise((widths[3], widths[1], widths[0], widths[0])):
        layers += [nn.ConvTranspose3d(i, o, 3, 2, 1, 1), nn.BatchNorm3d(o), nn.LeakyReLU()]
    # transposed only because it trains twice as fast as a convolution on a CPU
    return nn.Sequential(*layers, nn.ConvTranspose3d(widths[0], 1, 3, 1, 1))


def prediction_weights(length: int) -> Tensor:
    """How much each predicted frame counts, less and less: (T − t) / T² for t = 0 .. T − 1, `(length,)`.

    The future is the less certain the farther it is. Beside them a restored frame counts 1/T.
    """
    return torch.arange(length, 0, -1) / length**2


class SpatioTemporal(ClipAutoencoder):
    """Autoencoder of clips of grey frames with a second decoder, for as many frames after them.

    It learns to restore and to predict; the score is the error of the restored clip alone.

    NOTE: half the channels, by `width`, so that half an hour of a core trains it on Ped2 at 128 × 128. The paper was
    not to be had: layers, BatchNorm, LeakyReLU and the weights of the prediction are those of public reproductions,
    which differ on whether a fourth pooling follows (here not) and on t from 0 or 1 (here 0). The last layer is linear,
    and both losses count alike. Rate and batch are ours; Adam as for all methods here.

    Training clips have up to twice `length` frames, which is what the method is about. Shorter ones have fewer frames
    to predict, down to none, where the held-out end of a video is too short.

    Args:
        epochs, width, seed, rate, batch: see `ClipAutoencoder`.
        length: frames that go in; what a training clip has beyond them is to be predicted.
    """

    def __init__(
        self,
        *,
        epochs: int,
        length: int = 16,
        width: float = 0.5,
        seed: int = 0,
        rate: float = 1e-3,
        batch: int = 4,
    ) -> None:
        super().__init__(epochs=epochs, length=length, width=width, seed=seed, rate=rate, batch=batch)

    def layers(self) -> None:
        """Sets the layers, with fresh weights."""
        widths = tuple(max(round(self.width * channels), 1) for channels in WIDTHS)
        self.encoder, self.restoring, self.predicting = encoder(widths), decoder(widths), decoder(widths)

    def extra_repr(self) -> str:
        """What a checkpoint must hold besides the layers."""
        return f"length={self.length}"

    def reconstruct(self, x: Tensor) -> Tensor:
        """Clips `(b, 1, t, h, w)` in [0, 1] → their reconstruction, the same shape."""
        x_hat: Tensor = self.restoring(self.encoder(x))
        return cropped(x_hat, x)

    def loss(self, clips: Tensor, random: torch.Generator) -> Tensor:  # noqa: ARG002 (no noise)
        """Squared error of each restored clip, mean over its pixels, plus that of its future, weighed `(b,)`."""
        with torch.set_grad_enabled(self.training):
            x = unit(clips)
            past, future = x[:, :, : self.length], x[:, :, self.length :]
            code = self.encoder(past)
            error = (past - cropped(self.restoring(code), past)).square().flatten(1).mean(1)
            if not future.shape[2]:
                return error
            missed = (future - cropped(self.predicting(code), future)).square().mean((1, 3, 4))
            return error + missed @ prediction_weights(self.length)[: future.shape[2]]


def cropped(x_hat: Tensor, x: Tensor) -> Tensor:
    """Decoded clips, less what pooling had rounded up."""
    time, height, width = x.shape[2:]
    return x_hat[:, :, :time, :height, :width]
