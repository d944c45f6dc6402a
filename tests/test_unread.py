"""Files that cannot be read do not keep the others from being scored: they are named, and the exit code is 1."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memae.data.images import ImageFiles, find_images
from memae.errors import MemaeWarning, SourceError
from memae.estimators import ImageMemAE, VideoMemAE

Run = Callable[..., Any]
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def detector() -> ImageMemAE:
    net: dict[str, Any] = {"widths": (4,), "strides": ((2, 2),), "epochs": 1, "warmup": 0, "n_items": 4}
    return ImageMemAE(**net, false_alarm_rate=0.1).fit(RNG.integers(0, 255, (30, 12, 12)).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """150 pictures, more than are read at once."""
    made = tmp_path / "in"
    made.mkdir()
    for number in range(150):
        Image.fromarray(RNG.integers(0, 255, (12, 12)).astype(np.uint8)).save(made / f"{number}.png")
    return made


def spoil(path: Path, way: str) -> None:
    """What is found in the header (empty, text), and what only when it is decoded (cut)."""
    content = {"empty": b"", "text": b"no picture at all", "cut": path.read_bytes()[:-40]}
    path.write_bytes(content[way])


def test_all_others_are_scored_as_without_them(run: Run, detector: ImageMemAE, folder: Path, tmp_path: Path) -> None:
    detector.save(tmp_path / "m")
    whole = detector.anomaly_score(folder)
    spoilt = {0: "cut", 3: "text", 64: "cut", 65: "empty", 149: "cut"}
    for number, way in spoilt.items():
        spoil(folder / f"{number}.png", way)
    ran = run("score", tmp_path / "m", folder, "-o", tmp_path / "s.csv", "--maps", tmp_path / "maps", "--json")
    assert ran.code == 1
    rows = pd.read_csv(tmp_path / "s.csv")
    left = [number for number in range(150) if number not in spoilt]
    assert rows["path"].tolist() == [str(folder / f"{number}.png") for number in left]
    np.testing.assert_allclose(rows["score"], whole[left], rtol=1e-12)
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == sorted(f"{number}.png.png" for number in left)
    facts = json.loads(ran.out)
    assert facts["samples"] == 145
    assert sorted(facts["unread"]) == sorted(str(folder / f"{number}.png") for number in spoilt)
    told = [line for line in ran.err.splitlines() if line.startswith("memae: error: ")]
    assert len(told) == 6
    assert all(any(str(folder / f"{number}.png") in line for line in told) for number in spoilt)
    assert told[-1].endswith("5 files could not be read, or not to their end; everything else is scored")


def test_many_are_not_all_told(run: Run, detector: ImageMemAE, folder: Path, tmp_path: Path) -> None:
    detector.save(tmp_path / "m")
    for number in range(149):
        spoil(folder / f"{number}.png", "cut")
    ran = run("score", tmp_path / "m", folder, "-o", tmp_path / "s.parquet")
    assert ran.code == 1
    assert pd.read_parquet(tmp_path / "s.parquet")["path"].tolist() == [str(folder / "149.png")]
    told = [line for line in ran.err.splitlines() if line.startswith("memae: error: ")]
    assert len(told) == 21
    assert "149 files could not be read, or not to their end, the first 20 above" in told[-1]


@pytest.mark.parametrize("way", ["text", "cut"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_where_nothing_can_be_read_nothing_is_written(
    run: Run, detector: ImageMemAE, folder: Path, tmp_path: Path, way: str, ending: str
) -> None:
    detector.save(tmp_path / "m")
    for path in folder.iterdir():
        spoil(path, way)
    ran = run("score", tmp_path / "m", folder, "-o", tmp_path / f"s.{ending}")
    assert ran.code == 1
    assert ran.err.startswith("memae: error: none of 150 files could be read; the first: ")
    assert not (tmp_path / f"s.{ending}").exists()


def test_a_single_image_and_fit_are_strict(run: Run, detector: ImageMemAE, folder: Path, tmp_path: Path) -> None:
    detector.save(tmp_path / "m")
    spoil(folder / "70.png", "cut")
    for call in (["score", tmp_path / "m", folder / "70.png"], ["fit", "images", folder, "-o", tmp_path / "n"]):
        ran = run(*call)
        assert ran.code == 1
        assert str(folder / "70.png") in ran.err
        assert ran.out == ""
    with pytest.raises(SourceError, match=r"70\.png"):
        detector.anomaly_score(folder)
    assert not (tmp_path / "n").exists()


def test_the_reader_leaves_out_what_it_cannot_read(folder: Path) -> None:
    spoil(folder / "1.png", "text")
    spoil(folder / "2.png", "cut")
    unread: dict[Path, str] = {}
    files = ImageFiles(find_images(folder), cache_bytes=0, unread=unread)
    assert len(files) == 149
    assert list(unread) == [folder / "1.png"]
    import torch

    assert len(files.take(torch.arange(3))) == 2
    assert list(unread) == [folder / "1.png", folder / "2.png"]
    assert all(str(path) in reason for path, reason in unread.items())


def test_a_damaged_video_keeps_what_comes_before_the_damage(
    run: Run, watcher: VideoMemAE, squares: Callable[..., Any], tmp_path: Path
) -> None:
    watcher.save(tmp_path / "m")
    for name in ("one", "two", "three"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for number, frame in enumerate(squares(30 if name != "three" else 2)):
            Image.fromarray(frame).save(tmp_path / "in" / name / f"{number}.png")
    spoil(tmp_path / "in" / "one" / "20.png", "cut")
    ran = run("score", tmp_path / "m", tmp_path / "in", "-o", tmp_path / "s.csv")
    assert ran.code == 1
    frames = pd.read_csv(tmp_path / "s.csv").groupby("path")["frame"].max()
    assert frames[str(tmp_path / "in" / "two")] == 29
    assert str(tmp_path / "in" / "three") not in frames
    assert "one/20.png is damaged" in ran.err
    assert "three has 2 frames, the model needs 4" in ran.err
    assert "2 files could not be read, or not to their end" in ran.err
    alone = run("score", tmp_path / "m", tmp_path / "in" / "one", "-o", tmp_path / "t.csv")
    assert alone.code == 1
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not have such names")
@pytest.mark.parametrize("output", [None, "s.csv", "s.jsonl", "s.parquet"])
def test_names_that_are_no_text(
    run: Run, detector: ImageMemAE, folder: Path, tmp_path: Path, output: str | None
) -> None:
    detector.save(tmp_path / "m")
    odd = os.fsdecode(b"gr\xfcn.png")
    for path in list(folder.iterdir())[1:]:
        path.unlink()
    next(folder.iterdir()).rename(folder / odd)
    ran = run("score", tmp_path / "m", folder, *([] if output is None else ["-o", tmp_path / output]))
    assert ran.code == 0
    written = ran.out.encode() if output is None else (tmp_path / output).read_bytes()
    assert "gr\ufffdn.png".encode() in written


# --------------------------------------------------------------------------------- the same on every surface


def labelled(folder: Path) -> None:
    """The pictures of a folder as `evaluate` takes them: the first hundred good, the others not."""
    for path in list(folder.iterdir()):
        place = folder / ("good" if int(path.stem) < 100 else "bad")
        place.mkdir(exist_ok=True)
        path.rename(place / path.name)


def test_what_is_no_picture_is_told_by_every_command(
    run: Run, detector: ImageMemAE, folder: Path, tmp_path: Path
) -> None:
    detector.save(tmp_path / "m")
    labelled(folder)
    for name in ("notes.txt", "good/b.mp4", ".hidden.png", "Thumbs.db"):
        (folder / name).write_text("no picture")
    two = "2 files that are no pictures (good/b.mp4, notes.txt)"
    told = f"left out in {folder}: {two} and 1 hidden file or folder (.hidden.png)"
    net = ["--width", 4, "--stride", "2,2", "--epochs", 1, "--warmup", 0, "--n-items", 4]
    for call in (
        ["score", tmp_path / "m", folder, "-o", tmp_path / "s.csv", "--json"],
        ["evaluate", tmp_path / "m", folder, "--json"],
        ["explain", tmp_path / "m", folder, "--top", 1],
        ["report", tmp_path / "m", folder, "-o", tmp_path / "r.html"],
        ["drift", tmp_path / "m", folder],
        ["recalibrate", tmp_path / "m", folder, "-o", tmp_path / "n"],
        ["fit", "images", folder, "-o", tmp_path / "f", *net],
    ):
        ran = run(*call)
        assert ran.code == 0, ran.err
        assert [line for line in ran.err.splitlines() if "left out" in line] == [f"memae: warning: {told}"]
        if "--json" in call:
            assert sorted(json.loads(ran.out)["skipped"]) == sorted(
                str(folder / name) for name in ("notes.txt", "good/b.mp4", ".hidden.png", "Thumbs.db")
            )
    assert f"L{told[1:]}." in (tmp_path / "r.html").read_text()
    with pytest.warns(MemaeWarning, match="left out in .*notes.txt"):
        detector.anomaly_score(folder)


@pytest.mark.parametrize("way", ["text", "cut"])
def test_a_damaged_picture_is_named_by_every_command_that_goes_on(
    run: Run, detector: ImageMemAE, folder: Path, tmp_path: Path, way: str
) -> None:
    detector.save(tmp_path / "m")
    whole = detector.anomaly_score(folder)
    labelled(folder)
    bad = folder / "good" / "3.png"
    spoil(bad, way)
    for call in (
        ["score", "-o", tmp_path / "s.csv", "--json"],
        ["evaluate", "--json"],
        ["explain", "--json", "--top", 149],
        ["report", "-o", tmp_path / "r.html"],
    ):
        ran = run(call[0], tmp_path / "m", folder, *call[1:])
        assert ran.code == 1
        told = [line for line in ran.err.splitlines() if line.startswith("memae: error: ")]
        assert len(told) == 2
        assert str(bad) in told[0]
        assert told[1].endswith("1 file could not be read, or not to its end; everything else is scored")
        if call[0] == "explain":
            *lines, last = [json.loads(line) for line in ran.out.splitlines()]
            assert last == {"unread": [str(bad)]}
            scores = {Path(line["name"]).name: line["score"] for line in lines}
            expected = {f"{number}.png": whole[number] for number in range(150) if number != 3}
            assert scores == pytest.approx(expected, rel=1e-12)
        elif call[0] != "report":
            facts = json.loads(ran.out)
            assert facts["unread"] == [str(bad)]
            assert facts["samples"] == 149
    page = (tmp_path / "r.html").read_text()
    assert "could not be read and scored, or not to their end: 1 of them (good/3.png)" in page
    assert "149 scored" in ran.err


def test_where_no_picture_can_be_read_every_command_stops(
    run: Run, detector: ImageMemAE, folder: Path, tmp_path: Path
) -> None:
    detector.save(tmp_path / "m")
    labelled(folder)
    for path in folder.rglob("*.png"):
        spoil(path, "cut")
    for call in (["evaluate"], ["explain", "-o", tmp_path / "e.jsonl"], ["report", "-o", tmp_path / "r.html"]):
        ran = run(call[0], tmp_path / "m", folder, *call[1:])
        assert ran.code == 1
        assert ran.err.startswith("memae: error: none of 150 files could be read; the first: ")
        assert ran.out == ""
    assert not (tmp_path / "e.jsonl").exists()
    assert not (tmp_path / "r.html").exists()


@pytest.fixture
def films(squares: Callable[..., Any], tmp_path: Path) -> Path:
    """Two whole videos, one that is damaged after 20 frames, and one that is too short."""
    root = tmp_path / "films"
    for name in ("calm", "cut", "odd", "short"):
        (root / name).mkdir(parents=True)
        for number, frame in enumerate(
            squares(2 if name == "short" else 60, odd=(30, 45) if name == "odd" else (0, 0))
        ):
            Image.fromarray(frame).save(root / name / f"{number:02d}.png")
        np.save(root / f"{name}.npy", np.arange(60) // 15 == 2)
    spoil(root / "cut" / "20.png", "cut")
    return root


def test_a_damaged_video_is_named_by_every_command_that_goes_on(
    run: Run, watcher: VideoMemAE, films: Path, tmp_path: Path
) -> None:
    watcher.save(tmp_path / "m")
    calls = (
        ["score", "-o", tmp_path / "s.csv", "--json"],
        ["evaluate", "--json"],
        ["explain", "--json", "--top", 2],
        ["report", "-o", tmp_path / "r.html"],
    )
    ran = {call[0]: run(call[0], tmp_path / "m", films, *call[1:]) for call in calls}
    for each in ran.values():
        assert each.code == 1
        assert "cut/20.png is damaged" in each.err
        assert "short has 2 frames, the model needs 4" in each.err or "short has fewer than 4 frames" in each.err
        assert "2 files could not be read, or not to their end" in each.err
    rows = pd.read_csv(tmp_path / "s.csv")
    assert rows.groupby("path")["frame"].max().to_dict() == {
        str(films / name): last for name, last in (("calm", 59), ("cut", 19), ("odd", 59))
    }
    unread = [str(films / "cut"), str(films / "short")]
    assert sorted(json.loads(ran["score"].out)["unread"]) == unread
    assert sorted(json.loads(ran["explain"].out.splitlines()[-1])["unread"]) == unread
    facts = json.loads(ran["evaluate"].out)
    assert sorted(facts["unread"]) == unread
    assert (facts["videos"], facts["samples"]) == (2, 120)  # labels of the damaged one would not fit
    assert "140 scored" in ran["report"].err  # as many as `score` has
    assert int((rows["is_anomaly"] == 1).sum()) == int(ran["report"].err.split(" scored, ")[1].split(" flagged")[0])
    assert "not to their end: 2 of them (cut, short)" in (tmp_path / "r.html").read_text()


def test_frames_before_the_damage_are_those_of_a_video_that_ends_there(
    run: Run, watcher: VideoMemAE, films: Path, squares: Callable[..., Any], tmp_path: Path
) -> None:
    watcher.save(tmp_path / "m")
    run("score", tmp_path / "m", films, "-o", tmp_path / "s.csv")
    rows = pd.read_csv(tmp_path / "s.csv")
    found = rows[rows["path"] == str(films / "cut")]["score"]
    np.testing.assert_allclose(found, watcher.anomaly_score(squares(60)[:20]), rtol=1e-6)
