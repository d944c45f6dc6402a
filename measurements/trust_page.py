"""Renders docs/trust.md from the records of `python -m measurements calibration`."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from measurements.calibration import KEY, MEMORY, RATES, ROUNDS, SPLITS, TARGET
from measurements.fuzz.page import section as hostile_files
from recording import records

PAGE = records.ROOT / "docs" / "trust.md"
TITLES = {"kddcup": "KDDCUP99, rows", "mnist": "MNIST, images of an 8", "ped2": "UCSD Ped2, frames"}
WAYS = {
    "samples": "samples at random",
    "videos": "whole videos at random",
    "videos, counted as fewer": "the same, frames counted as fewer",
}
VERDICTS = {"like": "like", "higher": "higher", "lower": "lower", "spread": "spread otherwise"}


def render() -> None:
    """Writes the page; nothing as long as a part has not been measured."""
    found = records.read(records.RESULTS / "calibration.json")
    if not {"simulation", "together", *TITLES} <= set(found):
        return
    PAGE.write_text("\n".join(_lines(found)) + "\n", encoding="utf-8")


def _lines(found: dict[str, Any]) -> Iterator[str]:
    share = found["together"]["figures"][KEY]
    yield "# How far the promises can be trusted"
    yield ""
    yield (
        "Rendered by `python -m measurements calibration` from `benchmarks/results/calibration.json`, which has "
        "commit, versions and machine. Over all data sets, rates and splits by sample, the realised rate lies inside "
        f"its band in **{share['value']:.1%}** of {share['n']} cases (target ≥ {TARGET:.0%}). "
        "No anomaly is used, and labels only to select normal data."
    )
    yield from _promise()
    yield from _simulation(found["simulation"])
    yield from _real({name: found[name] for name in TITLES})
    yield from _video(found["ped2"])
    yield from _own({name: found[name] for name in TITLES})
    yield from hostile_files()
    yield from _networks()


def _promise() -> Iterator[str]:
    yield "\n## What is promised\n"
    yield (
        "The threshold for a false-alarm rate α is the ⌊α (n + 1)⌋-th highest of n held-out normal scores. If new "
        "normal samples are **exchangeable** with the held-out ones (every order of all of them is equally likely), a "
        "new one exceeds it with a probability of at most α, over all samples *and all choices of the held-out ones*. "
        "For one choice, the realised rate varies: the number of alarms among m new samples is beta-binomial, whatever "
        "the distribution of the scores, if no two are equal. Its 95 % interval is the *band* "
        "(`memae.scoring.drift.promised_band`). It narrows with n and m; with 100 held-out scores it is wide."
    )


def _simulation(found: dict[str, Any]) -> Iterator[str]:
    yield "\n## Simulation\n"
    yield f"Scores of a known distribution (exponential), {ROUNDS} samplings of both parts for each line.\n"
    yield "| held-out scores | new samples | promised | realised, mean | 95 % band | inside |"
    yield "|--:|--:|--:|--:|--:|--:|"
    for name, row in sorted(found["rows"].items(), key=lambda each: [float(word) for word in each[0].split()]):
        held_out, samples, rate = name.split()
        band = f"{row['low']:.1%} – {row['high']:.1%}"
        yield f"| {held_out} | {samples} | {float(rate):.0%} | {row['realised']:.2%} | {band} | {row['inside']:.1%} |"
    yield ""
    yield (
        "A band of counts covers a little more than 95 %, since counts are whole numbers. "
        "*False discoveries*: among what `discoveries` names at a rate of 10 % in batches of 950 normal samples and "
        f"50 anomalies, {found['false']:.1%} are normal, and {found['power']:.0%} of the anomalies are named."
    )
    follow = found["follow"]
    yield (
        f"\n*Consecutive scores*, each with a correlation of {MEMORY} to the one before, like those of frames: if they "
        f"are taken as independent, the realised rate lies in its band in {follow['independent']:.0%} of the rounds; "
        "if they count as fewer, by their correlation time, as `drift` does for video, in "
        f"{follow['counted as fewer']:.0%}."
    )


def _real(found: dict[str, Any]) -> Iterator[str]:
    yield "\n## Real data\n"
    yield (
        f"One detector is trained for each data set. Of the scores of normal samples that it was not trained on, a "
        f"random half sets the threshold and the other half is tested, {SPLITS} times.\n"
    )
    yield "| data | split by | half | promised | realised, mean | lowest – highest | band, mean | inside | like |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|"
    for name, record in found.items():
        for way, title in WAYS.items():
            for rate, row in record["ways"].get(way, {}).items():
                realised = row["realised"]
                yield (
                    f"| {TITLES[name]} | {title} | {row['samples']} | {float(rate):.0%} | {np.mean(realised):.2%} | "
                    f"{min(realised):.1%} – {max(realised):.1%} | {row['band'][0]:.1%} – {row['band'][1]:.1%} | "
                    f"{_of(row['inside'])} | {_of(row['like'])} |"
                )
    yield ""
    yield (
        "*Like*: how often `drift` finds the halves alike. Random splits make them exchangeable by construction: this "
        "shows that thresholds, p-values and band are computed correctly on real scores, with their ties and tails. It "
        "cannot show that tomorrow's samples are like these."
    )


def _of(each: list[float]) -> str:
    return f"{sum(each):.0f} of {len(each)}"


def _video(record: dict[str, Any]) -> Iterator[str]:
    naive, fewer = (record["ways"][way] for way in ("videos", "videos, counted as fewer"))
    most = f"{max(RATES):g}"
    realised = naive[most]["realised"]
    yield "\n## Video: frames are not independent\n"
    yield (
        "Frames of one video are alike: they show the same people in the same light. Split by frame, both halves hold "
        "frames of the same videos, and the promise holds. Split by video, as in use, the exchangeable units are "
        f"videos, of which there are few: at a promised {float(most):.0%}, the share of flagged frames lay between "
        f"{min(realised):.0%} and {max(realised):.0%}. The band for independent samples is then far too narrow "
        f"({_of([each for row in naive.values() for each in row['inside']])} inside). "
        f"By its correlation time, a half of about {naive[most]['samples']} frames is worth "
        f"{fewer[most]['independent']:.0f} independent ones. The band for so many is wide, and holds "
        f"{_of([each for row in fewer.values() for each in row['inside']])}; the rest are halves whose videos show "
        "less than those of the other half, which no count of frames tells."
    )
    yield ""
    yield (
        "So for a camera, the false-alarm rate of a model is known only roughly unless many videos, of different "
        "hours, were held out. Collect hours of normal video, look at `memae drift`, and `recalibrate` with them."
    )


def _own(found: dict[str, Any]) -> Iterator[str]:
    yield "\n## What `fit` itself promises\n"
    yield (
        "For images and video, `fit` holds out a tenth of its data, chooses the epoch by it, and calibrates on it (of "
        "fewer than 200 photos with pretrained features, all calibrate, each by a memory that keeps none of its "
        "patches). For tables it calibrates on the training rows, each scored without itself among the kept ones. The "
        "table shows "
        "the same detectors with that calibration on other normal data: the rest of the training part, and the "
        "publisher's test part.\n"
    )
    yield "| data | normal data of | scores | promised | realised | band | drift check |"
    yield "|---|---|--:|--:|--:|--:|---|"
    for name, record in found.items():
        for part, rates in record["own"].items():
            for row in rates.values():
                yield (
                    f"| {TITLES[name]} | {part} | {row['held_out']} | {row['promised']:.2%} | {row['realised']:.2%} | "
                    f"{row['low']:.1%} – {row['high']:.1%} | {VERDICTS[row['verdict']]} |"
                )
    yield ""
    yield "For video, bands count frames as fewer; at a threshold among the highest of few scores they say little."


def _networks() -> Iterator[str]:
    yield "\n## Your own network in a model file\n"
    yield (
        'A detector fitted with `features="dino.onnx"`, or with an `nn.Module`, keeps the network in its model '
        "file: the bytes of an ONNX file, up to 512 MiB, with their sha256 in the header. Reading the model runs no "
        "code: a graph of ONNX is data, a list of operators that ONNX Runtime knows, and it is not even opened "
        "before the first photo is scored. Custom operators are refused by ONNX Runtime itself, and a graph that "
        "names other files with its weights is refused by memae. What remains: ONNX Runtime is written in C++, "
        "hostile graphs were not among the inputs tried above, and a graph can be made so large or so long that it "
        "takes all memory or does not end. Score with the model of a stranger where you would run their other "
        "files, or fit on a network of your own."
    )
