"""How well a false-alarm rate is kept, simulated and on held-out normal data, rendered to docs/trust.md."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from memae import ImageMemAE, TabularMemAE, VideoMemAE
from memae.scoring import Floats
from memae.scoring.calibration import Calibration, discoveries
from memae.scoring.drift import Drift, drift
from recording import records
from recording.records import figure, over
from reproduction.datasets import kddcup, mnist
from reproduction.video_sets import video_set

KEY = "calibration/false_alarm_rate/share_inside_band"
TARGET = 0.9
RATES = (0.01, 0.05)
SPLITS = 20
ROUNDS, BATCHES, SERIES = 2000, 500, 300
"""Rounds of the simulation: of independent scores, of batches with anomalies, of correlated scores."""
MEMORY = 0.95
"""Correlation of a simulated score with the one before it: a correlation time of 39 scores."""


class Held(NamedTuple):
    """Scores of normal data that a detector was not trained on."""

    scores: Floats
    group: NDArray[np.int64]  # what is split as a whole: the video of a frame, or the sample itself
    own: Calibration  # on the samples that `fit` held out
    later: Floats  # normal scores of the publisher's test part; empty if there is none
    seconds: float  # to fit and score


# ------------------------------------------------------------------------------------------------------ the detectors


def of_kddcup() -> Held:
    """A model of 10,000 rows of the protocol's normal class, and scores of 20,000 others."""
    start = time.perf_counter()
    table = kddcup()
    normal = table[table.pop("label") == 0].sample(30_000, random_state=0)
    detector = TabularMemAE().fit(normal[:10_000])
    scores = detector.anomaly_score(normal[10_000:])
    return Held(scores, np.arange(len(scores)), detector.calibration_, np.zeros(0), time.perf_counter() - start)


def of_mnist() -> Held:
    """A model of 2,000 training images of an 8, and scores of the others; the test images are by other writers."""
    start = time.perf_counter()
    images = mnist()
    training = images.pixels[:60_000][images.labels[:60_000] == 8]
    detector = ImageMemAE(epochs=10).fit(training[:2000])
    scores, later = (
        detector.anomaly_score(part) for part in (training[2000:], images.pixels[60_000:][images.labels[60_000:] == 8])
    )
    return Held(scores, np.arange(len(scores)), detector.calibration_, later, time.perf_counter() - start)


def of_ped2() -> Held:
    """A model of every second training video of Ped2; scores of the others, and of normal test frames."""
    start = time.perf_counter()
    videos = video_set("ped2")
    detector = VideoMemAE().fit(videos.training[::2])
    held = [detector.anomaly_score(video) for video in videos.training[1::2]]
    near = detector.smooth // 2 + max(detector.length, detector.step_)  # frames that a score may also look at
    later = [
        detector.anomaly_score(video)[~np.convolve(videos.labels(number), np.ones(2 * near + 1), "same").astype(bool)]
        for number, video in enumerate(videos.test)
    ]
    group = np.repeat(np.arange(len(held)), [len(scores) for scores in held])
    seconds = time.perf_counter() - start
    return Held(np.concatenate(held), group, detector.calibration_, np.concatenate(later), seconds)


# --------------------------------------------------------------------------------------------------------- the splits


def halves(group: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which samples calibrate: a random half of the groups."""
    names = np.random.default_rng(seed).permutation(np.unique(group))
    return np.isin(group, names[: len(names) // 2])


def drifts(held: Floats, group: NDArray[np.int64], rate: float, *, correlated: bool = False) -> list[Drift]:
    """For each split, the drift check of one half against the threshold that the other half sets."""
    found = []
    for seed in range(SPLITS):
        one = halves(group, seed)
        calibration = Calibration(torch.from_numpy(held[one]), rate)
        found.append(drift(calibration, torch.from_numpy(held[~one]), correlated=correlated))
    return found


def inside(found: Drift) -> float:
    """1 where the realised rate lies in its band."""
    return float(found.low <= found.realised <= found.high)


def summed(found: Sequence[Drift]) -> dict[str, Any]:
    """Summary of the splits at one rate, for the page."""
    return {
        "promised": float(np.mean([each.promised for each in found])),
        "realised": [each.realised for each in found],
        "band": [float(np.mean([getattr(each, end) for each in found])) for end in ("low", "high")],
        "inside": [inside(each) for each in found],
        "like": [float(each.verdict == "like") for each in found],
        "samples": found[0].samples,
        "independent": float(np.mean([each.independent for each in found])),
    }


def measured(name: str, held: Held) -> dict[str, Any]:
    """The record of a data set: splits of samples, for video also of whole videos, and `fit`'s own promise."""
    alone = np.arange(len(held.scores))
    ways = {"samples": {f"{rate:g}": summed(drifts(held.scores, alone, rate)) for rate in RATES}}
    if len(np.unique(held.group)) < len(alone):
        for way, correlated in (("videos", False), ("videos, counted as fewer", True)):
            found = {f"{rate:g}": drifts(held.scores, held.group, rate, correlated=correlated) for rate in RATES}
            ways[way] = {rate: summed(each) for rate, each in found.items()}
    figures = {
        f"calibration/{name}/{way.replace(', ', '_').replace(' ', '_')}/share_inside_band": figure(
            *over([each for rate in by_rate.values() for each in rate["inside"]])
        )
        for way, by_rate in ways.items()
    }
    correlated = len(ways) > 1
    own = {
        part: {f"{rate:g}": _verdict(held.own, rate, scores, correlated) for rate in RATES}
        for part, scores in (("others of the training part", held.scores), ("the test part", held.later))
        if len(scores)
    }
    return {"figures": figures, "ways": ways, "own": own, "seconds": held.seconds}


def _verdict(own: Calibration, rate: float, scores: Floats, correlated: bool) -> dict[str, Any]:
    """The rate that `fit` promised, the realised one, and the verdict of the drift check."""
    found = drift(Calibration(own.scores, rate), torch.from_numpy(scores), correlated=correlated)
    return {"held_out": len(own.scores), "realised": found.realised, "low": found.low, "high": found.high} | {
        "promised": found.promised,
        "verdict": found.verdict,
        "sentence": found.sentence,
    }


# ------------------------------------------------------------------------------------------------------ the simulation


def simulated() -> dict[str, Any]:
    """Simulated scores: how often the realised rate lies in its band, and the share of false discoveries."""
    random = np.random.default_rng(0)
    rows = {}
    for held_out, samples in ((99, 100), (400, 400), (1000, 1000), (1000, 10_000)):
        for rate in RATES:
            rows[f"{held_out} {samples} {rate:g}"] = _covered(random, held_out, samples, rate)
    false, power = _false_discoveries(random)
    follow = {way: _following(correlated) for way, correlated in (("independent", False), ("counted as fewer", True))}
    figures = {
        "calibration/simulation/share_inside_band": figure(float(np.mean([row["inside"] for row in rows.values()]))),
        "calibration/simulation/false_discovery_rate": figure(*over(false)),
    }
    return {"figures": figures, "rows": rows, "false": float(np.mean(false)), "power": power, "follow": follow}


def _covered(random: np.random.Generator, held_out: int, samples: int, rate: float) -> dict[str, float]:
    shares, low, high = [], 0.0, 0.0
    for number in range(ROUNDS):
        scores = torch.from_numpy(random.exponential(size=held_out + samples))
        calibration = Calibration(scores[:held_out], rate)
        if number == 0:  # the band depends on numbers alone
            first = drift(calibration, scores[held_out:])
            low, high = first.low, first.high
        shares.append(float((scores[held_out:] > calibration.threshold()).double().mean()))
    found = np.array(shares)
    return {"low": low, "high": high, "realised": float(found.mean())} | {
        "inside": float(((low <= found) & (found <= high)).mean())
    }


def _false_discoveries(random: np.random.Generator) -> tuple[list[float], float]:
    """Share of false discoveries at a rate of 0.1, and share of the anomalies found, which are 5 % of all samples."""
    false, power = [], []
    for _ in range(BATCHES):
        calibration = Calibration(torch.from_numpy(random.normal(size=1000)))
        scores = np.concatenate([random.normal(size=950), random.normal(4, 1, size=50)])
        found = discoveries(calibration.p_value(torch.from_numpy(scores)), 0.1).numpy()
        false.append(float(found[:950].sum() / max(found.sum(), 1)))
        power.append(float(found[950:].mean()))
    return false, float(np.mean(power))


def _following(correlated: bool) -> float:
    """Share of rounds in which the realised rate of correlated scores lies in its band, at a rate of 5 %."""
    random = np.random.default_rng(1)
    rounds = [
        inside(
            drift(
                Calibration(torch.from_numpy(_series(random, 1000)), 0.05),
                torch.from_numpy(_series(random, 1000)),
                correlated=correlated,
            )
        )
        for _ in range(SERIES)
    ]
    return float(np.mean(rounds))


def _series(random: np.random.Generator, count: int) -> Floats:
    noise = random.normal(size=count + 300) * np.sqrt(1 - MEMORY**2)
    found = np.zeros(count + 300)
    for index in range(1, len(found)):
        found[index] = MEMORY * found[index - 1] + noise[index]
    return found[300:]


# -------------------------------------------------------------------------------------------------------------- running

DETECTORS: dict[str, Callable[[], Held]] = {"kddcup": of_kddcup, "mnist": of_mnist, "ped2": of_ped2}
PARTS = ("simulation", *DETECTORS)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the option that chooses parts."""
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))


def measure(arguments: argparse.Namespace) -> None:
    """Trains a small detector per data set, evaluates 20 splits each, runs the simulation, and records the results."""
    torch.set_num_threads(1)
    for part in arguments.only:
        sys.stderr.write(f"calibration: {part}\n")
        records.save("calibration", part, measured(part, DETECTORS[part]()) if part in DETECTORS else simulated())
    found = records.read(records.RESULTS / "calibration.json")
    if set(PARTS) <= set(found):
        every = [
            each for part in DETECTORS for rate in found[part]["ways"]["samples"].values() for each in rate["inside"]
        ]
        records.save("calibration", "together", {"figures": {KEY: figure(*over(every))}})
