"""The network that describes photos, as the parameter `features` names it: a pretrained one, or the user's own."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memae.data.tiles import Tiles
from memae.engines.own import Session, described_by, read_graph
from memae.errors import OptionError
from memae.features import OUTPUTS, AnyFeatureSpec, Features, FeatureSpec, OwnFeatureSpec
from memae.frame_features import LOOKS, FrameFeatures, FrameSpec
from memae.networks.efficientnet_lite import read_lite
from memae.own_network import Graph, listed, map_shape, normalised

INPUT = 224
"""Height and width of what a network sees, by default: those that most were trained on."""
ENLARGED = 3
"""By how much smaller images are enlarged at most: they hold no more than they show."""
SEEN = 480
"""Shorter side of the frames of films that a network sees, in pixels, by default."""
ENLARGED_FRAMES = 2.0
"""By how much smaller frames are enlarged at most."""
FEATURES: dict[str, int | None] = {"none": None} | {f"efficientnet-lite{variant}": variant for variant in range(3)}
"""Names of features, and the variant of EfficientNet-Lite that gives them."""
ONNX = ".onnx"
"""What the path of a user's network ends in."""
MODULE = "module"
"""What stands in a model file for the module that a detector was fitted with."""


@dataclass(frozen=True)
class Lite:
    """EfficientNet-Lite with the weights of its package."""

    variant: int

    def size(self, given: tuple[int, int] | None, smallest: int) -> tuple[int, int]:
        """Height and width to scale tiles to.

        Args:
            given: as the user wants; None for the default.
            smallest: shorter side of the images.
        """
        side = min(INPUT, ENLARGED * smallest)
        return given or (side, side)

    def described(self, tiles: Tiles) -> tuple[AnyFeatureSpec, Features]:
        """The features of such tiles, not normalised."""
        spec = FeatureSpec(tiles.shape, self.variant)
        return spec, spec.build(read_lite(self.variant, spec.stages))

    def frames(self, shape: tuple[int, ...]) -> tuple[FrameSpec, FrameFeatures]:
        """The features of clips of one frame of this shape `(c, 1, h, w)`, not normalised.

        Frames are enlarged up to twice: people are small on what most cameras see, and the network was trained on
        photos that show one thing.
        """
        height, width = shape[2:]
        factor = min(max(SEEN / min(height, width), 1.0), ENLARGED_FRAMES)
        spec = FrameSpec(shape, (round(height * factor), round(width * factor)), self.variant, centred=True)
        return spec, spec.build(read_lite(self.variant, LOOKS))


@dataclass(frozen=True)
class Own:
    """The user's own network: a module, or an ONNX file as one."""

    network: nn.Module

    def size(self, given: tuple[int, int] | None, smallest: int) -> tuple[int, int]:  # noqa: ARG002 (as of the other)
        """Height and width to scale tiles to.

        Raises:
            OptionError: the ONNX file takes photos of another size than the given one.
        """
        run = self.network.run if isinstance(self.network, Graph) else None
        fixed = run.size if isinstance(run, Session) else None
        if given and fixed and given != fixed:
            raise OptionError(f"the network given as features takes photos of {fixed}; got size={given}, leave it out")
        return given or fixed or (INPUT, INPUT)

    @torch.no_grad()
    def described(self, tiles: Tiles) -> tuple[AnyFeatureSpec, Features]:
        """The features of such tiles, not normalised.

        Raises:
            OptionError: the network fails on them, or gives no maps.
        """
        photos = (
            tiles.take(torch.tensor([index])).float().expand(-1, 3, -1, -1) for index in (0, len(tiles.photo) - 1)
        )
        first, last = (self._outputs(normalised(photo)) for photo in photos)
        outputs = tuple(tuple(each.shape[1:]) for each in first)
        if outputs != tuple(tuple(each.shape[1:]) for each in last):
            raise OptionError("the network given as features must give outputs of the same shapes for all photos")
        spec = OwnFeatureSpec(tuple(tiles.shape), outputs, "module")
        if isinstance(self.network, Graph):
            spec = described_by(self.network, spec)
        return spec, spec.build(self.network)

    def _outputs(self, photo: Tensor) -> list[Tensor]:
        """What the network gives for a photo `(1, 3, h, w)`, checked."""
        try:
            found = listed(self.network(photo))
        except OptionError:
            raise
        except Exception as error:  # the network is the user's: it can fail in any way
            reason = str(error).strip().partition("\n")[0][:200]
            raise OptionError(
                f"the network given as features fails on a photo {tuple(photo.shape)}: {reason}; give `size` if it "
                "takes photos of another one"
            ) from error
        shapes = [tuple(each.shape) for each in found]
        if not 0 < len(found) <= OUTPUTS or not all(map(_is_output, shapes)) or not any(map(_is_map, shapes)):
            raise OptionError(
                "the network given as features must give maps (b, c, h, w), or tokens (b, 1 + n, c) with n a square "
                f"number, for photos {tuple(photo.shape)}; it gave {', '.join(map(str, shapes)) or 'no tensors'}; take "
                "it without its head"
            )
        if not all(each.is_floating_point() and each.isfinite().all() for each in found):
            raise OptionError(
                "the network given as features gives NaN, infinity or no floating-point numbers for a photo; it sees "
                "RGB of 0 … 1 normalised by the mean and deviation of ImageNet"
            )
        return found


def _is_output(shape: tuple[int, ...]) -> bool:
    try:
        return shape[:1] == (1,) and bool(map_shape(shape[1:]))
    except ValueError:
        return False


def _is_map(shape: tuple[int, ...]) -> bool:
    return map_shape(shape[1:])[1:] != (1, 1)


def network_of(features: Any) -> Lite | Own | None:
    """The network of a value of `features` other than "auto"; None for pixels.

    A module is copied, so that a detector stays as it was fitted.

    Raises:
        OptionError: there is no such network, or its file cannot be read.
        MissingExtraError: ONNX Runtime is needed and not installed.
    """
    if isinstance(features, nn.Module):
        return Own(copy.deepcopy(features).cpu().float().eval().requires_grad_(False))
    if str(features).lower().endswith(ONNX):
        return Own(read_graph(Path(features)))
    if features == MODULE:
        raise OptionError(
            f"features={MODULE!r} stands for the network that was given to the fit of this model; to fit again, give "
            "it anew"
        )
    if features not in FEATURES:
        raise OptionError(
            f"features must be one of auto, {', '.join(FEATURES)}, the path of a file that ends in {ONNX}, or an "
            f"nn.Module; got {features!r}"
        )
    variant = FEATURES[features]
    return None if variant is None else Lite(variant)
