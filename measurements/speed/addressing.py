"""Addressing compared with the matrix products that are its lower bound."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from measurements.speed.literal import as_the_authors, literal
from measurements.timing import Timing, interleaved, ratio
from memae.memory import Memory

SIZES = {
    "video, batch 8": (2048, 2000, 256),
    "video, batch 1": (256, 2000, 256),
    "CIFAR-10": (1024, 500, 256),
    "MNIST, positions": (2304, 100, 8),
    "KDDCUP": (100_000, 50, 3),
}
"""Queries B, items N and channels C."""

Read = Callable[[Memory, Tensor], tuple[Tensor, Tensor]]


def ours(memory: Memory, z: Tensor) -> tuple[Tensor, Tensor]:
    """Read and entropy by the library."""
    found = memory(z)
    return found.read, found.entropy


def forward(read: Read, memory: Memory, z: Tensor) -> Callable[[], object]:
    """Reads as in scoring."""

    def call() -> None:
        memory.eval()
        with torch.no_grad():
            read(memory, z)

    return call


def training(read: Read, memory: Memory, z: Tensor, to_read: Tensor) -> Callable[[], object]:
    """Reads, and backpropagates gradients of the read-out and of the entropy."""

    def call() -> None:
        memory.train()
        memory.zero_grad()
        answer, entropy = read(memory, z.detach().requires_grad_())
        torch.autograd.backward([answer, entropy], [to_read, torch.full_like(entropy, 2e-4)])

    return call


def products(z: Tensor, items: Tensor, to_read: Tensor, w: Tensor, *, backwards: bool) -> Callable[[], object]:
    """The matrix products alone: 4 B N C operations forwards, 12 B N C with the backward pass."""

    def call() -> None:
        (z @ items.T) @ items
        if backwards:
            to_read @ items.T, w @ items, w.T @ z, w.T @ to_read

    return call


def measure() -> dict[str, Any]:
    """All sizes; the targets are about the first."""
    torch.set_flush_denormal(True)  # as training does; the authors' form is three times slower without
    details = {name: _compare(*size) for name, size in SIZES.items()}
    figures = {}
    for way in ("forward", "training"):
        times = details["video, batch 8"][way]
        for form in ("compiled", "eager", "literal", "authors"):
            figures[f"speed/address_{way}/share_of_bound/{form}"] = ratio(times["products"], times[form])
    return {"figures": figures, "cases": {name: _as_json(case) for name, case in details.items()}}


def _compare(queries: int, items: int, channels: int) -> dict[str, dict[str, Timing]]:
    torch.manual_seed(0)
    z, to_read = torch.randn(queries, channels), torch.randn(queries, channels)
    memories = [Memory(items, channels, temperature=0.1) for _ in range(2)]
    eager, compiled = memories
    compiled.load_state_dict(eager.state_dict())
    compiled.compiled = True
    forms: dict[str, tuple[Read, Memory]] = {
        "literal": (literal, eager),
        "authors": (as_the_authors, eager),
        "eager": (ours, eager),
        "compiled": (ours, compiled),
    }
    w = torch.rand(queries, items)
    rounds = 30 if queries * items * channels > 10**8 else 60
    found = {}
    for way in ("forward", "training"):
        back = way == "training"
        variants = {"products": products(z, eager.items.detach(), to_read, w, backwards=back)}
        for name, (read, memory) in forms.items():
            variants[name] = training(read, memory, z, to_read) if back else forward(read, memory, z)
        found[way] = interleaved(variants, rounds, time.thread_time)
    return found


def _as_json(case: dict[str, dict[str, Timing]]) -> dict[str, Any]:
    return {
        way: {
            name: timing.as_json() | {"share_of_bound": round(times["products"].minimum / timing.minimum, 4)}
            for name, timing in times.items()
        }
        for way, times in case.items()
    }
