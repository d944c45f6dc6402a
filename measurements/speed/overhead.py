"""What the memory adds to an autoencoder: the same network with and without, in scoring and in a step of training."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from measurements.timing import interleaved, ratio
from memae.checkpoint import Run
from memae.model import MemAE, MemorySpec, Spec, build
from memae.networks.convolutional import CIFAR10, MNIST, VIDEO
from memae.networks.tabular import KDDCUP
from memae.options import Options
from memae.training import _learn

CASES: dict[str, tuple[Spec, int, int]] = {
    "video_256": (Spec((1, 16, 256, 256), *VIDEO, MemorySpec(2000, temperature=0.03, per_position=True)), 1, 12),
    "kddcup": (Spec((120,), KDDCUP, memory=MemorySpec(50, temperature=0.1)), 1024, 300),
    "mnist": (Spec((1, 28, 28), *MNIST, MemorySpec(100, temperature=0.03)), 256, 15),
    "cifar10": (Spec((3, 32, 32), *CIFAR10, MemorySpec(500, temperature=0.03)), 64, 15),
}
"""Network, batch and rounds."""


def inference(model: MemAE, x: Tensor) -> Callable[[], object]:
    """Reconstructs a batch as in scoring."""

    def call() -> None:
        model.eval()
        with torch.no_grad():
            model(x)

    return call


def step(model: MemAE, x: Tensor) -> Callable[[], object]:
    """Learns a batch as `memae.training` does."""
    options = Options(epochs=1000, batch_size=len(x))
    run = Run(model, options, "", [])
    return lambda: _learn(run, x, options, 0.0, torch.Generator())


def measure() -> dict[str, Any]:
    """The ratio of MemAE's time to the autoencoder's."""
    figures, cases = {}, {}
    for name, (spec, batch, rounds) in CASES.items():
        x = torch.rand(batch, *spec.shape, generator=torch.Generator().manual_seed(0))
        for way, of in (("inference", inference), ("training", step)):
            variants = {}
            for form, described in (("autoencoder", replace(spec, memory=None)), ("memae", spec)):
                torch.manual_seed(0)
                variants[form] = of(build(described), x)
            times = interleaved(variants, rounds, time.thread_time)
            figures[f"speed/memae_over_ae/{name}/{way}"] = ratio(times["memae"], times["autoencoder"])
            cases[f"{name} {way}"] = {form: timing.as_json() for form, timing in times.items()}
    return {"figures": figures, "cases": cases}
