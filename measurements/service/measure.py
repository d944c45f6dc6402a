"""Measures the service on one table: at saturation, at half of that rate, and in overload at three times the rate."""

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from measurements.service.load import Load, offered
from measurements.service.page import shown
from measurements.service.process import CLIENTS, Running, Table, fitted, saturated, serving
from recording import records
from recording.records import figure

DATA = ("kddcup", "breast_cancer")
MINUTES = 300.0
"""Seconds that count; what runs for less is a trial."""
WARM = 0.1
"""Share of the time that is warm-up."""
SHORTEST = 5.0
"""Seconds without which there are too few answers to count."""
OVERLOAD = 3.0
CROWD = 512
"""Connections in overload: more than the service takes at once."""
SLOW = 0.1
"""Seconds within which a refusal must come; a service has recovered when all answers come within them."""
MAIN = "kddcup"
"""The table whose figures have no name of their own."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose duration and tables."""
    parser.add_argument("--seconds", type=float, default=MINUTES, help="of saturation and of half of it, each")
    parser.add_argument("--data", choices=DATA, nargs="+", default=list(DATA), help="tables, one after another")


def measure(arguments: argparse.Namespace) -> None:
    """Measures, prints and records; runs of less than five minutes are only printed."""
    for data in arguments.data:
        with tempfile.TemporaryDirectory() as folder:
            found = measured(data, arguments.seconds, Path(folder))
        sys.stdout.write("\n".join(shown({data: found})) + "\n")
        if arguments.seconds >= MINUTES:
            records.save("service", data, found)


def measured(data: str, seconds: float, folder: Path) -> dict[str, Any]:
    """All figures of one table.

    Args:
        data: which.
        seconds: of saturation and of half of it, each; the others take a fifth.
        folder: for the model.
    """
    table = fitted(data, folder)
    sys.stderr.write(f"service, {data}: one request a batch\n")
    with serving(table, "--max-batch", "1") as service:
        saturated(service.score, table.body, seconds * WARM)
        single = saturated(service.score, table.body, max(seconds / 5, SHORTEST))
    with serving(table) as service:
        sys.stderr.write("service: saturation\n")
        saturated(service.score, table.body, seconds * WARM)
        with _memory(service, seconds) as held, _batches(service) as batches:
            most = saturated(service.score, table.body, seconds)
        sys.stderr.write(f"service: half of {most.requests_a_second:.0f} requests a second\n")
        with _memory(service, seconds) as held_at_half:
            half = offered(service.score, table.body, most.requests_a_second / 2, seconds, CLIENTS)
        over, after = _overloaded(service, table, most.requests_a_second, seconds)
    end = "" if data == MAIN else f"/{data}"
    return {
        "figures": {
            f"service/errors{end}": figure(most.errors + _errors(half)),
            f"service/p99_ms_at_half_saturation{end}": figure(_p99(half.waited) * 1e3),
            f"service/batching_gain{end}": figure(most.requests_a_second / single.requests_a_second),
        },
        "seconds": seconds,
        "clients": CLIENTS,
        "saturation": {**most._asdict(), "samples_a_batch": batches[0]},
        "one_request_a_batch": single._asdict(),
        "half": {
            "requests": len(half.status),
            "median_ms": float(np.median(half.waited)) * 1e3,
            "most_ms": _most(half) * 1e3,
        },
        "memory_mib": {"saturation": held, "half": held_at_half},
        "overload": _of_overload(over, after),
    }


def _of_overload(over: Load, after: Load) -> dict[str, Any]:
    """What became of the requests, and when the service has recovered."""
    refusals = over.took[over.status != 200]
    return {
        "requests": len(over.status),
        "accepted": int((over.status == 200).sum()),
        "refused": int(np.isin(over.status, (429, 503)).sum()),
        "otherwise": int((~np.isin(over.status, (200, 429, 503))).sum()) + over.unanswered,
        "refusal_p99_ms": _p99(refusals) * 1e3,
        "refusal_most_ms": float(refusals.max(initial=0)) * 1e3,
        "recovered_after_seconds": _recovered(after),
    }


def _overloaded(service: Running, table: Table, most: float, seconds: float) -> tuple[Load, Load]:
    sys.stderr.write("service: three times as much, and half again\n")
    over = offered(service.score, table.body, OVERLOAD * most, seconds / 5, CROWD)
    return over, offered(service.score, table.body, most / 2, max(seconds / 20, SHORTEST), CLIENTS, seed=1)


def _errors(load: Load) -> int:
    return int((load.status != 200).sum()) + load.unanswered


def _p99(seconds: "np.ndarray[Any, Any]") -> float:
    return float(np.quantile(seconds, 0.99)) if len(seconds) else 0.0


def _most(load: Load) -> float:
    return float(load.waited.max(initial=0))


def _recovered(after: Load) -> float:
    """Seconds after the overload until all requests are answered with scores in time."""
    bad = (after.status != 200) | (after.waited > SLOW)
    return float((after.due + after.waited)[bad].max(initial=0))


@contextmanager
def _memory(service: Running, seconds: float) -> Iterator[list[float]]:
    """MiB that the service holds at the start, after each quarter of the time, and at the end."""
    held = [round(service.memory, 1)]
    over = threading.Event()

    def look() -> None:
        while not over.wait(seconds / 4) and len(held) < 4:
            held.append(round(service.memory, 1))

    thread = threading.Thread(target=look)
    thread.start()
    yield held
    over.set()
    thread.join()
    held.append(round(service.memory, 1))


@contextmanager
def _batches(service: Running) -> Iterator[list[float]]:
    """The mean size of the batches that are computed while the block runs."""
    names = ("memae_batch_samples_sum", "memae_batch_samples_count")
    before = [service.metric(name) for name in names]
    found: list[float] = []
    yield found
    samples, count = (service.metric(name) - past for name, past in zip(names, before, strict=True))
    found.append(samples / max(count, 1))
