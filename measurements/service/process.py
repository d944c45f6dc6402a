"""`memae serve` in a process of its own, with a model of a real table; and wrk."""

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from sklearn.datasets import load_breast_cancer

from memae import TabularMemAE
from memae.errors import MissingExtraError
from reproduction.datasets import kddcup

CLIENTS = 64
ROWS = 20_000
"""Training rows of KDDCUP99; the normal class are its attacks, as in Table 3."""


class Table(NamedTuple):
    """A fitted detector, and a row to ask it about."""

    model: Path
    body: bytes


def fitted(data: str, folder: Path) -> Table:
    """A detector with the defaults, of rows of KDDCUP99 or of the benign tumours that scikit-learn has."""
    if data == "kddcup":
        frame = kddcup()
        normal = frame[frame.pop("label") == 0].sample(ROWS, random_state=0)
    else:
        frame, benign = load_breast_cancer(return_X_y=True, as_frame=True)
        normal = frame[benign == 1]
    model = folder / f"{data}.memae"
    TabularMemAE().fit(normal).save(model)
    row: pd.DataFrame = frame.sample(1, random_state=0)
    return Table(model, f'{{"rows": {row.to_json(orient="records")}}}'.encode())


class Running(NamedTuple):
    """A service that runs."""

    address: str
    process: "subprocess.Popen[str]"

    @property
    def score(self) -> str:
        """Where to post rows."""
        return f"{self.address}/score"

    @property
    def memory(self) -> float:
        """MiB that the process holds now."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def metric(self, name: str) -> float:
        """The sum of a figure of `/metrics` over all its labels."""
        with urllib.request.urlopen(f"{self.address}/metrics") as answer:  # noqa: S310 (our own service)
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(rf"{name}[{{ ]", line))


@contextmanager
def serving(table: Table, *options: str) -> Iterator[Running]:
    """The service while the block runs; afterwards it must end well."""
    command = [str(Path(sys.executable).with_name("memae")), "serve", str(table.model), "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stderr is not None  # noqa: S101 (asked for)
        line = process.stderr.readline()
        if " at http" not in line:
            raise SystemExit(f"{' '.join(command)}: {line}{process.stderr.read()}")
        try:
            yield Running(line.split(" at ")[1].split()[0], process)
        finally:
            process.send_signal(signal.SIGTERM)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")


class Rate(NamedTuple):
    """Results of wrk, whose clients send the next request as soon as the last is answered."""

    requests_a_second: float
    p99_ms: float
    errors: int  # answers other than 2xx, and broken connections


def saturated(address: str, body: bytes, seconds: float, clients: int = CLIENTS) -> Rate:
    """The saturation rate of the service.

    Raises:
        MissingExtraError: wrk is not installed.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise MissingExtraError("wrk is missing; install it, on Debian with apt-get install wrk")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "POST"\nwrk.body = {json.dumps(body.decode())}\n')
        script.write('wrk.headers["Content-Type"] = "application/json"\n')
        script.flush()
        length = f"{max(round(seconds), 1)}s"
        command = [
            wrk,
            "-t1",
            f"-c{clients}",
            f"-d{length}",
            "--timeout",
            "10s",
            "--latency",
            "-s",
            script.name,
            address,
        ]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return read(printed)


def read(printed: str) -> Rate:
    """What wrk prints."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    late = re.search(r"99%\s+([\d.]+)(us|ms|s)", printed)
    if rate is None or late is None:
        raise SystemExit(f"wrk gave no figures:\n{printed}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", printed)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", printed)
    errors = (int(refused[1]) if refused else 0) + (sum(map(int, broken.groups())) if broken else 0)
    return Rate(float(rate[1]), float(late[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[late[2]], errors)
