"""Renders docs/parity.md from its record."""

from collections.abc import Iterator
from typing import Any

from measurements.parity.surfaces import SURFACES
from recording import records

PAGE = records.ROOT / "docs" / "parity.md"
KEY = "parity/largest_relative_difference"
TARGET = 1e-5
TITLES = {"kddcup": "KDDCUP99, rows", "mnist": "MNIST, images", "ped2": "UCSD Ped2, frames"}


def render() -> None:
    """Writes the page."""
    found = records.read(records.RESULTS / "parity.json")
    PAGE.write_text("\n".join(_lines(found)) + "\n", encoding="utf-8")


def _lines(found: dict[str, Any]) -> Iterator[str]:
    cases = [found[name] for name in TITLES]
    yield "# The same sample, the same score"
    yield ""
    yield (
        "Rendered by `python -m measurements parity` from `benchmarks/results/parity.json`, which has commit, versions "
        "and machine. A small detector is trained for each data set; the same new samples are then scored on every "
        "surface. Largest relative difference of a score: "
        f"**{found['together']['figures'][KEY]['value']:.1e}** (target ≤ {TARGET:.0e})."
    )
    yield ""
    yield "| | " + " | ".join(TITLES.values()) + " |"
    yield "|---|" + "--:|" * len(TITLES)
    yield "| samples, of them alarms | " + " | ".join(f"{case['samples']}, {case['alarms']}" for case in cases) + " |"
    measured = {name for case in cases for known in (case["relative_difference"], case["refused"]) for name in known}
    for surface in (name for name in SURFACES if name in measured):
        yield f"| {surface} | " + " | ".join(_cell(case, surface) for case in cases) + " |"
    yield ""
    yield (
        "Each score is compared with that of the estimator in Python on arrays or a DataFrame: the difference divided "
        "by the score (for frames, whose scores have no zero, or by the standard deviation of held-out scores if that "
        "is higher), the largest over all samples; 0 is equality to the last bit. *Other alarms* are samples that only "
        "one of the two flags. HTTP is `memae serve` in a separate process. "
        "[examples/onnx_alone.py](../examples/onnx_alone.py), which imports neither memae nor torch, runs the exported "
        "files; those of OpenVINO use its code for frames. The film is losslessly compressed, since decoders of lossy "
        "formats may differ."
    )
    for case, title in zip(cases, TITLES.values(), strict=True):
        for surface, reason in case["refused"].items():
            yield ""
            yield f"*Refused*: {title}, {surface}: {reason}."


def _cell(case: dict[str, Any], surface: str) -> str:
    if surface in case["refused"]:
        return "refused"
    value, alarms = case["relative_difference"][surface], case["other_alarms"][surface]
    return ("0" if value == 0 else f"{value:.1e}") + (f", {alarms} other alarms" if alarms else "")
