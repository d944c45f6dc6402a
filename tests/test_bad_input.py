"""Bad input: one sentence on stderr with the value and a remedy, exit code 1, and nothing lost or half-written."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from memae.data import pixels
from memae.demo import street
from memae.errors import InputError, ResourceError
from memae.estimators import ImageMemAE, TabularMemAE, VideoMemAE, load

RNG = np.random.default_rng(0)
ROWS = pd.DataFrame(RNG.normal(size=(60, 3)), columns=list("abc")).assign(kind=RNG.choice(["x", "y"], 60))
SMALL = ["--epochs", "1", "--warmup", "0", "--n-items", "4", "--false-alarm-rate", "0.1"]
NET = ["--width", "4", "--width", "4", "--stride", "2,2", "--stride", "2,2"]
CLIPS = ["--width", "4", "--stride", "2,2,2", "--native-size", "--length", "4"]
OPTIONS = {"table": ["--width", "4"], "images": NET, "video": CLIPS}


Run = Callable[..., Any]  # the fixture of conftest.py: gives code, out, err


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.fixture
def refused(run: Run, tmp_path: Path) -> Callable[..., str]:
    """Runs a command that must be refused, and gives what was said."""

    def call(*arguments: object, words: list[str]) -> str:
        before = tree(tmp_path)
        ran = run(*arguments)
        told = [
            line for line in ran.err.splitlines() if not line.startswith(("memae: warning: ", "reading ", "features: "))
        ]
        assert len(told) == 1, ran.err
        assert told[0].startswith("memae: error: ")
        assert ran.code == 1
        for word in words:
            assert word in told[0]
        assert len(told[0]) > 40
        assert ran.out == ""
        assert tree(tmp_path) == before
        return told[0]

    return call


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    small: dict[str, Any] = {"epochs": 1, "warmup": 0, "n_items": 4, "false_alarm_rate": 0.1, "widths": (4,)}
    files = folder / "files"
    files.mkdir()
    for number in range(30):
        write(files / f"{number}.png")
    TabularMemAE(**small).fit(ROWS).save(folder / "table")
    ImageMemAE(**small, strides=((2, 2),)).fit(files).save(folder / "images")
    clips: dict[str, Any] = {"strides": ((2, 2, 2),), "size": "native", "length": 4}
    VideoMemAE(**small, **clips).fit(films(2)).save(folder / "video")
    return {kind: folder / kind for kind in ("table", "images", "video")}


def write(path: Path, size: tuple[int, int] = (12, 12), mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3) if mode == "RGB" else size
    Image.fromarray(RNG.integers(0, 255, shape).astype(np.uint8)).save(path)
    return path


def films(count: int = 1) -> Any:
    return [street(60, seed)[:, ::4, ::4].copy() for seed in range(count)]


def frames(folder: Path, video: Any) -> Path:
    folder.mkdir(parents=True)
    for place, frame in enumerate(video):
        Image.fromarray(frame).save(folder / f"{place}.png")
    return folder


def encoded(path: Path, count: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 24, 16, "yuv420p"  # type: ignore[attr-defined]
        for frame in street(count, 0)[:, ::4, ::4]:
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "gray")):  # type: ignore[attr-defined]
                container.mux(packet)
        for packet in stream.encode():  # type: ignore[attr-defined]
            container.mux(packet)
    return path


# ------------------------------------------------------------------------------------------- sources that hold nothing


@pytest.mark.parametrize("kind", ["table", "images", "video"])
@pytest.mark.parametrize("source", ["missing", "folder", "file", "foreign"])
@pytest.mark.parametrize("command", ["fit", "score", "evaluate"])
def test_empty_and_foreign_sources(
    refused: Any, models: dict[str, Path], tmp_path: Path, kind: str, source: str, command: str
) -> None:
    name = {"table": "a.csv", "images": "a.png", "video": "a.mp4"}[kind] if source == "file" else source
    path = tmp_path / name
    if source == "folder":
        path.mkdir()
    if source == "file":
        path.touch()
    if source == "foreign":
        path = tmp_path / "a.docx"
        path.write_text("text")
    labels = ["--labels", "kind"] if kind == "table" else []
    call = {
        "fit": ["fit", kind, path, "-o", tmp_path / "m", *SMALL, *OPTIONS[kind]],
        "score": ["score", models[kind], path, "-o", tmp_path / "s.csv"],
        "evaluate": ["evaluate", models[kind], path, *labels],
    }[command]
    refused(*call, words=[str(path)])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n", ["0 rows", "at least"]),
        ("a,b\n1,2\n", ["1 sample", "at least 2"]),
        ("a,b\n1,2\n3,inf\n4,5\n", ["'b'", "infinite", "row 1"]),
        ("a,b\n,\n,\n,\n", ["no column is left to learn from: columns 'a', 'b'", "had no value"]),
        ("a,b\n1,2\n3,4,5,6\n", ["cannot be read"]),
        ("\x00\x01\x02", ["its byte 0 is 0, which no text has"]),
        ("\n\n", ["a.csv"]),
    ],
    ids=["header", "one row", "infinity", "all missing", "ragged", "binary", "blank"],
)
def test_tables_that_cannot_be_learned(refused: Any, tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "a.csv").write_text(text)
    refused("fit", "table", tmp_path / "a.csv", "-o", tmp_path / "m", *SMALL, words=words)


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_without_rows_is_not_scored(
    refused: Any, models: dict[str, Path], tmp_path: Path, ending: str, form: str
) -> None:
    path = tmp_path / f"a.{form}"
    ROWS.head(0).to_csv(path, index=False) if form == "csv" else ROWS.head(0).to_parquet(path)
    refused("score", models["table"], path, "-o", tmp_path / f"s.{ending}", words=[" rows"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.drop(columns="b"), ["column 'b' missing; the model was fitted with it"]),
        (lambda rows: rows.assign(a="text"), ["'a'", "numbers", "'text'"]),
        (lambda rows: rows.assign(a=np.inf), ["'a'", "infinite"]),
    ],
    ids=["missing", "type", "infinite"],
)
@pytest.mark.parametrize("old", [None, b"old scores"], ids=["new", "old"])
def test_columns_of_another_table(
    refused: Any, models: dict[str, Path], tmp_path: Path, change: Any, words: list[str], old: bytes | None
) -> None:
    change(ROWS).to_csv(tmp_path / "a.csv", index=False)
    if old:
        (tmp_path / "s.csv").write_bytes(old)
    refused("score", models["table"], tmp_path / "a.csv", "-o", tmp_path / "s.csv", words=words)


@pytest.mark.parametrize("command", ["score", "explain", "drift", "recalibrate", "report"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.assign(new=1), ["column 'new' not known", "--ignore new"]),
        (lambda rows: rows[["b", "a", "c", "kind"]], ["in another order", "expected 'a', 'b'"]),
    ],
    ids=["added", "reordered"],
)
def test_strict_commands_refuse_columns_that_could_be_put_right(
    refused: Any, models: dict[str, Path], tmp_path: Path, change: Any, words: list[str], command: str
) -> None:
    change(ROWS).to_csv(tmp_path / "a.csv", index=False)
    output = {"recalibrate": ["-o", tmp_path / "m"], "report": ["-o", tmp_path / "r.html"]}.get(command, [])
    refused(command, models["table"], tmp_path / "a.csv", "--strict", *output, words=words)


def test_a_huge_number_is_flagged_and_refused_where_errors_are_squared(
    run: Run, refused: Any, models: dict[str, Path], rows: Path, tmp_path: Path
) -> None:
    ROWS.assign(a=1e300).to_csv(tmp_path / "a.csv", index=False)
    ran = run("score", models["table"], tmp_path / "a.csv", "-o", tmp_path / "s.csv")
    assert ran.code == 0
    assert f"{len(ROWS)} flagged" in ran.err
    (tmp_path / "s.csv").unlink()
    run("fit", "table", rows, "-o", tmp_path / "m", "--protocol", "paper", "--epochs", 1)
    refused("score", tmp_path / "m", tmp_path / "a.csv", "-o", tmp_path / "s.csv", words=["too far outside"])


def test_a_constant_table_works_and_is_reported(run: Run, tmp_path: Path) -> None:
    pd.DataFrame({"a": [3.0] * 60, "kind": ["x"] * 60}).to_csv(tmp_path / "a.csv", index=False)
    ran = run("fit", "table", tmp_path / "a.csv", "-o", tmp_path / "m", *SMALL)
    assert ran.code == 0
    [sentence] = [line for line in ran.err.splitlines() if line.startswith("memae: warning:")]
    assert "all 60 rows are alike" in sentence
    scores = load(tmp_path / "m").anomaly_score(pd.DataFrame({"a": [3.0, 4.0], "kind": ["x", "new"]}))
    assert np.isfinite(scores).all()
    assert scores[1] > scores[0]


# ---------------------------------------------------------------------------------------------------- images and video


def spoil(folder: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = folder / "30.png"
    if way == "zero":
        bad.touch()
    elif way == "truncated":
        bad.write_bytes((folder / "0.png").read_bytes()[:120])
    elif way == "text":
        bad.write_text("this is no image at all")
    elif way == "oversized":
        monkeypatch.setattr(pixels, "MAX_PIXELS", 1000)
        write(bad, (40, 40))
    else:
        write(bad, (13, 12))


@pytest.mark.parametrize(
    ("way", "command"),  # what is scored is in test_unread.py
    [*((way, "fit") for way in ("zero", "truncated", "text", "oversized", "size")), ("size", "score")],
)
def test_images_that_cannot_be_used(
    refused: Any, models: dict[str, Path], tmp_path: Path, way: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        write(tmp_path / "in" / f"{number}.png")
    spoil(tmp_path / "in", way, monkeypatch)
    call = (
        ["fit", "images", tmp_path / "in", "-o", tmp_path / "m", *SMALL, *NET]
        if command == "fit"
        else ["score", models["images"], tmp_path / "in", "-o", tmp_path / "s.csv"]
    )
    refused(*call, words=["size" if way == "size" else "30.png"])


def test_mixed_channels_and_sizes_can_be_brought_together(run: Run, tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path / "in" / f"{number}.png", (12 + number % 3, 12), "RGB" if number % 2 else "L")
    ran = run("fit", "images", tmp_path / "in", "-o", tmp_path / "m", *SMALL, *NET, "--size", 12, 12)
    assert ran.code == 0
    assert load(tmp_path / "m").shape_ == (3, 12, 12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_must_be_finite(bad: float) -> None:
    images = RNG.normal(size=(20, 12, 12))
    images[3, 2, 1] = bad
    with pytest.raises(InputError, match=r"not finite.*\(3, 0, 2, 1\)"):
        ImageMemAE(epochs=1).fit(images)
    with pytest.raises(InputError, match="not finite"):
        VideoMemAE(epochs=1).fit(images)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("short", ["3 frames", "4"]),
        ("cut", ["a.avi", "cut off"]),
        ("corrupt", ["a.avi"]),
        ("text", ["a.avi", "damaged"]),
        ("changing", ["frame 5", "single size"]),
        ("frame", ["30.png"]),
        ("other size", ["(1, 16, 24)", "(1, 12, 12)"]),
    ],
)
def test_videos_that_cannot_be_scored(
    refused: Any, models: dict[str, Path], tmp_path: Path, way: str, words: list[str]
) -> None:
    path = tmp_path / "a.avi"
    if way == "short":
        encoded(path, 3)
    elif way in ("cut", "corrupt"):
        data = bytearray(encoded(path, 60).read_bytes())
        middle = len(data) // 2
        if way == "cut":
            del data[middle:]
        else:
            data[middle : middle + 4000] = RNG.bytes(4000)
        path.write_bytes(data)
    elif way == "text":
        path.write_text("this is no video at all")
    else:
        path = frames(tmp_path / "v", films()[0][:40])
        if way == "changing":
            write(path / "5.png", (14, 24))
        if way == "frame":
            (path / "30.png").write_bytes(b"")
        if way == "other size":
            path = frames(tmp_path / "w", RNG.integers(0, 255, (9, 12, 12)).astype(np.uint8))
    refused("score", models["video"], path, "-o", tmp_path / "s.csv", words=words)


def test_a_video_too_short_to_learn(refused: Any, tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.avi", 7)
    call = ["fit", "video", path, "-o", tmp_path / "m", *SMALL, *CLIPS]
    refused(*call, words=["7 frames", "at least 8", "Lower the length"])


# --------------------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([], ["--labels COLUMN"]),
        (["--labels", "truth"], ["'truth'", "'kind'"]),
        (["--labels", "label"], ["bad, fine", "--normal"]),
        (["--labels", "label", "--normal", "nice"], ["no row has the label nice", "--normal"]),
    ],
)
def test_labels_of_a_table_that_do_not_match(
    refused: Any, models: dict[str, Path], tmp_path: Path, labels: list[str], words: list[str]
) -> None:
    ROWS.assign(label=["fine", "bad"] * 30).to_csv(tmp_path / "a.csv", index=False)
    refused("evaluate", models["table"], tmp_path / "a.csv", *labels, words=words)


def test_labels_of_images_that_do_not_match(refused: Any, models: dict[str, Path], tmp_path: Path) -> None:
    write(tmp_path / "in" / "crack" / "1.png")
    refused("evaluate", models["images"], tmp_path / "in", words=["good", "crack"])
    refused("evaluate", models["images"], tmp_path / "in", "--labels", "x", words=["--labels", "good/"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: np.save(folder / "l.npy", np.zeros(59)), ["59 labels", "60 frames"]),
        (lambda folder: np.save(folder / "l.npy", np.arange(60)), ["0 (normal) and 1", "2"]),
        (lambda folder: (folder / "l.npy").write_text("no array"), ["l.npy", "np.save"]),
        (lambda folder: None, ["l.npy"]),
    ],
    ids=["too few", "not binary", "damaged", "missing"],
)
def test_labels_of_video_that_do_not_match(
    refused: Any, models: dict[str, Path], tmp_path: Path, make: Any, words: list[str]
) -> None:
    frames(tmp_path / "v", films()[0])
    make(tmp_path)
    refused("evaluate", models["video"], tmp_path / "v", "--labels", tmp_path / "l.npy", words=words)


# -------------------------------------------------------------------------------------------------------------- writing


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


@pytest.mark.parametrize("command", ["fit", "score"])
def test_output_that_cannot_be_written(
    refused: Any, models: dict[str, Path], rows: Path, tmp_path: Path, command: str
) -> None:
    start = ["fit", "table", rows, *SMALL] if command == "fit" else ["score", models["table"], rows]
    refused(*start, "-o", tmp_path / "none" / "m.csv", words=[str(tmp_path / "none"), "does not exist", "make it"])
    refused(*start, "-o", tmp_path, words=[str(tmp_path), "is a folder"])
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        refused(*start, "-o", tmp_path / "locked" / "m.csv", words=["locked", "permission"])


def test_permission_is_asked_for_before_training(
    refused: Any, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    refused("fit", "table", rows, "-o", tmp_path / "m", *SMALL, words=[str(tmp_path / "m"), "no permission"])


def test_endings_are_checked_before_scoring(refused: Any, models: dict[str, Path], rows: Path, tmp_path: Path) -> None:
    refused("score", models["table"], rows, "-o", tmp_path / "s.xlsx", words=["s.xlsx", ".csv", ".parquet", ".jsonl"])
    refused("score", models["table"], rows, "--maps", tmp_path / "maps", words=["--maps", "images and video"])
    refused("score", models["video"], rows, "--keep", words=["--keep", "tables"])


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "stop"])
@pytest.mark.parametrize("command", ["fit", "score"])
def test_full_disk_or_interrupt_while_writing_keeps_the_old_file(
    run: Run, models: dict[str, Path], rows: Path, tmp_path: Path, command: str, failure: BaseException,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    output = tmp_path / "out.csv"
    output.write_bytes(b"old")
    write_bytes, to_csv = Path.write_bytes, pd.DataFrame.to_csv

    def half_bytes(path: Path, data: bytes) -> int:
        if "checkpoint" in path.name:
            return write_bytes(path, data)
        write_bytes(path, data[: len(data) // 2])
        raise failure

    def half_csv(frame: pd.DataFrame, *more: Any, **options: Any) -> None:
        to_csv(frame.head(3), *more, **options)
        raise failure

    monkeypatch.setattr(Path, "write_bytes", half_bytes)
    monkeypatch.setattr(pd.DataFrame, "to_csv", half_csv)
    start = ["fit", "table", rows, *SMALL] if command == "fit" else ["score", models["table"], rows]
    ran = run(*start, "-o", output)
    monkeypatch.undo()
    assert output.read_bytes() == b"old"
    kept = {"rows.csv", "out.csv"} | ({"out.csv.checkpoint"} if command == "fit" else set())
    assert {path.name for path in tmp_path.iterdir()} == kept
    last = ran.err.splitlines()[-1]
    if isinstance(failure, OSError):
        assert ran.code == 1
        assert last.startswith(f"memae: error: cannot write {output}: No space left on device")
        assert "untouched" in last
    else:
        assert ran.code == 130
        assert last.startswith("memae: interrupted; no incomplete file was left")
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        MemoryError(),
    ],
    ids=["cpu", "cuda", "python"],
)
def test_out_of_memory_says_what_to_lower(
    run: Run, refused: Any, models: dict[str, Path], rows: Path, tmp_path: Path, failure: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(*_: Any, **__: Any) -> Any:
        raise failure

    monkeypatch.setattr(torch.nn.Linear, "forward", fail)
    refused(
        "fit", "table", rows, "-o", tmp_path / "m", *SMALL, words=["out of memory", "lower the batch size (now 16)"]
    )
    refused("score", models["table"], rows, "-o", tmp_path / "s.csv", words=["out of memory"])
    with pytest.raises(ResourceError, match="lower the batch size"):
        TabularMemAE(4, epochs=1, warmup=0).fit(ROWS)


@pytest.mark.parametrize("bad", [["--n-items", "-3"], ["--temperature", "0"], ["--shrinkage", "99"], ["--alpha", "-1"]])
def test_options_that_cannot_work(refused: Any, rows: Path, tmp_path: Path, bad: list[str]) -> None:
    refused("fit", "table", rows, "-o", tmp_path / "m", *SMALL, *bad, words=[bad[1]])


def test_diverging_training(refused: Any, rows: Path, tmp_path: Path) -> None:
    call = ["fit", "table", rows, "-o", tmp_path / "m", *SMALL, "--epochs", 5, "--learning-rate", "1e30"]
    refused(*call, words=["not finite", "lower the learning rate (1e+30)"])


# ---------------------------------------------------------------------------------------------------------- model files


@pytest.mark.parametrize("command", ["score", "evaluate", "inspect"])
@pytest.mark.parametrize("way", ["missing", "folder", "empty", "text", "cut", "flipped", "foreign", "newer", "pickle"])
def test_model_files_that_are_none(
    refused: Any, models: dict[str, Path], rows: Path, tmp_path: Path, way: str, command: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model, data = tmp_path / "m", bytearray(models["table"].read_bytes())
    words = {"newer": "upgrade memae", "flipped": "damaged", "cut": "damaged", "foreign": "not one of memae"}
    if way == "folder":
        model.mkdir()
    elif way == "foreign":
        save_file({"x": torch.ones(2)}, model)
    elif way == "newer":
        from memae.modelfile import artifact

        monkeypatch.setattr(artifact, "FORMAT", artifact.FORMAT + 1)
        load(models["table"]).save(model)
        monkeypatch.undo()
    elif way == "pickle":
        torch.save({"x": torch.ones(2)}, model)
    elif way != "missing":
        data[-9] ^= 1
        model.write_bytes({"empty": b"", "text": b"hello", "cut": data[:-20], "flipped": data}[way])
    source = [] if command == "inspect" else [rows]
    refused(command, model, *source, words=[str(model), words.get(way, "fit")])
