"""Writes what was measured into docs/service.md."""

from collections.abc import Mapping
from typing import Any

from recording import marked, records

PAGE = records.ROOT / "docs" / "service.md"
NAMES = {"kddcup": "KDDCUP99, 41 columns", "breast_cancer": "breast cancer, 30 columns"}


def render() -> None:
    """Replaces what stands between the marks."""
    found = records.read(records.RESULTS / "service.json")
    marked.replace(PAGE, [*shown(found), *_origin(found)] if found else [])


def shown(found: Mapping[str, Any]) -> list[str]:
    """A table of all figures, with a column for each data set."""
    rows = [_column(record) for record in found.values()]
    names = [NAMES[data] for data in found]
    lines = ["| | target | " + " | ".join(names) + " |", "|---|---:|" + "---:|" * len(rows)]
    for what, (_, target) in rows[0].items():
        lines.append(f"| {what} | {target} | " + " | ".join(row[what][0] for row in rows) + " |")
    return lines


def _column(record: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What is measured → its text and its target."""
    figures = {key.split("/")[1]: each["value"] for key, each in record["figures"].items()}
    most, single, half, over = (record[name] for name in ("saturation", "one_request_a_batch", "half", "overload"))
    memory = {name: " → ".join(f"{held[end]:.0f}" for end in (0, -1)) for name, held in record["memory_mib"].items()}
    return {
        "requests a second, maximum": (f"{most['requests_a_second']:,.0f}", ""),
        "samples computed together, mean": (f"{most['samples_a_batch']:.1f}", ""),
        "requests a second, one a batch": (f"{single['requests_a_second']:,.0f}", ""),
        "gain of batches": (f"{figures['batching_gain']:.1f} ×", "≥ 5 ×"),
        "at half of the maximum rate: median": (f"{half['median_ms']:.1f} ms", ""),
        "at half of the maximum rate: 99 % within": (f"{figures['p99_ms_at_half_saturation']:.1f} ms", "≤ 50 ms"),
        "errors, at the maximum and at half": (f"{figures['errors']:.0f}", "0"),
        "memory, start → end, at the maximum": (f"{memory['saturation']} MiB", "flat"),
        "memory, start → end, at half": (f"{memory['half']} MiB", "flat"),
        "at three times the maximum rate: answered with scores": (f"{over['accepted']:,}", ""),
        "refused (429 or 503)": (f"{over['refused']:,}", ""),
        "neither": (f"{over['otherwise']:,}", "0"),
        "99 % of the refusals within": (f"{over['refusal_p99_ms']:.0f} ms", "< 100 ms"),
        "recovered after": (f"{over['recovered_after_seconds']:.1f} s", "≤ 2 s"),
    }


def _origin(found: Mapping[str, Any]) -> list[str]:
    """The provenance of the figures."""
    lines = [""]
    for record in found.values():
        origin = record["provenance"]
        machine = f"{origin['machine']['processor']}, {origin['machine']['cores']} cores"
        when = f"commit {origin['commit']}, {origin['date'][:10]}"
        lines.append(f"`{origin['command']}`, {when}, {machine}, load {origin['load'][0]}.")
    return lines
