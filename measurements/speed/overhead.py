"""Overhead of the memory: the same network with and without it, in scoring and in a training step."""

import time
from typing import Any

import torch

from measurements.speed.networks import SPECS, built, inference, step, without_memory
from measurements.timing import interleaved, ratio

CASES = {"video_256": (1, 12), "kddcup": (1024, 300), "mnist": (256, 15), "cifar10": (64, 15)}
"""Network → batch and rounds."""


def measure() -> dict[str, Any]:
    """The ratio of MemAE's time to the autoencoder's."""
    figures, cases = {}, {}
    for name, (batch, rounds) in CASES.items():
        spec = SPECS[name]
        x = torch.rand(batch, *spec.shape, generator=torch.Generator().manual_seed(0))
        for way, of in (("inference", inference), ("training", step)):
            variants = {"autoencoder": of(built(without_memory(spec)), x), "memae": of(built(spec), x)}
            times = interleaved(variants, rounds, time.thread_time)
            figures[f"speed/memae_over_ae/{name}/{way}"] = ratio(times["memae"], times["autoencoder"])
            cases[f"{name} {way}"] = {form: timing.as_json() for form, timing in times.items()}
    return {"figures": figures, "cases": cases}
