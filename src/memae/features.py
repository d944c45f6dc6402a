"""Features of photos: a frozen pretrained network describes each patch, and the memory remembers the descriptions."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad

from memae.networks.efficientnet_lite import VARIANTS, EfficientNetLite
from memae.own_network import Graph, OwnNetwork, map_shape, order

GREY_LEVELS = 255.0
"""Raw value of white, where photos are normalised to 0 … 1."""
LEAST_SPREAD = 1e-6
"""Standard deviation that a feature has at least, for features that are constant."""
SOFTENED = 0.5
"""Power of its length by which a feature vector is divided: 0 would be the Euclidean distance, in which strong contrast
alone is far, 1 the cosine similarity of the paper, in which faint noise counts as much as a strong edge."""

STAGES = (3, 5, 6)
"""Stages of EfficientNet-Lite: at 1/16 and 1/32 of the size for patches, the last, with most content, for the whole."""

LARGEST = 2**29
"""Maximum size of the ONNX file of a user's network in a model file, in bytes: 512 MiB."""
OUTPUTS = 64
"""Maximum number of outputs of such a network."""

Maps = Callable[[Tensor], Sequence[Tensor]]
"""Photos `(b, 3, h, w)` in grey levels → feature maps `(b, c, h, w)`, the finest first, the last that of the whole."""


class PretrainedSpec:
    """What descriptions of features of EfficientNet-Lite have in common."""

    variant: int

    def verify(self, tensors: Mapping[str, Tensor]) -> None:
        """Nothing: the weights may be any numbers."""

    @property
    def name(self) -> str:
        """What users call the network."""
        return f"efficientnet-lite{self.variant}"

    @property
    def origin(self) -> str:
        """The network and where its weights come from."""
        return f"{self.name}, pretrained on ImageNet"


@dataclass(frozen=True)
class FeatureSpec(PretrainedSpec):
    """Frozen features of EfficientNet-Lite, as data.

    Args:
        photo: shape `(c, h, w)` of the photos or tiles that are described.
        variant: of EfficientNet-Lite.
        stages: of the network whose maps are taken, the finest first; the last one describes the photo as a whole.
    """

    photo: tuple[int, ...]
    variant: int = 0
    stages: tuple[int, ...] = STAGES

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuses features that there are none of, or whose map is not of this shape.

        Raises:
            ValueError: they do not fit.
        """
        if not 0 <= self.variant < len(VARIANTS) or self.stages != STAGES:
            raise ValueError(f"there are no features of stages {self.stages} of EfficientNet-Lite{self.variant}")
        if len(self.photo) != 3 or self.photo[0] not in (1, 3) or min(self.photo) < 1 or self.shape != shape:
            raise ValueError(f"features of photos {self.photo} are not {shape}")

    def build(self, network: EfficientNetLite | None = None) -> "Features":
        """The features of a network, not normalised; None for one without its weights."""
        network = EfficientNetLite(self.variant, self.stages) if network is None else network
        # in this layout, convolutions on a CPU take two thirds of the time
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        patches = sum(network.channels[:-1])
        return Features(network, torch.zeros(patches), torch.ones(patches))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape `(c, h, w)` of the joint feature map."""
        variant = VARIANTS[self.variant]
        stride = variant.stride(self.stages[0])
        channels = sum(variant.stages[stage].channels for stage in self.stages)
        return channels, *(-(-side // stride) for side in self.photo[1:])

    @property
    def patches(self) -> int:
        """Number of features of a patch."""
        return sum(VARIANTS[self.variant].stages[stage].channels for stage in self.stages[:-1])


@dataclass(frozen=True)
class OwnFeatureSpec:
    """Frozen features of the user's own network, as data; see `OwnNetwork`.

    Args:
        photo: shape `(c, h, w)` of the photos or tiles that are described.
        outputs: shape of each output of the network for one photo, in its order.
        kind: an ONNX file, or a module, which only a running process can hold.
        sha256: of the ONNX file; empty for a module.
        size: of the ONNX file, in bytes; 0 for a module.
    """

    photo: tuple[int, ...]
    outputs: tuple[tuple[int, ...], ...]
    kind: Literal["onnx", "module"]
    sha256: str = ""
    size: int = 0

    @property
    def name(self) -> str:
        """What users call the network."""
        return "your own network"

    @property
    def origin(self) -> str:
        """The network and where its weights come from."""
        return self.name

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuses features that no file can hold, or whose map is not of this shape.

        Raises:
            ValueError: they do not fit.
        """
        if self.kind != "onnx" or not 0 < self.size <= LARGEST or not 0 < len(self.outputs) <= OUTPUTS:
            raise ValueError(
                f"there are no features of {self.size} bytes of {self.kind} and {len(self.outputs)} outputs"
            )
        if len(self.photo) != 3 or self.photo[0] not in (1, 3) or min(self.photo) < 1 or not self.patches:
            raise ValueError(f"outputs {self.outputs} are not features of photos {self.photo}")
        if self.shape != shape:
            raise ValueError(f"features of photos {self.photo} are not {shape}")

    def build(self, network: nn.Module | None = None) -> "Features":
        """The features of a network, not normalised; None for an ONNX file without its bytes."""
        network = Graph(self.size) if network is None else network
        return Features(OwnNetwork(network, self.outputs), torch.zeros(self.patches), torch.ones(self.patches))

    def verify(self, tensors: Mapping[str, Tensor]) -> None:
        """Refuses the state of features whose ONNX file is another one.

        Raises:
            ValueError: its checksum is another one.
        """
        found = hashlib.sha256(tensors["network.network.onnx"].numpy().data).hexdigest()
        if found != self.sha256:
            raise ValueError(f"its network has the sha256 {found}, expected {self.sha256}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape `(c, h, w)` of the joint feature map."""
        maps = [map_shape(self.outputs[index]) for index in order(self.outputs)]
        return self.patches + maps[-1][0], *maps[0][1:]

    @property
    def patches(self) -> int:
        """Number of features of a patch."""
        return sum(channels for channels, height, width in map(map_shape, self.outputs) if height * width > 1)


AnyFeatureSpec = FeatureSpec | OwnFeatureSpec


class Features(nn.Module):
    """Photos → maps of features `(b, c, h, w)`: those of patches, normalised, then those of the whole, as they are.

    The maps of all stages but the last are resized to the finest, joined and smoothed over 3 × 3 of its positions; that
    of the last is averaged over all positions. Each feature of a patch is then normalised to mean 0 and deviation 1
    over normal photos, and the vector of these features is divided by its length to the power of `SOFTENED`.

    Args:
        network: frozen; see `Maps`.
        mean: of each feature of patches over the positions of normal photos `(p,)`, p ≤ c.
        deviation: of each of them `(p,)`.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.engine: Maps | None = None  # computes the network's maps in its place; see `on`

    def forward(self, photos: Tensor) -> Tensor:
        """Photos `(b, c, h, w)`, normalised to 0 … 1; grey ones have one channel."""
        joined = self.joined(photos)
        patches = len(self.mean)
        return torch.cat([self.normalised(joined[:, :patches]), joined[:, patches:]], 1)

    def normalised(self, patches: Tensor) -> Tensor:
        """Features of patches `(b, p, …)`, normalised."""
        column = (-1, *[1] * (patches.ndim - 2))
        x = (patches - self.mean.reshape(column)) / self.deviation.reshape(column)
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True) / x.shape[1] ** 0.5
        softened: Tensor = x / (length + (length == 0)) ** SOFTENED
        return softened

    def joined(self, photos: Tensor) -> Tensor:
        """The features of all stages, not normalised `(b, c, h, w)`; those of the whole are the same everywhere."""
        *maps, last = self.maps(photos)
        size = maps[0].shape[-2:]
        patches = torch.cat([each if each.shape[-2:] == size else _resized(each, size) for each in maps], 1)
        return torch.cat([_smoothed(patches), last.mean((2, 3), keepdim=True).expand(-1, -1, *size)], 1)

    def maps(self, photos: Tensor) -> Sequence[Tensor]:
        """What the network gives for photos `(b, c, h, w)`, normalised to 0 … 1; see `Maps`."""
        colours = self.colours(photos).contiguous(memory_format=torch.channels_last)
        found: Sequence[Tensor] = self.network(colours) if self.engine is None else self.engine(colours)
        return found

    def colours(self, photos: Tensor) -> Tensor:
        """Photos `(b, c, h, w)`, normalised to 0 … 1, in RGB and grey levels `(b, 3, h, w)`."""
        return (photos * GREY_LEVELS).expand(-1, 3, -1, -1)

    @property
    def graph(self) -> Graph | None:
        """The user's ONNX file, if that is the network."""
        network = self.network.network if isinstance(self.network, OwnNetwork) else None
        return network if isinstance(network, Graph) else None

    def seen(self, photo: tuple[int, ...]) -> tuple[int, ...]:
        """Height and width of what the network sees of a photo `(c, h, w)`."""
        return photo[1:]

    def on(self, engine: Maps | None) -> Self:
        """The same features, with the network's maps from another engine; None for torch."""
        other = self.like(self.mean, self.deviation)
        other.engine = engine
        return other

    def scaled(self, mean: Tensor, deviation: Tensor) -> Self:
        """The same features, normalised by this mean and deviation of patches `(p,)`."""
        return self.like(mean, deviation.clamp_min(LEAST_SPREAD))

    def like(self, mean: Tensor, deviation: Tensor) -> Self:
        """The same features by torch, normalised by this mean and deviation `(p,)`."""
        return type(self)(self.network, mean, deviation).train(self.training)


def _resized(features: Tensor, size: Sequence[int]) -> Tensor:
    return interpolate(features, tuple(size), mode="bilinear")


def _smoothed(features: Tensor) -> Tensor:
    """Mean of each position and its 8 neighbours, weighted by 1 to each side, 2 in the middle, as a rough Gaussian.

    Two means of 2 × 2 in a row have these weights. PatchCore (Roth et al., CVPR 2022) takes plain means of 3 × 3 of
    each map at its own size: those of a coarse one span 96 pixels, so that a map is high beside a defect too.
    """
    return avg_pool2d(avg_pool2d(pad(features, (1, 1, 1, 1), mode="replicate"), 2, 1), 2, 1)
