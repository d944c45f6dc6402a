"""Recording: runs are done once and resumed, records tell where they come from, commands are found under both names."""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import __main__ as alias
from measurements import commands as measurements
from recording import records
from recording.jobs import Job, run
from recording.pictures import read
from reproduction import commands as reproduction


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


# ---------------------------------------------------------------------------------------------------------------- jobs


def counted(place: str, number: int, seed: int = 0, fail: bool = False) -> dict[str, Any]:
    """A job that leaves a trace of each time it ran."""
    with Path(place).open("a") as file:
        file.write(f"{number}\n")
    if fail:
        raise ValueError("broken")
    return {"auroc": number / 10 + seed}


def halting(place: str, checkpoint: Path) -> dict[str, Any]:
    """A job that gets half-way the first time."""
    if not checkpoint.exists():
        checkpoint.write_text("half")
        raise KeyboardInterrupt
    Path(place).write_text(checkpoint.read_text())
    return {"resumed": True}


def ran(place: Path) -> list[str]:
    return sorted(place.read_text().split()) if place.exists() else []


def in_process(monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
    """Jobs in this process: a spawned one would not know the folder of the test."""
    from concurrent.futures import Future

    class Pool:
        def __init__(self, *_: object) -> None: ...
        def __enter__(self) -> "Pool":
            return self

        def __exit__(self, *_: object) -> None: ...
        def submit(self, function: Any, *given: Any) -> "Future[float]":
            future: Future[float] = Future()
            try:
                future.set_result(function(*given))
            except BaseException as error:
                future.set_exception(error)
            return future

    monkeypatch.setattr("recording.jobs.ProcessPoolExecutor", Pool)


def test_a_recorded_run_is_not_done_again_unless_its_arguments_change(results, tmp_path, monkeypatch, capsys):
    in_process(monkeypatch, results)
    trace = tmp_path / "trace"
    jobs = [Job(f"part/{number}", counted, {"place": str(trace), "number": number}) for number in range(3)]
    first = run(jobs)
    assert [each["auroc"] for each in first] == [0.0, 0.1, 0.2]
    assert "0 of 3 runs are recorded, 3 to go" in capsys.readouterr().err
    assert run(jobs) == first
    assert ran(trace) == ["0", "1", "2"]
    assert capsys.readouterr().err == ""
    jobs[1] = Job("part/1", counted, {"place": str(trace), "number": 1, "seed": 4})
    assert [each["auroc"] for each in run(jobs)] == [0.0, 4.1, 0.2]
    assert ran(trace) == ["0", "1", "1", "2"]
    recorded = json.loads((results / "runs" / "part" / "1.json").read_text())
    assert recorded["provenance"]["seed"] == 4
    assert recorded["arguments"]["number"] == 1
    assert {"commit", "command", "versions", "machine", "load"} <= recorded["provenance"].keys()
    assert recorded["seconds"] >= 0


def test_a_run_that_fails_does_not_stop_the_others(results, tmp_path, monkeypatch):
    in_process(monkeypatch, results)
    trace = str(tmp_path / "trace")
    jobs = [Job(f"{k}", counted, {"place": trace, "number": k, "fail": k == 1}) for k in range(3)]
    with pytest.raises(SystemExit, match=r"1 of 3 runs failed:\n1: ValueError: broken"):
        run(jobs)
    assert sorted(path.name for path in (results / "runs").iterdir()) == ["0.json", "2.json"]


def test_a_run_that_was_broken_off_goes_on_from_its_checkpoint(results, tmp_path, monkeypatch):
    in_process(monkeypatch, results)
    job = Job("long", halting, {"place": str(tmp_path / "seen")}, resumes=True)
    with pytest.raises(SystemExit, match="KeyboardInterrupt"):
        run([job])
    assert run([job])[0]["resumed"]
    assert (tmp_path / "seen").read_text() == "half"
    assert not list(results.rglob("*.checkpoint"))


def meeting(place: str, own: str, other: str) -> dict[str, Any]:
    """A job that ends when the other one has begun."""
    import torch

    (Path(place) / own).touch()
    for _ in range(600):
        if (Path(place) / other).exists():
            return {"met": True, "threads": torch.get_num_threads()}
        time.sleep(0.1)
    return {"met": False}


def test_runs_go_side_by_side_in_processes_of_one_thread(tmp_path):
    name = f"test-{tmp_path.name}"  # spawned processes know the real folder alone
    pairs = (("a", "b"), ("b", "a"))
    try:
        found = run(
            [Job(f"{name}/{own}", meeting, {"place": str(tmp_path), "own": own, "other": o}) for own, o in pairs]
        )
        assert [(each["met"], each["threads"]) for each in found] == [(True, 1), (True, 1)]
    finally:
        shutil.rmtree(records.RESULTS / "runs" / name, ignore_errors=True)


# ------------------------------------------------------------------------------------------------------- records


def test_the_summary_has_every_figure_with_its_origin(results):
    records.save("speed", "a", {"figures": {"speed/x": records.figure(2.0, 0.5, 3)}})
    records.save("speed", "b", {"figures": {"speed/y": records.figure(1.0)}}, seed=7)
    records.save("tables", "a", {"figures": {"tables/z": records.figure(0.9)}})
    records.save("speed", "a", {"figures": {"speed/x": records.figure(3.0)}})  # measured again
    summary = json.loads((results / "summary.json").read_text())
    assert {key: each["value"] for key, each in summary.items()} == {"speed/x": 3.0, "speed/y": 1.0, "tables/z": 0.9}
    assert all({"value", "std", "n", "command", "commit"} == each.keys() for each in summary.values())
    assert records.read(results / "speed.json")["b"]["provenance"]["seed"] == 7


def test_the_committed_summary_is_what_the_records_say(monkeypatch, tmp_path):
    shown = (records.RESULTS / "summary.json").read_text()
    copied = tmp_path / "results"
    copied.mkdir()
    for path in records.RESULTS.glob("*.json"):
        shutil.copy(path, copied)
    monkeypatch.setattr(records, "RESULTS", copied)
    records.summarise()
    assert (copied / "summary.json").read_text() == shown


def test_a_run_has_a_line_for_what_holds_no_list_and_the_same_content(tmp_path):
    content = {
        "b": [1, 2.5, None],
        "a": {"c": {"x": 1, "é": "ü"}, "d": [], "e": [{"f": 1}, [2, [3]]]},
        "g": {},
        "h": "i",
    }
    records.write_run(tmp_path / "run.json", content)
    text = (tmp_path / "run.json").read_text()
    assert json.loads(text) == content
    assert text.splitlines()[:4] == ["{", ' "a": {', '  "c": {"x": 1, "\\u00e9": "\\u00fc"},', '  "d": [],']
    assert ' "b": [1, 2.5, null],' in text.splitlines()


def test_every_recorded_run_is_written_as_a_run(tmp_path):
    for path in sorted((records.RESULTS / "runs").rglob("*.json"))[::200]:
        records.write_run(tmp_path / "run.json", records.read(path))
        assert (tmp_path / "run.json").read_text() == path.read_text()


def test_the_repository_holds_few_lines_of_json():
    assert sum(path.read_text().count("\n") for path in records.RESULTS.rglob("*.json")) < 150_000


# ------------------------------------------------------------------------------------------------------------ pictures


GREY = np.random.default_rng(0).integers(0, 256, (5, 3, 4), dtype=np.uint8)


def painting(seed: int) -> dict[str, Any]:
    """A job that paints."""
    return {"items": GREY, "none": GREY[:0], "auroc": seed / 2}


def test_pictures_of_a_run_lie_beside_its_record(results, tmp_path, monkeypatch):
    in_process(monkeypatch, results)
    job = Job("figures/ae-2", painting, {"seed": 1})
    (record,) = run([job])
    assert record["pictures"] == {"items": 5, "none": 0}
    assert record["auroc"] == 0.5
    assert "items" not in record
    assert sorted(path.name for path in job.path.parent.iterdir()) == ["ae-2.items.png", "ae-2.json"]
    found = read(job.path, record["pictures"])
    assert found.keys() == {"items"}
    assert found["items"].dtype == np.uint8
    np.testing.assert_array_equal(found["items"], GREY)


def test_every_recorded_picture_is_there():
    runs = sorted((records.RESULTS / "runs" / "figures").glob("*.json"))
    assert len(runs) == 12
    for path in runs:
        counts = records.read(path)["pictures"]
        found = read(path, counts)
        assert {name: each.shape for name, each in found.items()} == {
            name: (count, 28, 28) for name, count in counts.items() if count
        }


# ------------------------------------------------------------------------------------------------------------ commands


def ran_as(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", *words], cwd=records.ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("commands", [reproduction.COMMANDS, measurements.COMMANDS])
def test_every_command_says_in_a_sentence_what_it_does(commands):
    for command in commands:
        assert command.about.endswith(".")
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        assert all(action.help for action in parser._actions)


def test_the_old_name_says_where_a_command_has_gone_and_runs_it():
    done = ran_as("benchmarks", "house", "src/memae/data")
    assert done.stderr == "this command is now `python -m measurements house src/memae/data`\n"
    assert json.loads(done.stdout)["modules"]["count"] == len(list((records.ROOT / "src/memae/data").rglob("*.py")))
    both = "`python -m reproduction --help` and `python -m measurements --help`"
    without, helped = ran_as("benchmarks"), ran_as("benchmarks", "--help")
    assert (without.returncode, helped.returncode) == (1, 0)
    assert both in without.stderr
    assert both in helped.stdout
    assert "got 'tabel1'" in ran_as("benchmarks", "tabel1").stderr


def test_every_command_of_before_is_found():
    before = "speed service table1 table2 table3 figures adbench calibration parity fuzz evaluate-video fetch doctor"
    assert set(before.split()) <= set(alias.PACKAGES)


def test_a_record_names_the_command_as_it_was_typed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/reproduction/__main__.py", "table1", "--jobs", "1"])
    assert records.provenance()["command"] == "python -m reproduction table1 --jobs 1"
    assert records.provenance(command="x")["command"] == "x"
