"""Benchmarks: runs are done once and resumed, records tell where they come from, pages come from records alone."""

import gzip
import json
import shutil
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import datasets, records
from recording.jobs import Job, run
from measurements.timing import Timing, interleaved, ratio

from memae.errors import SourceError


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
        def submit(self, function: Any, job: Any) -> "Future[float]":
            future: Future[float] = Future()
            try:
                future.set_result(function(job))
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


# ------------------------------------------------------------------------------------------------- records and timing


def test_the_summary_has_every_figure_with_its_origin(results):
    records.save("speed", "a", {"figures": {"speed/x": records.figure(2.0, 0.5, 3)}})
    records.save("speed", "b", {"figures": {"speed/y": records.figure(1.0)}}, seed=7)
    records.save("tables", "a", {"figures": {"tables/z": records.figure(0.9)}})
    records.save("speed", "a", {"figures": {"speed/x": records.figure(3.0)}})  # measured again
    summary = json.loads((results / "summary.json").read_text())
    assert {key: each["value"] for key, each in summary.items()} == {"speed/x": 3.0, "speed/y": 1.0, "tables/z": 0.9}
    assert all({"value", "std", "n", "command", "commit"} == each.keys() for each in summary.values())
    assert records.read(results / "speed.json")["b"]["provenance"]["seed"] == 7


def test_a_ratio_is_that_of_the_least_times_with_the_spread_of_the_rounds():
    slow, fast = Timing((4.0, 6.0, 5.0)), Timing((2.0, 2.0, 2.5))
    found = ratio(slow, fast)
    assert found["value"] == 2.0
    assert found["n"] == 3
    assert found["std"] == pytest.approx(np.std([2, 3, 2], ddof=1))


def test_variants_run_in_turn_after_one_call_that_does_not_count():
    calls = []
    now = iter(range(100))
    times = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, lambda: next(now))
    assert "".join(calls) == "ababab"
    assert times["a"].samples == times["b"].samples == (1, 1)
    assert times["a"].as_json()["rounds"] == 2


def test_the_committed_summary_is_what_the_records_say(monkeypatch, tmp_path):
    shown = (records.RESULTS / "summary.json").read_text()
    copied = tmp_path / "results"
    copied.mkdir()
    for path in records.RESULTS.glob("*.json"):
        shutil.copy(path, copied)
    monkeypatch.setattr(records, "RESULTS", copied)
    records.summarise()
    assert (copied / "summary.json").read_text() == shown


def test_the_committed_page_is_what_the_records_say(monkeypatch, tmp_path):
    page = pytest.importorskip("measurements.speed.page", reason="needs the extra bench")
    shown = page.PAGE.read_text()
    monkeypatch.setattr(page, "PAGE", tmp_path / "speed.md")
    monkeypatch.setattr(page, "PICTURES", tmp_path / "speed")
    page.render()
    assert (tmp_path / "speed.md").read_text() == shown
    assert len(list((tmp_path / "speed").glob("*.png"))) == shown.count(".png)")


# ---------------------------------------------------------------------------------------------------------------- data


def write_mnist(data: Path, pixels: np.ndarray, labels: np.ndarray) -> None:
    raw = data / "MNIST" / "raw"
    raw.mkdir(parents=True)
    contents = [
        header + array.tobytes()
        for part in (slice(2), slice(2, 3))
        for header, array in (
            (struct.pack(">4i", 2051, len(pixels[part]), 28, 28), pixels[part]),
            (struct.pack(">2i", 2049, len(labels[part])), labels[part]),
        )
    ]
    for name, content in zip(datasets.MNIST, contents, strict=True):
        (raw / name).write_bytes(gzip.compress(content))


def test_mnist_is_read_from_the_publishers_files_and_no_others(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    labels = np.array([5, 0, 9], dtype=np.uint8)
    write_mnist(tmp_path, pixels, labels)
    with pytest.raises(SourceError, match=r"train-images-idx3-ubyte.gz has the md5 .*MNIST has 6bbc9ace"):
        datasets.mnist(tmp_path)
    files = {name: gzip.decompress((tmp_path / "MNIST" / "raw" / name).read_bytes()) for name in datasets.MNIST}
    monkeypatch.setattr(datasets, "MNIST", {name: datasets.md5(content) for name, content in files.items()})
    found = datasets.mnist(tmp_path)
    np.testing.assert_array_equal(found.pixels, pixels)
    np.testing.assert_array_equal(found.labels, labels)
    cut = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(SourceError, match="cannot be decompressed"):
        datasets.mnist(tmp_path)
    cut.unlink()
    with pytest.raises(SourceError, match=r"missing.*python -m reproduction fetch mnist"):
        datasets.mnist(tmp_path)


def test_cifar10_is_read_from_the_publishers_layout(tmp_path):
    with pytest.raises(SourceError, match=r"data_batch_1.bin is missing.*fetch cifar10"):
        datasets.cifar10(tmp_path)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    rows = np.zeros((10_000, 3073), np.uint8)
    rows[:, 0] = np.arange(10_000) % 10
    rows[:, 1 : 1 + 1024] = 7  # red
    rows[3, 1 + 2048 + 33] = 200  # blue, second row, second column
    for name in datasets.CIFAR10:
        rows.tofile(folder / name)
    images, labels = datasets.cifar10(tmp_path)
    assert images.shape == (60_000, 32, 32, 3)
    assert labels[:11].tolist() == [*range(10), 0]
    assert images[3, 1, 1].tolist() == [7, 0, 200]
    assert images[4, 1, 1].tolist() == [7, 0, 0]
    rows[:9_999].tofile(folder / "test_batch.bin")
    with pytest.raises(SourceError, match=r"test_batch.bin has 30726927 bytes"):
        datasets.cifar10(tmp_path)
