"""No command writes over what it reads, nor where it would read it the next time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memae import TabularMemAE, VideoMemAE
from memae.cli.paths import check_apart, check_folder_apart
from memae.errors import OptionError

Run = Callable[..., Any]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
    rows.to_csv(tmp_path / "rows.csv", index=False)
    rows.to_csv(tmp_path / "rows.html", index=False)
    TabularMemAE(4, epochs=1, warmup=0, false_alarm_rate=0.2).fit(rows).save(tmp_path / "m.memae")
    return tmp_path / "m.memae"


@pytest.mark.parametrize(
    "call",
    [
        ["fit", "table", "rows.csv", "-o", "rows.csv"],
        ["score", "m.memae", "rows.csv", "-o", "rows.csv"],
        ["score", "m.memae", "rows.csv", "-o", "m.memae"],
        ["explain", "m.memae", "rows.csv", "-o", "rows.csv"],
        ["report", "m.memae", "rows.html", "-o", "rows.html"],
        ["update", "m.memae", "rows.csv", "-o", "m.memae"],
        ["update", "m.memae", "rows.csv", "-o", "rows.csv"],
        ["recalibrate", "m.memae", "rows.csv", "-o", "m.memae"],
        ["recalibrate", "m.memae", "rows.csv", "-o", "link.csv"],
    ],
)
def test_a_command_that_would_write_over_its_input_is_refused(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch, call: list[str]
) -> None:
    monkeypatch.chdir(model.parent)
    Path("link.csv").symlink_to("rows.csv")
    before = {path.name: path.read_bytes() for path in model.parent.iterdir()}
    ran = run(*call)
    assert ran.code == 1
    assert f"{call[-1]} is an input of this command, or would be the next time, so it is not written" in ran.err
    assert {path.name: path.read_bytes() for path in model.parent.iterdir()} == before


@pytest.mark.parametrize(("output", "check"), [("m.onnx", None), ("x.onnx", "x.onnx"), ("m.xml", None)])
def test_an_export_does_not_replace_the_model_or_its_check(
    run: Run, model: Path, output: str, check: str | None
) -> None:
    place = model.parent
    for name in ("m.onnx", "m.bin", "x.onnx"):
        (place / name).write_bytes(model.read_bytes())
    source = place / ("m.bin" if output == "m.xml" else "m.onnx")
    ran = run("export", source, place / output, *(["--check", place / check] if check else []))
    assert ran.code == 1
    assert "so it is not written" in ran.err
    assert all((place / name).read_bytes() == model.read_bytes() for name in ("m.onnx", "m.bin", "x.onnx"))


def test_pictures_are_not_written_among_those_that_are_read(tmp_path: Path) -> None:
    data, links = tmp_path / "data", tmp_path / "links"
    for name in ("a.png", "deep/b.PNG"):
        (data / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(data / name)
        with pytest.raises(OptionError, match="give another output"):
            check_apart(data / name, data)
    with pytest.raises(OptionError, match="or would be the next time"):
        check_apart(data / "new.mp4", data)
    (data / "m.memae").write_text("the model of before")
    check_apart(data / "m.memae", data)  # may be made anew
    check_apart(data / "a.png", data / "deep", data / "none", None)
    check_apart(None, data)
    links.mkdir()
    (links / "x.png").symlink_to(data / "a.png")
    for output in (data / "a.png", links / "x.png"):
        with pytest.raises(OptionError, match="is not written"):
            check_apart(output, links)
    for folder in (data, data / "maps", data / "deep"):
        with pytest.raises(OptionError, match="give another folder"):
            check_folder_apart(folder, data)
    for folder in (tmp_path, tmp_path / "maps", None):
        check_folder_apart(folder, data)
    check_folder_apart(data, data / "a.png")


def test_maps_do_not_lie_in_what_is_scored(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clips/one").mkdir(parents=True)
    frames = np.random.default_rng(0).integers(0, 255, (40, 16, 16)).astype(np.uint8)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(f"clips/one/{number:06d}.png")
    net: dict[str, Any] = {"length": 4, "widths": (4,), "strides": ((2, 2),), "warmup": 0, "speeds": False}
    VideoMemAE(4, **net, epochs=1, false_alarm_rate=0.2).fit(frames).save("m.memae")
    before = {path: path.read_bytes() for path in Path("clips").rglob("*.png")}
    for call in (
        ["score", "m.memae", "clips", "--maps", "clips"],
        ["score", "m.memae", "clips/one", "--maps", "clips"],
        ["explain", "m.memae", "clips", "--pictures", "clips/why"],
        ["watch", "m.memae", "clips/one", "-o", "clips/one"],
    ):
        ran = run(*call)
        assert ran.code == 1
        assert "give another folder" in ran.err
    assert {path: path.read_bytes() for path in Path("clips").rglob("*") if path.is_file()} == before
    assert run("score", "m.memae", "clips/one", "--maps", "maps").code == 0
    assert len(list(Path("maps/one").iterdir())) == 40
    Path("film.mp4").write_bytes(b"a film")
    ran = run("score", "m.memae", "film.mp4", "--maps", ".")
    assert (ran.code, "the pictures of film.mp4 would be a folder in its place" in ran.err) == (1, True)
