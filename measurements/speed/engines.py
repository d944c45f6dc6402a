"""Scoring by other engines against eager torch, on one core; the weights do not matter for the time."""

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from measurements.timing import Timing, interleaved, ratio
from memae.engines import Engine, use_engine
from memae.errors import OptionError
from memae.model import MemorySpec, Spec, build
from memae.networks.convolutional import CIFAR10, MNIST, VIDEO
from memae.networks.tabular import KDDCUP
from memae.scoring import Scorer

CASES: dict[str, tuple[Spec, int, int]] = {
    "mnist": (Spec((1, 28, 28), *MNIST, MemorySpec(100, temperature=0.03)), 256, 60),
    "cifar10": (Spec((3, 32, 32), *CIFAR10, MemorySpec(500, temperature=0.03)), 256, 12),
    "kddcup": (Spec((120,), KDDCUP, memory=MemorySpec(50, temperature=0.1)), 1024, 50),
    "video_128": (Spec((1, 16, 128, 128), *VIDEO, MemorySpec(2000, temperature=0.03, per_position=True)), 1, 10),
    "video_256": (Spec((1, 16, 256, 256), *VIDEO, MemorySpec(2000, temperature=0.03, per_position=True)), 1, 16),
}
"""Network, samples scored at once, and rounds."""


def measure() -> dict[str, Any]:
    """Raw samples to scores, with normalisation. "torch" has torch's own layout of images and video."""
    figures, cases = {}, {}
    for name, (spec, batch, rounds) in CASES.items():
        times = compare(spec, batch, rounds)
        cases[name] = {form: timing.as_json() for form, timing in times.items()}
        for form, timing in times.items():
            cases[name][form]["times_faster"] = round(times["torch"].minimum / timing.minimum, 3)
        best = min(times.values(), key=lambda timing: timing.minimum)
        kind = "best_f32_engine" if name.startswith("video") else "best_engine"
        figures[f"speed/{name}_scored/{kind}_vs_eager"] = ratio(times["torch"], best)
    return {"figures": figures, "cases": cases}


def compare(spec: Spec, batch: int, rounds: int) -> dict[str, Timing]:
    """Times of one network by each engine that takes it."""
    torch.manual_seed(0)
    table = len(spec.shape) == 1
    model = build(spec).to(torch.float64 if table else torch.float32).eval()
    scorer = Scorer(model, torch.tensor(0.0), torch.tensor(1.0 if table else 255.0), chunk=batch).eval()
    raw = torch.rand(batch, *spec.shape) if table else torch.randint(0, 256, (batch, *spec.shape), dtype=torch.uint8)
    plain = copy.deepcopy(scorer)
    plain.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    variants = {"torch": scoring(plain, raw)}
    if not table:
        variants["torch, channels last"] = scoring(scorer, raw)
    engines: tuple[Engine, ...] = ("onnxruntime", "openvino")
    for engine in engines:
        other = copy.deepcopy(scorer)
        try:
            use_engine(other, spec.shape, engine)
        except OptionError:  # OpenVINO takes no tables
            continue
        variants[engine] = scoring(other, raw)
    return interleaved(variants, rounds, time.process_time)


def scoring(scorer: Scorer, raw: Tensor) -> Callable[[], object]:
    """Scores one batch."""

    def call() -> None:
        for _ in scorer.batched([raw], reasons=False):
            pass

    return call
