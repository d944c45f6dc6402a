"""Memory of addressing beyond its input, forwards and backwards, measured in a separate process for each form."""

import multiprocessing
import resource
from typing import Any

import torch

from measurements.speed.addressing import ours, training
from measurements.speed.literal import as_the_authors, literal
from memae.memory import Memory
from recording.records import figure

QUERIES, ITEMS, CHANNELS = 32_768, 2000, 256
FORMS = {"kernel": ours, "literal": literal, "authors": as_the_authors}


def measure() -> dict[str, Any]:
    """Peak of the resident memory above its value before, in MiB."""
    fresh = multiprocessing.get_context("spawn")
    peaks = {}
    for name in FORMS:
        with fresh.Pool(1) as pool:
            peaks[name] = pool.apply(peak, (name,))
    key = "speed/address_training/peak_memory_vs_literal"
    return {"figures": {key: figure(peaks["kernel"] / peaks["literal"])}, "extra_mib": peaks}


def peak(name: str) -> float:
    """MiB beyond input, gradient and all that is loaded."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    memory = Memory(ITEMS, CHANNELS, temperature=0.1)
    z, to_read = torch.randn(QUERIES, CHANNELS), torch.randn(QUERIES, CHANNELS)
    training(FORMS[name], memory, z[:64], to_read[:64])()  # loads what is loaded late
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    training(FORMS[name], memory, z, to_read)()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
