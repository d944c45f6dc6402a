"""Processes that fit one model together, as torchrun starts them.

A launcher gives each process its number and the address of the first one in environment variables (`RANK`,
`WORLD_SIZE`, `MASTER_ADDR`, `MASTER_PORT`); torchrun, Spark's TorchDistributor and Ray Train set the same ones. A
process that finds them joins. A group of one process does nothing, at no cost.
"""

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, distributed, nn

from memae.errors import OptionError, TrainingError

PATIENCE = timedelta(hours=24)
"""For how long a process waits for the others. One that has died is noticed at once, since its connections close; the
first process may take hours for what it does alone."""

T = TypeVar("T")


class Share(NamedTuple):
    """What a process computes of a batch."""

    rows: slice  # its samples
    whole: int  # number of samples of the batch
    holders: int = 1  # number of processes that compute each sample

    @property
    def weight(self) -> float:
        """The factor that turns means over the samples of each process into addends of the mean over the batch."""
        return len(range(self.whole)[self.rows]) / (self.whole * self.holders)


@dataclass(frozen=True)
class Group:
    """The processes that fit a model together, and which of them this one is.

    All processes call the same methods in the same order.

    Args:
        rank: number of this process, from 0.
        processes: how many there are.
    """

    rank: int = 0
    processes: int = 1

    @property
    def alone(self) -> bool:
        """Whether there is one process only."""
        return self.processes == 1

    @property
    def leads(self) -> bool:
        """Whether this is the first process: the one that computes what is computed once, prints and writes."""
        return self.rank == 0

    def share(self, samples: int) -> Share:
        """What this process computes of a batch; if it has fewer samples than there are processes, all of them."""
        if samples < self.processes:
            return Share(slice(0, samples), samples, self.processes)
        return Share(self.block(samples), samples)

    def sum(self, addend: Tensor) -> Tensor:
        """The sum over the processes, differentiable."""
        if self.alone:
            return addend
        total: Tensor = _Sum.apply(addend)  # type: ignore[no-untyped-call]
        return total

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces gradients by their sums over the processes."""
        if self.alone:
            return
        gradients = [each.grad for each in parameters if each.grad is not None]
        total = _summed(torch.cat([each.flatten() for each in gradients]))
        for gradient, part in zip(gradients, torch.split(total, [each.numel() for each in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    @torch.no_grad()
    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrites tensors with those of the first process."""
        if self.alone:
            return
        for each in tensors:
            sent = each.detach().contiguous()
            with _heard():
                distributed.broadcast(sent, 0)
            each.copy_(sent)

    def once(self, compute: Callable[[], float]) -> float:
        """A number that the first process computes for all."""
        if self.alone:
            return compute()
        number = torch.tensor([compute() if self.leads else 0.0], dtype=torch.float64)
        self.broadcast([number])
        return float(number)

    def block(self, count: int, rank: int | None = None) -> slice:
        """Which of `count` results in order this process computes, or the one of the given rank."""
        rank = self.rank if rank is None else rank
        return slice(count * rank // self.processes, count * (rank + 1) // self.processes)

    def each(self, count: int, compute: Callable[[int], T]) -> list[T]:
        """`compute(0)`, …, `compute(count − 1)`, of which each process computes its `block`; all get all, in order.

        Args:
            count: number of results.
            compute: gives tensors or plain data, by the number of the result; called in order.
        """
        if self.alone:
            return [compute(number) for number in range(count)]
        mine = self.block(count)
        computed = {number: compute(number) for number in range(mine.start, mine.stop)}
        owners = [rank for rank in range(self.processes) for _ in range(count)[self.block(count, rank)]]
        return [self._sent(computed.get(number), owner) for number, owner in enumerate(owners)]

    def _sent(self, result: Any, sender: int) -> Any:
        """The result of one process, in all of them."""
        content = pickle.dumps(result) if sender == self.rank else b""
        length = torch.tensor([len(content)])
        with _heard():
            distributed.broadcast(length, sender)
        sent = torch.empty(int(length), dtype=torch.uint8)
        if sender == self.rank:
            sent.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        with _heard():
            distributed.broadcast(sent, sender)
        return result if sender == self.rank else pickle.loads(sent.numpy().data)  # noqa: S301 (of this program)

    def agree(self, about: object) -> None:
        """Makes sure that all processes are about to do the same.

        Args:
            about: what must be equal, as its `repr` shows it.

        Raises:
            TrainingError: it differs.
        """
        if self.alone:
            return
        everyone: list[object] = [None] * self.processes
        with _heard():
            distributed.all_gather_object(everyone, repr(about))
        others = [number for number, each in enumerate(everyone) if each != everyone[0]]
        if others:
            raise TrainingError(
                f"of {self.processes} processes, number {', '.join(map(str, others))} found other data, options, "
                "random_state or checkpoint than number 0; all must be given the same, and read the same files. To fit "
                "a model in each process instead, start it without WORLD_SIZE in its environment"
            )


ALONE = Group()


def processes() -> int:
    """Number of processes that were started to fit together, as far as this one knows; 1 if it was started alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def join(device: torch.device) -> Group:
    """The group of this process, which waits for the others the first time.

    Args:
        device: to compute on.

    Raises:
        OptionError: there are more processes on this machine than GPUs.
        TrainingError: the others cannot be reached.
    """
    if processes() == 1:
        return ALONE
    if device.type not in ("cpu", "cuda"):
        raise OptionError(f"several processes fit on CPUs or on GPUs by CUDA, not on {device}; give device 'cpu'")
    if device.type == "cuda":
        _take_gpu()
    if not distributed.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        with _heard():
            distributed.init_process_group(backend, timeout=PATIENCE)
    return Group(distributed.get_rank(), distributed.get_world_size())


def _take_gpu() -> None:
    """Gives this process a GPU of its own."""
    number = int(os.environ.get("LOCAL_RANK", "0"))
    gpus, here = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", str(number + 1)))
    if here > gpus:
        raise OptionError(
            f"{here} processes on this machine share {gpus} GPU{'s' * (gpus != 1)}; start as many as there are GPUs, "
            "or give device 'cpu'"
        )
    torch.cuda.set_device(number)


@contextmanager
def _heard() -> Iterator[None]:
    """Says in a sentence that another process cannot be reached."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise TrainingError(
            "another process of this fit has ended or cannot be reached; see what it says, then start the same command "
            f"again, with --resume if there is a checkpoint ({reason})"
        ) from error


def _summed(values: Tensor) -> Tensor:
    """A new tensor, the sum over all processes."""
    total = values.detach().clone(memory_format=torch.contiguous_format)
    with _heard():
        distributed.all_reduce(total)
    return total


class _Sum(torch.autograd.Function):
    """Sum over the processes; its gradient is the sum of theirs, since the loss is the sum of their losses."""

    @staticmethod
    def forward(ctx: Any, addend: Tensor) -> Tensor:  # noqa: ARG004
        return _summed(addend)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return _summed(gradient)
