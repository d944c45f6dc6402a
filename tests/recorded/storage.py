"""Results as JSON and back: floats exactly, large arrays by a digest, their sums and a few of their elements."""

import hashlib
import json
import math
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent
WHOLE = 128
"""Elements up to which an array is kept whole."""
SUMS = 16
"""Samples whose sums are kept of a larger one, at most."""


def machine() -> dict[str, Any]:
    """What the last bits of a training depend on."""
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "architecture": platform.machine(),
    }


def packed(value: Any) -> Any:
    """A result as JSON-ready data; arrays say what they are."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {name: packed(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [packed(each) for each in value]
    return value


def _array(value: np.ndarray[Any, Any]) -> dict[str, Any]:
    form = {"dtype": str(value.dtype), "shape": list(value.shape)}
    if value.size <= WHOLE and value.dtype != np.uint8:
        return form | {"values": _numbers(value.ravel())}
    rows = value.reshape(len(value), -1)
    wanted = np.linspace(0, len(rows) - 1, min(len(rows), SUMS if value.ndim > 3 else 1)).astype(int)
    return form | {
        "sha256": hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest(),
        "sums": [math.fsum(row.tolist()) for row in rows[wanted]],
        "some": _numbers(value.ravel()[np.linspace(0, value.size - 1, 7).astype(int)]),
    }


def _numbers(values: np.ndarray[Any, Any]) -> list[Any]:
    """Numbers in as few digits as tell them apart: of float32 fewer than of float64."""
    return [float(str(each)) for each in values] if values.dtype == np.float32 else values.tolist()


def write(name: str, results: dict[str, Any]) -> None:
    """Keeps the results of a case, and what they were recorded with."""
    whole = {"machine": machine()} | packed(results)
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in whole.items()]
    path(name).write_text("{\n" + ",\n".join(lines) + "\n}\n")


def read(name: str) -> dict[str, Any]:
    """What was kept of a case."""
    found: dict[str, Any] = json.loads(path(name).read_text())
    return found


def path(name: str) -> Path:
    """Where the results of a case are kept."""
    return FOLDER / f"{name}.json"


def differences(kept: Any, found: Any, tolerance: float, at: str) -> list[str]:
    """Where packed results differ by more than a share of the largest number of an array; 0 is bit for bit."""
    if isinstance(kept, dict) and "dtype" in kept and isinstance(found, dict):
        return _of_arrays(kept, found, tolerance, at)
    if isinstance(kept, dict) and isinstance(found, dict) and kept.keys() == found.keys():
        return [each for name in kept for each in differences(kept[name], found[name], tolerance, f"{at}.{name}")]
    if isinstance(kept, list) and isinstance(found, list) and len(kept) == len(found):
        if all(isinstance(each, int | float) for each in [*kept, *found]):
            return _of_numbers(kept, found, tolerance, at)
        pairs = enumerate(zip(kept, found, strict=True))
        return [each for place, (a, b) in pairs for each in differences(a, b, tolerance, f"{at}[{place}]")]
    if isinstance(kept, float) and isinstance(found, float):
        return _of_numbers([kept], [found], tolerance, at)
    same = type(kept) is type(found) and kept == found
    return [] if same else [f"{at}: {str(kept)[:200]} was recorded, now {str(found)[:200]}"]


def _of_arrays(kept: dict[str, Any], found: dict[str, Any], tolerance: float, at: str) -> list[str]:
    for name in ("dtype", "shape"):
        if kept[name] != found.get(name):
            return [f"{at}: {name} {kept[name]} was recorded, now {found.get(name)}"]
    if "values" in kept:
        return _of_numbers(kept["values"], found["values"], tolerance, at)
    wrong = [each for name in ("sums", "some") for each in _of_numbers(kept[name], found[name], tolerance, at)]
    return wrong or ([] if tolerance or kept["sha256"] == found["sha256"] else [f"{at}: some of its bytes are others"])


def _of_numbers(kept: list[float], found: list[float], tolerance: float, at: str) -> list[str]:
    a, b = (np.asarray(each, dtype=np.float64) for each in (kept, found))
    most = float(np.abs(a[np.isfinite(a)]).max(initial=0.0))
    if np.allclose(b, a, rtol=0, atol=tolerance * most, equal_nan=True):
        return []
    place = int(np.nanargmax(np.where(a == b, 0.0, np.abs(a - b))))
    return [f"{at}[{place}]: {kept[place]!r} was recorded, now {found[place]!r} (largest number {most!r})"]
