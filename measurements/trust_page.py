"""Renders docs/trust.md from what `python -m measurements calibration` has recorded."""

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
        "commit, versions and machine. Inside the band, over all sets, rates and splits of samples: "
        f"**{share['value']:.1%}** of {share['n']} (target ≥ {TARGET:.0%}). "
        "No anomaly takes part in any of it, and no label but to take normal data."
    )
    yield from _promise()
    yield from _simulation(found["simulation"])
    yield from _real({name: found[name] for name in TITLES})
    yield from _video(found["ped2"])
    yield from _own({name: found[name] for name in TITLES})
    yield from hostile_files()


def _promise() -> Iterator[str]:
    yield "\n## What is promised\n"
    yield (
        "The threshold for a false-alarm rate α is the ⌊α (n + 1)⌋-th highest of n held-out normal scores. If new "
        "normal samples are **exchangeable** with the held-out ones (any order of all of them would be as likely as "
        "any other), a new one exceeds it with a probability of at most α: over all samples *and all drawings of the "
        "held-out ones*. For one drawing, the rate that comes varies; the number of alarms among m new samples is "
        "beta-binomial, whatever the scores look like, where no two are equal. Its 95 % interval is the *band* "
        "(`memae.scoring.drift.promised_band`): it gets narrower with n and m, and with 100 held-out scores is wide."
    )


def _simulation(found: dict[str, Any]) -> Iterator[str]:
    yield "\n## Simulation\n"
    yield f"Scores of a known distribution (exponential), {ROUNDS} drawings of both parts for each line.\n"
    yield "| held-out scores | new samples | promised | realised, mean | 95 % band | inside |"
    yield "|--:|--:|--:|--:|--:|--:|"
    for name, row in sorted(found["rows"].items(), key=lambda each: [float(word) for word in each[0].split()]):
        held_out, samples, rate = name.split()
        band = f"{row['low']:.1%} – {row['high']:.1%}"
        yield f"| {held_out} | {samples} | {float(rate):.0%} | {row['realised']:.2%} | {band} | {row['inside']:.1%} |"
    yield ""
    yield (
        "A band of counts holds a little more than 95 %, since counts are whole numbers. "
        "*False discoveries*: among what `discoveries` names at a rate of 10 % in batches of 950 normal samples and "
        f"50 anomalies, {found['false']:.1%} are normal, and {found['power']:.0%} of the anomalies are named."
    )
    follow = found["follow"]
    yield (
        f"\n*Scores that follow each other*, each correlated by {MEMORY} with the one before, as those of frames are: "
        f"taken as independent, the realised rate lies in its band in {follow['independent']:.0%} of the rounds; "
        "counted as fewer by their correlation time, as `drift` does for video, in "
        f"{follow['counted as fewer']:.0%}."
    )


def _real(found: dict[str, Any]) -> Iterator[str]:
    yield "\n## Real data\n"
    yield (
        f"A detector is trained once a set. Of the normal scores that it was not trained on, a random half sets the "
        f"threshold and the other half is judged, {SPLITS} times.\n"
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
        "*Like*: what `drift` says of the halves. Splits at random make them exchangeable by construction: this shows "
        "that thresholds, p-values and band are computed right on real scores, with their ties and tails. That "
        "tomorrow's samples are like these it cannot show."
    )


def _of(each: list[float]) -> str:
    return f"{sum(each):.0f} of {len(each)}"


def _video(record: dict[str, Any]) -> Iterator[str]:
    naive, fewer = (record["ways"][way] for way in ("videos", "videos, counted as fewer"))
    most = f"{max(RATES):g}"
    realised = naive[most]["realised"]
    yield "\n## Video: frames are not independent\n"
    yield (
        "Frames of one video are alike: its people, its light. Split by frame, both halves hold frames of the same "
        "videos, and the promise holds. Split by video, as in use, the exchangeable things are videos, of which there "
        f"are few: at a promised {float(most):.0%}, the share of flagged frames lay between {min(realised):.0%} and "
        f"{max(realised):.0%}. The band for independent samples is then far too narrow "
        f"({_of([each for row in naive.values() for each in row['inside']])} inside). "
        f"By its correlation time, a half of about {naive[most]['samples']} frames is worth "
        f"{fewer[most]['independent']:.0f} independent ones; the band for so many is wide, and honest: "
        f"{_of([each for row in fewer.values() for each in row['inside']])} inside."
    )
    yield ""
    yield (
        "So for a camera, the false-alarm rate of a model is known roughly unless many videos, of different hours, "
        "were held out. Collect normal hours, look at `memae drift`, and `recalibrate` with them."
    )


def _own(found: dict[str, Any]) -> Iterator[str]:
    yield "\n## What `fit` itself promises\n"
    yield (
        "`fit` holds out a tenth of its data, which also chooses the epoch, and calibrates on it. The same detectors, "
        "with that calibration, on normal data that came from elsewhere: what was left of the training part, and the "
        "publisher's test part.\n"
    )
    yield "| data | normal data of | held-out scores | promised | realised | band | drift check |"
    yield "|---|---|--:|--:|--:|--:|---|"
    for name, record in found.items():
        for part, rates in record["own"].items():
            for row in rates.values():
                yield (
                    f"| {TITLES[name]} | {part} | {row['held_out']} | {row['promised']:.2%} | {row['realised']:.2%} | "
                    f"{row['low']:.1%} – {row['high']:.1%} | {VERDICTS[row['verdict']]} |"
                )
    yield ""
    yield "Bands of video count frames as fewer; for the highest of few scores they say little."
