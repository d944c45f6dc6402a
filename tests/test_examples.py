"""The examples run as they are, and what they print is what they are there to show."""

import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memae import TabularMemAE
from memae.modelfile.artifact import dumped
from memae.parallel import Scoring

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
Example = Callable[..., str]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Example:
    """Runs one as from a shell, in an empty folder; what it printed."""

    def call(name: str, *arguments: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
        return capsys.readouterr().out

    return call


def number(pattern: str, text: str) -> tuple[int, ...]:
    """The numbers that a pattern finds."""
    found = re.search(pattern, text)
    assert found, text
    return tuple(map(int, found.groups()))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_is_short_and_the_readme_or_the_guide_to_scale_knows_it(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) < 80
    assert any(f"examples/{path.name}" in (ROOT / page).read_text() for page in ("README.md", "docs/scale.md"))


def test_fraud_table(example: Example) -> None:
    told = example("fraud_table.py")
    named, frauds = number(r"5 % of the normal ones may be flagged: (\d+) flagged, (\d+) of them frauds", told)
    assert frauds > 35
    assert 40 < named - frauds < 160  # 98 of 1960 are expected
    named, frauds = number(r"10 % of the flagged ones may be normal: (\d+) flagged, (\d+) of them frauds", told)
    assert frauds > 10
    assert named - frauds < 0.4 * named
    assert told.count("is expected") == 9
    assert "country is far, where home" in told


def test_sensor_table(example: Example) -> None:
    told = example("sensor_table.py")
    spans = [tuple(map(int, span)) for span in re.findall(r"minutes (\d+) to (\d+) are unusual", told)]
    assert sum(min(last, 339) - max(first, 300) + 1 for first, last in spans if last >= 300 and first < 340) > 30
    assert "because of vibration" in told
    later, moved, again = (line for line in told.splitlines() if line.startswith(("later", "recalibrated")))
    assert "like at calibration" in later
    assert "higher than at calibration" in moved
    assert "like at calibration" in again


def test_parts_images(example: Example, tmp_path: Path) -> None:
    told = example("parts_images.py")
    alarms, parts = number(r"(\d+) of (\d+) parts are unlike", told)
    assert parts == 40
    assert alarms - 4 <= told.count("-scratched.png: score") >= 6  # of ten
    pictures = list((tmp_path / "parts-found").iterdir())
    assert len(pictures) == alarms
    with Image.open(pictures[0]) as seen:
        assert seen.size == (96, 32)


def test_camera(example: Example) -> None:
    told = example("camera.py")
    starts = [float(start) for start in re.findall(r"is over: ([\d.]+) to", told)]
    assert any(2 < start < 3.5 for start in starts)  # the cyclist comes at 2.4 s
    assert len(starts) <= 2
    assert "street.mp4 is open, 25 frames a second" in told


def test_service(example: Example) -> None:
    pytest.importorskip("uvicorn", reason="needs the extra serve")
    told = example("service.py")
    flagged, rows = number(r"tumours: (\d+) of (\d+) rows", told)
    assert rows == 269
    assert 0 < flagged < rows
    assert len(re.findall(r"row \d+: score [\d.]+, p-value [\d.]+: ", told)) == 5


@pytest.mark.parametrize("delivered", [True, False])
def test_kafka_commits_only_what_is_delivered(delivered: bool) -> None:
    step = runpy.run_path(str(ROOT / "examples" / "kafka_rows.py"))["step"]
    done: list[str] = []
    sent: list[dict[str, object]] = []

    class Message:
        def __init__(self, row: dict[str, object]) -> None:
            self.row = row

        def error(self) -> None:
            return None

        def value(self) -> bytes:
            return json.dumps(self.row).encode()

    class Kafka:
        """Consumer and producer."""

        waiting: ClassVar = [Message({"id": f"r{number}", "a": value}) for number, value in enumerate([0.5, "?", 99.0])]

        def consume(self, most: int, timeout: float) -> list[Message]:
            done.append("poll")
            taken, self.waiting = self.waiting[:most], self.waiting[most:]  # type: ignore[misc]
            return taken

        def produce(self, topic: str, value: str, key: str, on_delivery: Callable[..., None]) -> None:
            done.append("produce")
            sent.append(json.loads(value))
            assert (topic, key) == ("out", sent[-1]["id"])
            on_delivery(None if delivered else "no broker", None)

        def flush(self) -> int:
            done.append("flush")
            return 0

        def commit(self, *, asynchronous: bool) -> None:
            assert not asynchronous
            done.append("commit")

    table = pd.DataFrame({"id": range(60), "a": np.linspace(0, 1, 60)})
    content = dumped(TabularMemAE(ignore=["id"]).fit(table).to_artifact())
    score, kafka = Scoring(content, keep=["id"], on_bad="row"), Kafka()
    if not delivered:
        with pytest.raises(RuntimeError, match="3 of 3 scores were not delivered"):
            step(kafka, kafka, score, "out")
        assert "commit" not in done
        return
    assert step(kafka, kafka, score, "out") == 3
    assert done == ["poll", *["produce"] * 3, "flush", "commit"]
    assert [row["is_anomaly"] for row in sent] == [False, None, True]
    assert sent[1]["reason"]
    assert step(kafka, kafka, score, "out") == 0
    assert done[-1] == "poll", "nothing to commit"
