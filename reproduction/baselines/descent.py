"""Training of the deep baselines: Adam, and the epoch with the lowest loss on held-out normal samples."""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from memae.data.samples import Samples, digest
from memae.errors import TrainingError
from memae.files import replacing, sweep

Loss = Callable[[Tensor, torch.Generator], Tensor]
"""Samples `(b, …)` and a source of noise → loss of each `(b,)`."""

BATCH = 64


class Even:
    """Rows of a tensor as `Samples`; shuffled batches are of nearly equal size."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, size: int, order: torch.Generator | None = None) -> Iterator[Tensor]:
        """All rows once; see `Samples.batches`."""
        if order is None:
            yield from torch.split(self.rows, size)
            return
        for index in torch.randperm(len(self.rows), generator=order).tensor_split(-(-len(self.rows) // size)):
            yield self.rows[index]


def samples(normal: Tensor | Samples) -> Samples:
    """Rows of a tensor as samples; samples as they are."""
    return Even(normal) if isinstance(normal, Tensor) else normal


class Descent:
    """The complete state of a training, which is what a checkpoint holds."""

    def __init__(self, module: nn.Module, rate: float, steps: int, seed: int) -> None:
        self.module = module
        self.random = torch.Generator().manual_seed(seed)
        self.adam = torch.optim.Adam(module.parameters(), rate)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.adam, steps)
        self.history: list[float] = []
        self.best = deepcopy(module.state_dict())

    def learn(self, loss: Loss, batches: Iterator[Tensor]) -> None:
        """One epoch."""
        self.module.train()
        for batch in batches:
            self.adam.zero_grad()
            loss(batch, self.random).mean().backward()  # type: ignore[no-untyped-call]
            self.adam.step()
            self.schedule.step()
        self.module.eval()

    def judge(self, held_out: float) -> None:
        """Records the held-out loss of an epoch, and keeps the weights if it is the lowest."""
        self.history.append(held_out)
        if not math.isfinite(held_out):
            raise ArithmeticError(f"the held-out loss is {held_out} after epoch {len(self.history)}; lower the rate")
        if held_out == min(self.history):
            self.best = deepcopy(self.module.state_dict())

    def save(self, path: Path, identity: str) -> None:
        """Writes a checkpoint, completely or not at all."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        state = {"identity": identity, "random": self.random.get_state(), "history": self.history, "best": self.best}
        with replacing(path) as temporary:
            torch.save(parts | state, temporary)

    def resume(self, path: Path, identity: str) -> None:
        """Restores the state from a checkpoint, if there is one."""
        sweep(path)
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        if state["identity"] != identity:
            raise TrainingError(f"{path} was written for other data or settings; use those, or delete it")
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.random.set_state(state["random"])
        self.history, self.best = state["history"], state["best"]

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer | torch.optim.lr_scheduler.LRScheduler]:
        return {"module": self.module, "adam": self.adam, "schedule": self.schedule}


def descend(
    module: nn.Module,
    loss: Loss,
    training: Tensor | Samples,
    held_out: Tensor | Samples,
    *,
    epochs: int,
    rate: float,
    seed: int,
    batch: int = BATCH,
    checkpoint: Path | None = None,
) -> list[float]:
    """Trains `module` in place and leaves it with its best weights, in evaluation mode.

    Args:
        module: what learns.
        loss: what falls; may need gradients even where nothing is learned.
        training: normal samples, in a tensor or too large for one.
        held_out: those that choose the epoch, with the same noise in every epoch.
        epochs: passes over the training samples.
        rate: first learning rate of Adam, falling to 0 along half a cosine.
        seed: of the order and of the noise.
        batch: samples a step.
        checkpoint: file that is replaced after every epoch, and from which the training goes on if it is there.

    Returns:
        the mean loss of the held-out samples after each epoch.

    Raises:
        ArithmeticError: the loss is not finite.
        TrainingError: the checkpoint is of another training.
    """
    learned, others = samples(training), samples(held_out)
    descent = Descent(module, rate, epochs * -(-len(learned) // batch), seed)
    identity = ""
    if checkpoint is not None:
        settings = f"{module!r} {epochs} {rate} {seed} {batch}".encode()
        identity = digest(chain([settings], learned.batches(batch), others.batches(batch)))
        descent.resume(checkpoint, identity)
    while len(descent.history) < epochs:
        descent.learn(loss, learned.batches(batch, descent.random))
        noise = torch.Generator().manual_seed(seed)
        parts = [loss(part, noise).detach().double() for part in others.batches(batch)]
        descent.judge(float(torch.cat(parts).mean()))
        if checkpoint is not None:
            descent.save(checkpoint, identity)
    module.load_state_dict(descent.best)
    module.eval()
    return descent.history
