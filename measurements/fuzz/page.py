"""The section of docs/trust.md on hostile files, from what `python -m measurements fuzz` has recorded."""

from collections.abc import Iterator
from typing import Any

from measurements.fuzz.campaign import TARGETS
from recording import records

ABOUT = {
    "images": "PNG, JPEG, BMP, TIFF in all modes and depths, WebP, GIF, JPEG 2000, AVIF, PNM; others, refused; bombs",
    "csv": "cells, names, rows, dialects, encodings; bytes; huge fields and headers",
    "parquet": "every type of Arrow, nested ones too, all compressions; bytes; bombs",
    "video": "MP4, MOV, AVI, MKV, WebM, MPEG, WMV with ten codecs: boxes and bytes; huge frames",
    "model_files": "header and tensors changed under a checksum that fits; bytes",
}


def section() -> Iterator[str]:
    """Nothing where nothing is recorded."""
    found = records.read(records.RESULTS / "fuzz.json").get("fuzz")
    if found is not None:
        yield from _lines(found)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    inputs, failures = (int(found["figures"][key]["value"]) for key in TARGETS)
    origin = found["provenance"]
    yield "\n## Hostile files\n"
    yield (
        f"`{origin['command']}` (commit {origin['commit']}) tried **{inputs:,}** inputs: **{failures}** failures "
        "(target: 0 of 100,000). Valid files of every kind are corrupted, in their bytes and in their structure, and "
        "passed to the functions behind `fit`, `score`, `evaluate`, `watch` and `inspect`, in separate processes. "
        "A failure is an error that is not one of memae's, a crash, more than 10 s of core time, more than 2 GiB of "
        "additional memory, or any output on stderr that is not memae's.\n"
    )
    yield "| format | inputs | taken | failures | s of a core | slowest input | memory, at most | what is tried |"
    yield "|---|--:|--:|--:|--:|--:|--:|---|"
    for name, each in found["formats"].items():
        yield (
            f"| {name.replace('_', ' ')} | {each['inputs']:,} | {each['taken'] / max(each['inputs'], 1):.0%} | "
            f"{sum(each['kinds'].values())} | {each['seconds']:.0f} | {each['slowest']:.1f} s | "
            f"{each['peak_mib']:.0f} MiB | {ABOUT[name]} |"
        )
    yield ""
    yield (
        "*Taken*: at least one of the functions read the input to its end; the others were refused with an error of "
        "one sentence. `tests/test_fuzz.py` holds the inputs that failed during development."
    )
