"""Convolutional encoder and decoder for images (2D) and video (3D) (sections 4.1 and 4.2 of the paper)."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from memae.errors import OptionError

KERNEL = 3
PADDING = 1  # NOTE[DIFF] padding: undisclosed in the paper
SLOPE = 0.2  # of the LeakyReLU. NOTE[DIFF] slope: undisclosed in the paper


class Layout(NamedTuple):
    """Output channels and strides of the encoder's layers; the decoder mirrors them."""

    widths: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]  # of each layer, one number per space dimension


MNIST = Layout((32, 16, 8), ((2, 2), (2, 2), (3, 3)))
"""Conv2(3,2,32)-Conv2(3,2,16)-Conv2(3,3,8) and its mirror, 28 × 28 grey; N = 100."""

CIFAR10 = Layout((64, 128, 128, 256), ((2, 2),) * 4)
"""Conv2(3,2,64)-Conv2(3,2,128)-Conv2(3,2,128)-Conv2(3,2,256) and its mirror, 32 × 32 RGB; N = 500."""

GREY = Layout((16, 64, 96), MNIST.strides)
"""Ours for small grey images: MNIST's strides, with more channels in the last layers, where they cost little."""

VIDEO = Layout((96, 128, 256, 256), ((2, 2, 2),) * 4)
"""Conv3(3,2,96)-Conv3(3,2,128)-Conv3(3,2,256)-Conv3(3,2,256) and its mirror, 16 grey frames; N = 2000."""

VIDEO_AUTHORS = Layout((96, 128, 256, 256), ((1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2)))
"""`VIDEO` with the first stride of the authors' code, which keeps all frames in the first layer."""


STACKED = Layout((32, 64, 96, 96), ((2, 2), (2, 2), (2, 2), (1, 1)))
"""Ours for clips whose frames are the channels of one picture; see `pretext.speeds`."""


def default_layout(channels: int, space: Sequence[int], *, paper: bool = False) -> Layout:
    """The image network for a size: based on `GREY` for small grey images, on `CIFAR10` for all others.

    Larger images get more layers, until the code is 8 × 8 or less; smaller ones get fewer.

    Args:
        channels: 1 for grey, 3 for RGB.
        space: height and width.
        paper: whether to take the paper's `MNIST` instead of `GREY`.

    Example:
        >>> default_layout(1, (28, 28)) == GREY, default_layout(3, (128, 128)).widths
        (True, (64, 128, 128, 256))
    """
    layout = (MNIST if paper else GREY) if channels == 1 and max(space) <= 32 else CIFAR10
    while max(sizes(space, layout.strides)[-1] if _fits(space, layout) else (1,)) > 8:
        layout = Layout((*layout.widths, layout.widths[-1]), (*layout.strides, (2, 2)))
    return shortened(layout, space)


def shortened(layout: Layout, space: Sequence[int]) -> Layout:
    """`layout` without the last layers for which a side of `space` is too small; at least one layer stays."""
    while len(layout.widths) > 1 and not _fits(space, layout):
        layout = Layout(layout.widths[:-1], layout.strides[:-1])
    return layout


def _fits(space: Sequence[int], layout: Layout) -> bool:
    return all(side >= smallest(axis, layout.strides) for axis, side in enumerate(space))


def sizes(space: Sequence[int], strides: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Spatial size before the first layer and after each layer; the last is that of the code.

    Raises:
        OptionError: strides are invalid, or a side is so small that a layer would stride over a single element.

    Example:
        >>> sizes((28, 28), MNIST.strides)
        [(28, 28), (14, 14), (7, 7), (3, 3)]
    """
    result = [tuple(space)]
    for layer, stride in enumerate(strides):
        if min(stride, default=0) < 1:
            raise OptionError(f"strides must be 1 or more; got {tuple(stride)} for layer {layer + 1}")
        if len(stride) != len(space):
            raise OptionError(
                f"strides must have {len(space)} numbers a layer for data of size {tuple(space)}; got {tuple(stride)}"
            )
        if any(side < 2 and step > 1 for side, step in zip(result[-1], stride, strict=True)):
            least = " × ".join(str(smallest(axis, strides)) for axis in range(len(space)))
            raise OptionError(
                f"size {' × '.join(map(str, space))} is too small for this network: layer {layer + 1} would stride "
                f"over a single element. Use {least} or more, or fewer layers"
            )
        result.append(
            tuple((side + 2 * PADDING - KERNEL) // step + 1 for side, step in zip(result[-1], stride, strict=True))
        )
    return result


def smallest(axis: int, strides: Sequence[Sequence[int]]) -> int:
    """The smallest side along `axis` that the strides allow."""
    side = 1
    for stride in reversed(strides):
        side = (side - 1) * stride[axis] + 1
        if stride[axis] > 1:
            side = max(side, 2)
    return side


def encoder(channels: int, space: Sequence[int], layout: Layout, kernel: int = KERNEL) -> nn.Sequential:
    """Convolutions `(b, channels, *space)` → `(b, widths[-1], *code)`, each with BatchNorm and LeakyReLU.

    The kernel is odd; padding makes up for it, so that sizes do not depend on it.

    Raises:
        OptionError: the size is too small for the strides, or widths and strides do not match.
    """
    if not layout.widths or len(layout.widths) != len(layout.strides) or min(layout.widths) < 1:
        raise OptionError(
            f"widths and strides must name the same layers, one or more; got {layout.widths} and {layout.strides}"
        )
    sizes(space, layout.strides)
    convolution, norm = (nn.Conv2d, nn.BatchNorm2d) if len(space) == 2 else (nn.Conv3d, nn.BatchNorm3d)
    layers: list[nn.Module] = []
    for i, o, stride in zip([channels, *layout.widths], layout.widths, layout.strides, strict=False):
        layers += [convolution(i, o, kernel, stride, kernel // 2), norm(o), nn.LeakyReLU(SLOPE)]  # type: ignore[arg-type]
    return nn.Sequential(*layers)


def decoder(channels: int, space: Sequence[int], layout: Layout, kernel: int = KERNEL) -> nn.Sequential:
    """The mirror of `encoder`: `(b, widths[-1], *code)` → `(b, channels, *space)`, exactly that size.

    Output padding replaces what the stride of the mirrored convolution cut off, so that any size is restored without
    cropping. BatchNorm and LeakyReLU follow each layer but the last.
    """
    steps = sizes(space, layout.strides)
    convolution, norm = (
        (nn.ConvTranspose2d, nn.BatchNorm2d) if len(space) == 2 else (nn.ConvTranspose3d, nn.BatchNorm3d)
    )
    layers: list[nn.Module] = []
    outputs = [channels, *layout.widths[:-1]]
    for i, o, stride, target in reversed(list(zip(layout.widths, outputs, layout.strides, steps, strict=False))):
        extra = tuple((side + 2 * PADDING - KERNEL) % step for side, step in zip(target, stride, strict=True))
        layers += [convolution(i, o, kernel, stride, kernel // 2, extra), norm(o), nn.LeakyReLU(SLOPE)]  # type: ignore[arg-type]
    return nn.Sequential(*layers[:-2])
