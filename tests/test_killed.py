"""Killed at any call while it writes: the old file or the new one is whole, never a half. For every kind of file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KINDS = {
    *("model.memae", "model.checkpoint", "scores.csv", "scores.parquet", "scores.jsonl", "map.png", "film.mp4"),
    *("alarms", "report.html", "model.onnx", "model.xml"),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_every_kind_of_file_is_whole_after_a_kill(tmp_path: Path) -> None:
    program = Path(__file__).with_name("killing.py")
    ran = subprocess.run(
        [sys.executable, program, tmp_path, "6"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert {line["kind"] for line in lines} == KINDS
    for line in lines:
        assert len(line["kills"]) >= 12, line["kind"]
        assert all(kill["died"] for kill in line["kills"]), line["kind"]
        broken = [kill["at"] for kill in line["kills"] if not kill["whole"]]
        assert not broken, f"{line['kind']}: killed at the calls {broken}"
        assert line["again"], line["kind"]
