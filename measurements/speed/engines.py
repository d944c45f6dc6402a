"""Scoring by other engines against eager torch, on one core."""

import time
from typing import Any

import torch

from measurements.speed.networks import SPECS, by_engine, in_torchs_layout, scorer_of, scoring
from measurements.timing import Timing, interleaved, ratio
from memae.engines.runtimes import Engine
from memae.errors import OptionError
from memae.spec import Spec

CASES = {"mnist": (256, 60), "cifar10": (256, 12), "kddcup": (1024, 50), "video_128": (1, 10), "video_256": (1, 16)}
"""Network → samples scored at once, and rounds."""


def measure() -> dict[str, Any]:
    """Raw samples to scores, with normalisation. "torch" has torch's own layout of images and video."""
    figures, cases = {}, {}
    for name, (batch, rounds) in CASES.items():
        times = compare(SPECS[name], batch, rounds)
        cases[name] = {form: timing.as_json() for form, timing in times.items()}
        for form, timing in times.items():
            cases[name][form]["times_faster"] = round(times["torch"].minimum / timing.minimum, 3)
        best = min(times.values(), key=lambda timing: timing.minimum)
        kind = "best_f32_engine" if name.startswith("video") else "best_engine"
        figures[f"speed/{name}_scored/{kind}_vs_eager"] = ratio(times["torch"], best)
    return {"figures": figures, "cases": cases}


def compare(spec: Spec, batch: int, rounds: int) -> dict[str, Timing]:
    """Times of one network by each engine that takes it."""
    scorer = scorer_of(spec, batch)
    rows = len(spec.shape) == 1
    shape = (batch, *spec.shape)
    raw = torch.rand(shape) if rows else torch.randint(0, 256, shape, dtype=torch.uint8)
    variants = {"torch": scoring(in_torchs_layout(scorer), [raw])}
    if not rows:
        variants["torch, channels last"] = scoring(scorer, [raw])
    engines: tuple[Engine, ...] = ("onnxruntime", "openvino")
    for engine in engines:
        try:
            variants[engine] = scoring(by_engine(scorer, spec, engine), [raw])
        except OptionError:  # OpenVINO takes no tables
            continue
    return interleaved(variants, rounds, time.process_time)
