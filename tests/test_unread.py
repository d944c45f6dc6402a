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
from memae.errors import SourceError
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
