"""Features of the frames of a film: a frozen pretrained network describes what each position looks like."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from memae.features import LEAST_SPREAD, Features, PretrainedSpec
from memae.networks.efficientnet_lite import VARIANTS, EfficientNetLite

LOOKS = (3, 4)
"""Stages of EfficientNet-Lite, both at 1/16 of the size: deeper ones see more around a person than the person."""


@dataclass(frozen=True)
class FrameSpec(PretrainedSpec):
    """Frozen features of the frames of a film, as data.

    Args:
        photo: shape `(c, 1, h, w)` of a raw sample: a clip of one frame.
        side: height and width that frames are scaled to for the network, since people far away are small.
        variant: of EfficientNet-Lite.
        centred: whether features are differences from their mean over the frame; not in older files.
    """

    photo: tuple[int, ...]
    side: tuple[int, int]
    variant: int = 0
    centred: bool = False

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuses features that there are none of, or whose map is not of this shape.

        Raises:
            ValueError: they do not fit.
        """
        if not 0 <= self.variant < len(VARIANTS) or not 0 < min(self.side) <= max(self.side) < 10**5:
            raise ValueError(f"there are no features of EfficientNet-Lite{self.variant} at {self.side}")
        fits = len(self.photo) == 4 and self.photo[0] in (1, 3) and self.photo[1] == 1 and min(self.photo) > 0
        if not fits or self.shape != shape:
            raise ValueError(f"features of frames {self.photo} are not {shape}")

    def build(self, network: EfficientNetLite | None = None) -> "FrameFeatures":
        """The features of a network, not normalised; None for one without its weights."""
        network = EfficientNetLite(self.variant, LOOKS) if network is None else network
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        zeros, ones = torch.zeros(self.patches), torch.ones(self.patches)
        return FrameFeatures(network, zeros, ones, torch.zeros(()), torch.ones(()), self.side, centred=self.centred)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape `(c, h, w)` of the feature map."""
        stride = VARIANTS[self.variant].stride(LOOKS[0])
        return self.patches, *(-(-side // stride) for side in self.side)

    @property
    def patches(self) -> int:
        """Number of features of a position."""
        return sum(VARIANTS[self.variant].stages[stage].channels for stage in LOOKS)


class FrameFeatures(Features):
    """Clips of one frame `(b, c, 1, h, w)` → maps of features `(b, p, rows, columns)`, normalised; see `Features`.

    A frame is first brought to the mean and the deviation of the training frames' pixels, so that neither the time of
    day nor the exposure of the camera makes everything unusual. Features are differences from their mean over the
    frame, to which noise of the sensor adds. They are not averaged over neighbouring positions: people on the frames of
    a camera are a few positions large.

    Args:
        network: frozen.
        mean: of each feature over normal frames `(p,)`.
        deviation: of each of them `(p,)`.
        level: mean of the pixels of normal frames, normalised to 0 … 1, scalar.
        contrast: their standard deviation within a frame, scalar.
        side: height and width that frames are scaled to.
        centred: whether features are differences from their mean over the frame.
    """

    level: Tensor
    contrast: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Tensor,
        deviation: Tensor,
        level: Tensor,
        contrast: Tensor,
        side: tuple[int, int],
        *,
        centred: bool,
    ) -> None:
        super().__init__(network, mean, deviation)
        self.register_buffer("level", level)
        self.register_buffer("contrast", contrast)
        self.side = side
        self.centred = centred

    def joined(self, photos: Tensor) -> Tensor:
        """The features of all stages, not normalised `(b, p, rows, columns)`."""
        frames = interpolate(self.lit(photos[:, :, 0]), self.side, mode="bilinear")
        joined = torch.cat(list(self.maps(frames)), 1)
        return joined - joined.mean((2, 3), keepdim=True) if self.centred else joined

    def lit(self, frames: Tensor) -> Tensor:
        """Frames `(b, c, h, w)`, normalised to 0 … 1, in the light of the training frames."""
        mean = frames.mean((1, 2, 3), keepdim=True)
        deviation = (frames - mean).square().mean((1, 2, 3), keepdim=True).sqrt()
        return ((frames - mean) * (self.contrast / deviation.clamp_min(LEAST_SPREAD)) + self.level).clamp(0, 1)

    def seen(self, photo: tuple[int, ...]) -> tuple[int, ...]:  # noqa: ARG002 (frames are scaled)
        """Height and width of what the network sees."""
        return self.side

    def like(self, mean: Tensor, deviation: Tensor) -> Self:
        """The same features by torch, normalised by this mean and deviation `(p,)`."""
        return self._with(mean, deviation, self.level, self.contrast)

    def in_light(self, level: float, contrast: float) -> Self:
        """The same features, for frames of this mean and deviation of pixels, normalised to 0 … 1."""
        of, within = torch.tensor(level).float(), torch.tensor(contrast).float()
        return self._with(self.mean, self.deviation, of, within)

    def _with(self, mean: Tensor, deviation: Tensor, level: Tensor, contrast: Tensor) -> Self:
        other = type(self)(self.network, mean, deviation, level, contrast, self.side, centred=self.centred)
        return other.train(self.training)
