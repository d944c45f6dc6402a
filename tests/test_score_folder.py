"""`memae score FOLDER -o FOLDER`: every row once, whatever stops it, whoever shares it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from memae.cli import score_table
from memae.estimators import ImageMemAE, TabularMemAE, VideoMemAE, load
from memae.kinds import pieces
from memae.scoring.calibration import counts, discoveries, limit

Run = Callable[..., Any]
FILES = 5


def rows(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(count, 4)), columns=list("abcd")).assign(kind=rng.choice(["x", "y"], count))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tables")
    for number in range(FILES):
        part = root / "in" / f"day={number % 2}"
        part.mkdir(parents=True, exist_ok=True)
        ids = [f"{number}-{row}" for row in range(40 + number)]
        rows(40 + number, number + 1).assign(id=ids).to_parquet(part / f"{number}.parquet")
    TabularMemAE(ignore=["id"]).fit(pd.read_parquet(root / "in").astype({"day": float})).save(root / "m.memae")
    return root


def read(path: Path) -> pd.DataFrame:
    """One file, without columns from the names of its folders."""
    return pq.ParquetFile(path).read().to_pandas()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_row_once_as_the_folder_alone(tables, tmp_path, run: Run):
    ran = run("score", tables / "m.memae", tables / "in", "-o", tmp_path / "out", "--fdr", 0.3, "--keep")
    assert ran.code == 0, ran.err
    alone = run("score", tables / "m.memae", tables / "in", "-o", tmp_path / "alone.parquet", "--keep", "--fdr", 0.3)
    assert alone.code == 0, alone.err
    found = pd.concat(read(path) for path in sorted((tmp_path / "out").rglob("*.parquet")))
    one = pd.read_parquet(tmp_path / "alone.parquet")
    assert sorted(found["id"]) == sorted(one["id"])
    both = found.merge(one, on="id", suffixes=("", "_alone"))
    assert len(both) == len(one) == sum(40 + number for number in range(FILES))
    np.testing.assert_allclose(both["score"], both["score_alone"], rtol=1e-13)
    assert (both["p_value"] == both["p_value_alone"]).all()
    assert (both["is_anomaly"] == both["is_anomaly_alone"]).all()
    assert not found[["file", "row"]].duplicated().any()
    success = json.loads((tmp_path / "out/_SUCCESS").read_text())
    assert success["samples"] == sum(success["p_values"]) == len(one)
    assert success["flagged"] == one["is_anomaly"].sum()
    assert success["fdr"]["discoveries"] == one["is_discovery"].sum()
    drift = load(tables / "m.memae").drifted(one["score"].to_numpy())
    assert success["drift"]["samples"] == len(one)
    assert success["drift"]["verdict"] == drift.verdict
    assert success["drift"]["realised"] == pytest.approx(drift.realised)
    sizes = [line.split(":")[0] for line in ran.err.splitlines() if " scored, " in line][:-1]
    assert [int(name[-9]) for name in sizes] == list(reversed(range(FILES))), "the largest first"


def test_parts_in_any_order_and_twice_make_the_same_folder(tables, tmp_path, run: Run):
    def score(out: str, *more: object) -> Any:
        return run("score", tables / "m.memae", tables / "in", "-o", tmp_path / out, *more)

    assert score("whole").code == 0
    for part in ("2/3", "0/3", "2/3", "1/3"):
        assert not (tmp_path / "parts/_SUCCESS").exists()
        assert score("parts", "--part", part).code == 0
    assert content(tmp_path / "whole") == content(tmp_path / "parts")
    again = score("whole")
    assert f"{FILES} of {FILES} files were scored before" in again.err
    assert content(tmp_path / "whole") == content(tmp_path / "parts")
    assert score("whole", "--part", "3/3").code == 1


def test_another_model_setting_or_file_is_scored_anew(tables, tmp_path, run: Run):
    source = tmp_path / "in"
    source.mkdir()
    for number in range(2):
        rows(30, number).assign(day=0.0).to_csv(source / f"{number}.csv", index=False)

    def kept(*more: object) -> int:
        ran = run("score", tables / "m.memae", source, "-o", tmp_path / "out", *more)
        assert ran.code == 0, ran.err
        line = next((line for line in ran.err.splitlines() if "were scored before" in line), "0")
        return int(line.split()[0])

    assert [kept(), kept(), kept("--false-alarm-rate", 0.2), kept("--false-alarm-rate", 0.2)] == [0, 2, 0, 2]
    rows(30, 7).assign(day=0.0).to_csv(source / "0.csv", index=False)
    assert kept("--false-alarm-rate", 0.2) == 1
    (source / "0.csv").unlink()
    ran = run("score", tables / "m.memae", source, "-o", tmp_path / "out")
    assert ran.code == 1
    assert "files that are no more there" in ran.err
    assert not (tmp_path / "out/_SUCCESS").exists()


def test_each_run_of_a_process_has_its_own_false_alarm_rate(tables, tmp_path, run: Run):
    told = [
        json.loads(run("score", tables / "m.memae", tables / "in", "-o", tmp_path / rate, *how, "--json").out)
        for rate, how in (("own", ()), ("high", ("--false-alarm-rate", 0.5)))
    ]
    assert told[1]["threshold"] < told[0]["threshold"]
    assert told[1]["flagged"] > told[0]["flagged"]


@pytest.mark.parametrize("case", ["cut", "infinity", "missing", "text"])
def test_a_bad_file_stops_no_other_and_is_named(tables, tmp_path, run: Run, case):
    source = tmp_path / "in"
    source.mkdir()
    for number in range(3):
        rows(30, number).assign(day=0.0).to_parquet(source / f"{number}.parquet")
    bad = source / "1.parquet"
    changes = {
        "infinity": lambda frame: frame.assign(b=[*frame["b"][:-1], np.inf]),
        "missing": lambda frame: frame.drop(columns="c"),
        "text": lambda frame: frame.assign(b=["?", *map(str, frame["b"][1:])]),
    }
    if case == "cut":
        bad.write_bytes(bad.read_bytes()[:500])
    else:
        changes[case](pd.read_parquet(bad)).to_parquet(bad)
    ran = run("score", tables / "m.memae", source, "-o", tmp_path / "out")
    assert ran.code == 1
    assert "1.parquet: " in ran.err
    assert "1 of 3 files could not be scored" in ran.err
    assert sorted(content(tmp_path / "out")) == ["0.parquet", "2.parquet"], "no _SUCCESS, and nothing half"
    rows(30, 9).assign(day=0.0).to_parquet(bad)
    assert run("score", tables / "m.memae", source, "-o", tmp_path / "out").code == 0
    assert json.loads((tmp_path / "out/_SUCCESS").read_text())["samples"] == 90


def test_columns_in_another_order_or_all_missing_are_scored_and_told(tables, tmp_path, run: Run):
    source = tmp_path / "in"
    source.mkdir()
    frame = rows(30, 1).assign(day=0.0)
    frame.to_parquet(source / "0.parquet")
    frame[list(frame.columns[::-1])].to_parquet(source / "1.parquet")
    frame.assign(c=np.nan).to_parquet(source / "2.parquet")
    ran = run("score", tables / "m.memae", source, "-o", tmp_path / "out")
    assert ran.code == 0
    assert "column 'c' has 30 values that are missing" in ran.err
    first, second = (pd.read_parquet(tmp_path / "out" / f"{number}.parquet") for number in range(2))
    assert (first["score"] == second["score"]).all()
    again = run("score", tables / "m.memae", source, "-o", tmp_path / "out")
    assert "column 'c' has 30 values that are missing" in again.err, "also of files that were scored before"


def test_output_and_source_lie_apart(tables, tmp_path, run: Run):
    for out in (tables / "in", tables / "in/scores", tables):
        ran = run("score", tables / "m.memae", tables / "in", "-o", out)
        assert ran.code == 1
        assert "give another output" in ran.err
    ran = run("score", tables / "m.memae", tables / "in/day=0/0.parquet", "-o", tmp_path / "a.csv", "--workers", 2)
    assert ran.code == 1
    assert "--workers and --part are for a folder" in ran.err


def test_pictures_in_groups_with_unread_ones(tmp_path, run: Run, monkeypatch):
    monkeypatch.setattr(pieces, "TOGETHER", 4)
    rng = np.random.default_rng(0)
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for number in range(14):
        picture = Image.fromarray(rng.integers(0, 255, (8, 8)).astype(np.uint8))
        picture.save(folder / ("deep" if number > 9 else "") / f"{number}.png")
    for number in (0, 1, 2, 3, 8):
        (folder / f"{number}.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("x")
    pictures = rng.integers(0, 255, (40, 8, 8)).astype(np.uint8)
    net = {"widths": (4,), "strides": ((2, 2),), "n_items": 4, "epochs": 1, "warmup": 0, "size": (8, 8)}
    ImageMemAE(**net, batch_size=8, rotations=False, init="uniform", false_alarm_rate=0.2).fit(pictures).save(
        tmp_path / "m"
    )
    ran = run("score", tmp_path / "m", folder, "-o", tmp_path / "out")
    assert ran.code == 1, ran.err
    assert "5 files could not be read" in ran.err
    assert "notes.txt" in ran.err
    found = pd.concat([pd.read_parquet(path) for path in sorted((tmp_path / "out").glob("*.parquet"))])
    success = json.loads((tmp_path / "out/_SUCCESS").read_text())
    assert len(success["unread"]) == 5
    assert sorted([*found["path"], *success["unread"]]) == sorted(map(str, folder.rglob("*.png")))
    one = run("score", tmp_path / "m", folder, "-o", tmp_path / "one.parquet")
    assert one.code == 1
    alone = pd.read_parquet(tmp_path / "one.parquet").set_index("path")["score"]
    np.testing.assert_allclose(found.set_index("path")["score"].loc[alone.index], alone, rtol=1e-5)


def test_films_are_pieces(watcher: VideoMemAE, squares, tmp_path, run: Run):
    watcher.save(tmp_path / "m")
    for name, frames in (("one", 12), ("two", 20)):
        (tmp_path / "in" / name).mkdir(parents=True)
        for number, frame in enumerate(squares(frames)):
            Image.fromarray(frame).save(tmp_path / "in" / name / f"{number}.png")
    ran = run("score", tmp_path / "m", tmp_path / "in", "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert sorted(content(tmp_path / "out")) == ["_SUCCESS", "one.parquet", "two.parquet"]
    assert run("score", tmp_path / "m", tmp_path / "in", "-o", tmp_path / "alone.parquet").code == 0
    found = pd.concat([pd.read_parquet(tmp_path / "out" / f"{name}.parquet") for name in ("one", "two")])
    pd.testing.assert_frame_equal(found.reset_index(drop=True), pd.read_parquet(tmp_path / "alone.parquet"))


def test_no_header_of_a_picture_is_read_before_its_group(tmp_path):
    for number in range(10):
        (tmp_path / f"{number}.png").write_bytes(b"")
    found = pieces.picture_pieces(tmp_path, [])
    first = next(found)
    assert len(first.files) == 10
    assert len(first.stamp()) == 64


SCRIPT = "from memae.cli import main\nif __name__ == '__main__':\n    main()\n"


def test_workers_and_the_command_are_killed_and_every_row_is_there_once(tables, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, "score", tables / "m.memae", tables / "in", "-o", tmp_path / "out"]
    with subprocess.Popen(
        [*command, "--workers", "2"], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as first:
        assert first.stderr is not None
        assert " scored, " in first.stderr.readline()
        os.kill(first.pid, signal.SIGKILL)
    assert not (tmp_path / "out/_SUCCESS").exists()
    until = time.monotonic() + 20
    while _group(first.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _group(first.pid), "workers end with the command"
    second = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert "files were scored before" in second.stderr
    found = [read(path) for path in sorted((tmp_path / "out").rglob("*.parquet"))]
    assert len(pd.concat(found)[["file", "row"]].drop_duplicates()) == sum(map(len, found)) == 40 * FILES + 10
    assert not list((tmp_path / "out").rglob("*.part"))


def _group(leader: int) -> list[str]:
    """The processes that a command has started and that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z" and "spawn_main" in (path.parent / "cmdline").read_text():
            found.append(path.parent.name)
    return found


@given(st.lists(st.integers(1, 20), max_size=60), st.integers(0, 60), st.floats(0.01, 0.6))
def test_merged_counts_discover_as_the_whole_batch(levels, cut, rate):
    p_values = torch.tensor(levels).double() / 20
    merged = counts(p_values[:cut], 19) + counts(p_values[cut:], 19)
    found = discoveries(p_values, rate)
    assert ((p_values <= limit(merged, rate)) == found).all()


def test_discoveries_need_no_memory_for_all_rows(tmp_path):
    def parts() -> Any:
        for seed in range(30):
            p_value = np.random.default_rng(seed).integers(1, 101, 50) / 100
            yield pd.DataFrame({"row": range(50), "p_value": p_value, "is_anomaly": (p_value <= 0.05).astype(int)})

    marked, found = score_table.discovered(parts(), 0.2, tmp_path / "out.csv")
    assert not isinstance(marked, list)
    rows_ = pd.concat(marked)
    whole = discoveries(torch.from_numpy(np.concatenate([part["p_value"] for part in parts()])), 0.2).numpy()
    assert (rows_["is_discovery"].to_numpy() == whole).all()
    assert found == whole.sum()
    assert not list(tmp_path.iterdir())
