"""The load that the service is measured with, and the page that is written of it."""

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.goods import table

from measurements.service import page
from measurements.service.load import offered
from measurements.service.process import Rate, read
from memae import TabularMemAE
from memae.service.app import Service
from memae.service.limits import Limits
from memae.service.server import Server, bound
from recording import records

WRK = """Running 5s test @ http://127.0.0.1:1/score
  1 threads and 64 connections
  Latency Distribution
     50%   12.00ms
     99%  {p99}
  4711 requests in 5.00s, 1.00MB read
{errors}Requests/sec:    942.20
"""


def test_what_wrk_prints_is_read() -> None:
    assert read(WRK.format(p99="34.50ms", errors="")) == Rate(942.2, 34.5, 0)
    errors = "  Socket errors: connect 0, read 1, write 2, timeout 3\n  Non-2xx or 3xx responses: 7\n"
    assert read(WRK.format(p99="1.20s", errors=errors)) == Rate(942.2, 1200.0, 13)
    with pytest.raises(SystemExit, match="no figures"):
        read("unable to connect")


def test_requests_are_offered_at_a_rate() -> None:
    service = Service({"t": TabularMemAE(8, epochs=4, kept_samples=0).fit(table(200))}, limits=Limits(requests=3))
    listening = bound("127.0.0.1", 0, None)
    thread = threading.Thread(target=Server(service, Limits()).serve_on, args=(listening,))
    thread.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/score"
    body = json.dumps({"rows": [[1, 2, "a"]]}).encode()
    load = offered(address, body, rate=100, seconds=0.5, connections=2)
    assert load.unanswered == 0
    assert 25 < len(load.status) < 80
    assert (load.status == 200).all()
    assert (load.waited >= load.took).all()
    assert load.due.max() < 0.5
    busy = threading.Event()
    service.models["t"].worker.call(busy.wait)
    threading.Timer(1.0, busy.set).start()
    crowd = offered(address, body, rate=100, seconds=0.5, connections=20)
    assert crowd.unanswered == 0
    assert set(crowd.status.tolist()) == {200, 429}
    assert (crowd.status == 200).sum() == 3
    service.gate.closed = True
    thread.join()


def test_a_server_that_goes_away_leaves_requests_unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("measurements.service.load.PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/score"
        load = offered(address, b"{}", rate=50, seconds=0.3, connections=2)
    assert load.unanswered > 5
    assert not len(load.status)


def record(**figures: float) -> dict[str, Any]:
    return {
        "figures": {f"service/{name}": records.figure(value) for name, value in figures.items()},
        "saturation": {"requests_a_second": 1500.0, "p99_ms": 60.0, "errors": 0, "samples_a_batch": 31.2},
        "one_request_a_batch": {"requests_a_second": 100.0, "p99_ms": 700.0, "errors": 0},
        "half": {"requests": 9000, "median_ms": 12.0, "most_ms": 80.0},
        "memory_mib": {"saturation": [400.0, 401.0, 401.0, 401.0, 402.0], "half": [402.0] * 5},
        "overload": {
            "requests": 50,
            "accepted": 20,
            "refused": 30,
            "otherwise": 0,
            "refusal_p99_ms": 40.0,
            "refusal_most_ms": 50.0,
            "recovered_after_seconds": 0.4,
        },
    }


def test_the_page_tells_what_was_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "service.md")
    page.PAGE.write_text("before\n<!-- measured -->\nold\n<!-- end -->\nafter\n")
    page.render()
    assert page.PAGE.read_text() == "before\n<!-- measured -->\n<!-- end -->\nafter\n"
    found = record(errors=0, p99_ms_at_half_saturation=38.5, batching_gain=15)
    records.save("service", "kddcup", found)
    page.render()
    text = page.PAGE.read_text()
    assert text.startswith("before\n")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "| at half of the maximum rate: 99 % within | ≤ 50 ms | 38.5 ms |" in text
    assert "| gain of batches | ≥ 5 × | 15.0 × |" in text
    assert "400 → 402 MiB" in text
    assert records.read(tmp_path / "summary.json")["service/batching_gain"]["value"] == 15
