"""Training of the deep baselines: Adam, and the epoch with the lowest loss on held-out normal samples."""

import math
from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, torch.Generator], Tensor]
"""Samples `(b, …)` and a source of noise → loss of each `(b,)`."""

BATCH = 64


def descend(
    module: nn.Module,
    loss: Loss,
    training: Tensor,
    held_out: Tensor,
    *,
    epochs: int,
    rate: float,
    seed: int,
    batch: int = BATCH,
) -> list[float]:
    """Trains `module` in place and leaves it with its best weights, in evaluation mode.

    Args:
        module: what learns.
        loss: what falls; may need gradients even where nothing is learned.
        training: normal samples.
        held_out: those that choose the epoch, with the same noise in every epoch.
        epochs: passes over the training samples.
        rate: first learning rate of Adam, falling to 0 along half a cosine.
        seed: of the order and of the noise.
        batch: samples a step.

    Returns:
        the mean loss of the held-out samples after each epoch.
    """
    random = torch.Generator().manual_seed(seed)
    adam = torch.optim.Adam(module.parameters(), rate)
    steps = -(-len(training) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, epochs * steps)
    history: list[float] = []
    best = deepcopy(module.state_dict())
    for _ in range(epochs):
        module.train()
        for index in torch.randperm(len(training), generator=random).tensor_split(steps):
            adam.zero_grad()
            loss(training[index], random).mean().backward()  # type: ignore[no-untyped-call]
            adam.step()
            schedule.step()
        module.eval()
        noise = torch.Generator().manual_seed(seed)
        parts = [loss(part, noise).detach().double() for part in torch.split(held_out, batch)]
        history.append(float(torch.cat(parts).mean()))
        if not math.isfinite(history[-1]):
            raise ArithmeticError(f"the held-out loss is {history[-1]} after epoch {len(history)}; lower the rate")
        if history[-1] == min(history):
            best = deepcopy(module.state_dict())
    module.load_state_dict(best)
    return history
