"""Descriptions of models, from which they are built; model files store them with the weights."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from memae.features import FeatureSpec, OwnFeatureSpec
from memae.frame_features import FrameSpec
from memae.kept import KeptMemory
from memae.memory import Memory
from memae.model import MemAE
from memae.networks import convolutional, tabular
from memae.parameters import OnEmpty, Similarity
from memae.patches import Leading, PatchMemory
from memae.pretext import PretextSpec
from memae.pretext.columns import ColumnSpec
from memae.pretext.rotations import RotationSpec
from memae.pretext.speeds import SpeedSpec


@dataclass(frozen=True)
class MemorySpec:
    """A memory, as data; the arguments are those of `Memory`."""

    items: int
    similarity: Similarity = "cosine"
    temperature: float = 1.0
    learn_temperature: bool = False
    shrinkage: float = 1.0
    on_empty: OnEmpty = "strongest"
    per_position: bool = False  # each item is the feature of one position, not a whole code


@dataclass(frozen=True)
class KeptSpec:
    """A memory of kept samples, as data; the arguments are those of `KeptMemory`."""

    items: int
    fields: tuple[int, ...]


@dataclass(frozen=True)
class PatchSpec:
    """A memory of kept patches, as data; the arguments are those of `PatchMemory`."""

    items: int
    channels: int  # the first of the features of a position


@dataclass(frozen=True)
class Spec:
    """Description of a model without its weights.

    Args:
        shape: of one sample: `(features,)`, `(c, h, w)` or `(c, t, h, w)`.
        widths: output size of the encoder's layers; the last is that of the code. Without any, and with kept samples or
            patches as memory, the code is the sample.
        strides: of the convolutions, one tuple per layer; empty for fully connected layers.
        memory: None for a plain autoencoder.
        pretext: pretext task besides reconstruction; None for none, as in the paper.
        features: of photos or frames, whose maps are then the samples, of this shape; a network sees and restores those
            of patches alone. None for samples as they are.
    """

    shape: tuple[int, ...]
    widths: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...] = ()
    memory: MemorySpec | KeptSpec | PatchSpec | None = None
    pretext: RotationSpec | ColumnSpec | SpeedSpec | None = None
    features: FeatureSpec | OwnFeatureSpec | FrameSpec | None = None

    @property
    def raw(self) -> tuple[int, ...]:
        """Shape of a raw sample: that of a photo or frame, if these are described by features."""
        return self.shape if self.features is None else self.features.photo

    @property
    def task(self) -> PretextSpec:
        """The pretext task; a `PretextSpec` if there is none."""
        return PretextSpec() if self.pretext is None else self.pretext


def build(spec: Spec) -> MemAE:
    """Builds the model of `spec` with fresh weights from torch's default random generator.

    Raises:
        OptionError: sizes, widths and strides do not fit together.
        ShrinkageError: see `Memory`.

    Example:
        >>> mnist = Spec((1, 28, 28), *convolutional.MNIST, memory=MemorySpec(100))
        >>> build(mnist)(torch.zeros(2, 1, 28, 28)).x_hat.shape
        torch.Size([2, 1, 28, 28])
    """
    if isinstance(spec.memory, KeptSpec):
        return MemAE(nn.Identity(), KeptMemory(spec.memory.items, spec.memory.fields), nn.Identity(), spec.shape)
    if isinstance(spec.memory, PatchSpec):
        patches = PatchMemory(spec.memory.items, spec.memory.channels)
        return MemAE(Leading(spec.memory.channels), patches, nn.Identity())
    (seen, *space), (restored, *_) = spec.task.presented(spec.shape), spec.task.target(spec.shape)
    kernel = convolutional.KERNEL
    if spec.features is not None:  # each position already describes what is around it
        seen, restored, kernel = spec.features.patches, spec.features.patches, 1
    if space:
        layout = convolutional.Layout(spec.widths, spec.strides)
        encoder = convolutional.encoder(seen, space, layout, kernel)
        decoder = convolutional.decoder(restored, space, layout, kernel)
        if spec.features is not None:
            encoder.insert(0, Leading(seen))
    else:
        encoder = tabular.encoder(seen, spec.widths)
        decoder = tabular.decoder(restored, spec.widths)
    code, wanted = code_shape(spec), spec.memory
    pretext = spec.task.build(code, spec.shape)
    memory = None if wanted is None else _memory(wanted, code)
    by_position = spec.task.by_position if wanted is None else wanted.per_position
    model = MemAE(encoder, memory, decoder, None if by_position else code, pretext)
    return laid_out(model, spec)


def _memory(spec: MemorySpec, code: tuple[int, ...]) -> Memory:
    return Memory(
        spec.items,
        code[0] if spec.per_position else math.prod(code),
        similarity=spec.similarity,
        temperature=spec.temperature,
        learn_temperature=spec.learn_temperature,
        shrinkage=spec.shrinkage,
        on_empty=spec.on_empty,
    )


def laid_out(model: MemAE, spec: Spec) -> MemAE:
    """The model with its weights in channels-last layout, in which CPU convolutions are up to 1.4 times faster.

    Sums in the two layouts differ in their last bits.
    """
    layouts = {2: torch.channels_last, 3: torch.channels_last_3d}
    dimensions = len(code_shape(spec)) - 1
    return model.to(memory_format=layouts[dimensions]) if dimensions else model  # type: ignore[call-overload]


def code_shape(spec: Spec) -> tuple[int, ...]:
    """Shape `(c, *space)` of the encoder's output for one sample."""
    if isinstance(spec.memory, KeptSpec):
        return spec.shape
    if isinstance(spec.memory, PatchSpec):
        return spec.memory.channels, *spec.shape[1:]
    space = spec.task.presented(spec.shape)[1:]
    return (spec.widths[-1], *(convolutional.sizes(space, spec.strides)[-1] if space else ()))
