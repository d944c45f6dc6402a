"""The paper's networks with what it leaves open about them: padding, size of the code, BatchNorm and slope.

With the library's own values they have the same layers in the same order, and so the same weights for the same seed.
"""

import math
from itertools import pairwise

import torch
from torch import nn

from memae.memory import Memory
from memae.model import MemAE
from memae.networks import tabular
from memae.networks.convolutional import KERNEL, Layout
from reproduction.takes.settings import Setting, Variant


def built(
    shape: tuple[int, ...], layout: Layout | tuple[int, ...], items: int, setting: Setting, variant: Variant, seed: int
) -> MemAE:
    """The untrained model of a variant, the same for the same seed.

    Args:
        shape: of a sample.
        layout: of the convolutions, or the widths of the linear layers.
        items: N.
        setting: everything else.
        variant: decides about the memory.
        seed: of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(layout, Layout):
            return _convolutional(shape, layout, items, setting, variant)
        encoder, decoder = tabular.encoder(shape[0], layout), tabular.decoder(shape[0], layout)
        return MemAE(encoder, _memory(items, layout[-1:], setting, variant), decoder, layout[-1:])


def _convolutional(shape: tuple[int, ...], layout: Layout, items: int, setting: Setting, variant: Variant) -> MemAE:
    channels, *space = shape
    widths = (*layout.widths[:-1], max(round(layout.widths[-1] * setting.code), 1))
    sides = [space[0]]
    for stride, *_ in layout.strides:
        sides.append((sides[-1] + 2 * setting.padding - KERNEL) // stride + 1)
    code = (widths[-1], sides[-1], sides[-1])
    encoder, decoder = _encoder(channels, widths, layout, setting), _decoder(channels, widths, layout, sides, setting)
    by_position = setting.per_position and variant != "ae"
    model = MemAE(encoder, _memory(items, code, setting, variant), decoder, None if by_position else code)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _encoder(channels: int, widths: tuple[int, ...], layout: Layout, setting: Setting) -> nn.Sequential:
    layers: list[nn.Module] = []
    for (i, o), (stride, *_) in zip(pairwise((channels, *widths)), layout.strides, strict=True):
        layers += [nn.Conv2d(i, o, KERNEL, stride, setting.padding), *_after(o, setting)]
    return nn.Sequential(*layers)


def _decoder(
    channels: int, widths: tuple[int, ...], layout: Layout, sides: list[int], setting: Setting
) -> nn.Sequential:
    layers: list[nn.Module] = []
    steps = list(zip(pairwise((channels, *widths)), layout.strides, sides, strict=False))
    for (o, i), (stride, *_), side in reversed(steps):
        extra = (side + 2 * setting.padding - KERNEL) % stride  # what the stride of the mirrored convolution cut off
        layers += [nn.ConvTranspose2d(i, o, KERNEL, stride, setting.padding, extra), *_after(o, setting)]
    return nn.Sequential(*layers[:-2])


def _after(channels: int, setting: Setting) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels, momentum=setting.momentum), nn.LeakyReLU(setting.slope)


def _memory(items: int, code: tuple[int, ...], setting: Setting, variant: Variant) -> Memory | None:
    if variant == "ae":
        return None
    return Memory(
        items,
        code[0] if setting.per_position else math.prod(code),
        temperature=setting.temperature,
        shrinkage=setting.shrinkage if variant == "memae" else 0.0,
        on_empty=setting.on_empty,
    )
