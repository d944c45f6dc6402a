"""The user's own network: whatever maps or tokens it gives, as feature maps of photos, the finest first."""

from collections.abc import Callable, Mapping, Sequence
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from memae.errors import OptionError

WHITE = 255.0
"""Grey level that the network sees as 1, before the normalisation."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue in the photos of ImageNet, 0 … 1: by these, nearly all pretrained networks want their input
normalised."""
MORE_TOKENS = 8
"""Tokens that may come before those of the map, at most: the class and registers."""

Outputs = Callable[[Tensor], Sequence[Tensor]]
"""Photos `(b, 3, h, w)`, normalised → what the network gives for them."""


class Graph(nn.Module):
    """An ONNX file as a module; the engine that runs it is set from outside, the core has none.

    Args:
        size: of the file, in bytes.

    Attributes:
        onnx: the file's bytes `(size,)`, uint8.
        run: the engine.
    """

    onnx: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("onnx", torch.zeros(size, dtype=torch.uint8))
        self.run: Outputs | None = None

    def forward(self, photos: Tensor) -> Sequence[Tensor]:
        """The outputs for photos `(b, 3, h, w)`, normalised."""
        assert self.run is not None  # noqa: S101 (see `engines.own`)
        return self.run(photos)


class OwnNetwork(nn.Module):
    """Feature maps `(b, c, h, w)` of photos by the user's network, the finest first; the last is that of the whole.

    Outputs may be maps `(b, c, h, w)`, tokens of a vision transformer `(b, more + n², c)`, of which the last n² are a
    square map and the class and registers before it are dropped, or vectors `(b, c)`, in any order. Maps of several
    positions describe patches. The coarsest output, the last of equal ones, averaged over its positions, describes the
    whole; a single map describes both.

    Args:
        network: its input are RGB photos in 0 … 1, normalised by the mean and deviation of ImageNet.
        outputs: shape of each output for one photo, in the network's order.
    """

    def __init__(self, network: nn.Module, outputs: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        self.network = network
        self.outputs = outputs

    def forward(self, photos: Tensor) -> list[Tensor]:
        """Maps of photos `(b, 3, h, w)` in grey levels 0 … 255.

        Raises:
            OptionError: the outputs have other shapes than they had for other photos.
        """
        found = listed(self.network(normalised(photos)))
        shapes = tuple(tuple(each.shape[1:]) for each in found)
        if shapes != self.outputs:
            raise OptionError(
                f"the network given as features must always give outputs of the same shapes: it gave {self.outputs} "
                f"before and {shapes} now; take one whose outputs depend on the size of its input alone"
            )
        maps = [_as_map(found[index].float()) for index in order(shapes)]
        patches = [each for each in maps if each.shape[2] * each.shape[3] > 1]
        return [*patches, maps[-1].mean((2, 3), keepdim=True)]

    def running(self, network: nn.Module) -> "OwnNetwork":
        """The same maps by another form of the network."""
        return OwnNetwork(network, self.outputs).train(self.training)


def normalised(photos: Tensor) -> Tensor:
    """Photos `(b, 3, h, w)` in grey levels, normalised by the mean and deviation of ImageNet."""
    mean, deviation = (torch.tensor(each).to(photos)[:, None, None] for each in (MEAN, DEVIATION))
    return ((photos / WHITE - mean) / deviation).contiguous()


def listed(outputs: Any) -> list[Tensor]:
    """The tensors among what a network returns: one, several, or several with names."""
    if isinstance(outputs, Tensor):
        return [outputs]
    several = outputs.values() if isinstance(outputs, Mapping) else outputs
    return (
        [each for output in several for each in listed(output)] if isinstance(outputs, Mapping | list | tuple) else []
    )


def order(outputs: Sequence[tuple[int, ...]]) -> list[int]:
    """Indices of outputs by their number of positions, highest first; equal ones stay in their order."""
    positions = [shape[1] * shape[2] for shape in map(map_shape, outputs)]
    return sorted(range(len(outputs)), key=lambda index: -positions[index])


def map_shape(output: tuple[int, ...]) -> tuple[int, int, int]:
    """Shape `(c, h, w)` of the map that an output of this shape, without the batch, is.

    Raises:
        ValueError: it is none.

    Example:
        >>> map_shape((8, 28, 28)), map_shape((257, 384)), map_shape((384,))
        ((8, 28, 28), (384, 16, 16), (384, 1, 1))
    """
    side = isqrt(output[0]) if len(output) == 2 else 0
    more = output[0] - side**2 if side else 0
    if not output or len(output) > 3 or min(output) < 1 or more > MORE_TOKENS:
        raise ValueError(f"an output of shape {output} for each photo is neither a map (c, h, w) nor square tokens")
    if len(output) == 2:
        return output[1], side, side
    return output[0], *(output[1:] or (1, 1))  # type: ignore[return-value]  # of three dimensions, or one


def _as_map(output: Tensor) -> Tensor:
    """An output as a map `(b, c, h, w)`; see `map_shape`."""
    channels, height, width = map_shape(tuple(output.shape[1:]))
    if output.ndim == 3:
        output = output[:, -height * width :].transpose(1, 2)
    return output.reshape(-1, channels, height, width)
