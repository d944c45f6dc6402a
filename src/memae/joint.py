"""Statistics of a batch whose samples are divided among processes: those of BatchNorm, and means in losses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from memae.group import Group, Share
from memae.model import MemAE


@contextmanager
def joint(model: MemAE, group: Group, share: Share) -> Iterator[None]:
    """Meanwhile, BatchNorm and the pretext task of a model in training take means over the batches of all processes.

    Args:
        model: in training.
        group: of the processes.
        share: what this process computes of the batch.
    """
    if group.alone:
        yield
        return
    norms = [each for each in model.modules() if isinstance(each, _BatchNorm)]
    changed: list[tuple[nn.Module, str, Callable[[Tensor], Tensor]]] = [
        (each, "forward", partial(normalised, each, total=group.sum, weight=share.weight)) for each in norms
    ]
    changed.append((model.pretext, "mean", lambda values: group.sum(values.mean() * share.weight)))
    for module, name, function in changed:
        setattr(module, name, function)
    try:
        yield
    finally:
        for module, name, _ in changed:
            delattr(module, name)


def normalised(norm: _BatchNorm, x: Tensor, *, total: Callable[[Tensor], Tensor], weight: float) -> Tensor:
    """What `norm` gives in training for a batch of which `x` is a part; torch has this for GPUs only.

    Args:
        norm: its running statistics are updated.
        x: the part `(b, c, *space)`.
        total: sums over the parts.
        weight: the part's share of the batch.
    """
    axes = [0, *range(2, x.ndim)]
    variance, mean = (each.double() for each in torch.var_mean(x, axes, correction=0))
    moments = total(torch.stack([mean, variance + mean.square()]) * weight)  # the variance is a small difference
    mean, variance = moments[0], moments[1] - moments[0].square()
    _follow(norm, mean.detach(), variance.detach(), x.numel() / x.shape[1] / weight)
    scale = (variance + norm.eps).rsqrt()
    shift = -mean * scale
    if norm.affine:
        scale, shift = scale * norm.weight, shift * norm.weight + norm.bias
    shape = 1, -1, *[1] * (x.ndim - 2)
    return torch.addcmul(shift.to(x.dtype).view(shape), x, scale.to(x.dtype).view(shape))


@torch.no_grad()
def _follow(norm: _BatchNorm, mean: Tensor, variance: Tensor, values: float) -> None:
    """Moves the running statistics towards those of a batch of so many values a channel."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked += 1
    momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean), momentum)
    norm.running_var.lerp_((variance * (values / (values - 1))).to(norm.running_var), momentum)
