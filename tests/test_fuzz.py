"""Hostile files: a short campaign of every format, that failures are seen, and what longer campaigns have found."""

import hashlib
import json
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from fuzz import child, images, model_files, mutations, videos
from fuzz.__main__ import FORMATS
from fuzz.formats import Format, taken
from measurements.fuzz import campaign, page
from memae.checkpoint import Run as Checkpoint
from memae.cli.score_table import scored
from memae.cli.writing import write
from memae.data import csv_files, pixels
from memae.data import videos as films
from memae.data.cells import kind_of, texts
from memae.data.labels import find_labels
from memae.data.table_files import table_chunks
from memae.data.tables import TableEncoder
from memae.errors import (
    CellError,
    InputError,
    MemaeNotice,
    MemaeWarning,
    ModelFileError,
    OutputError,
    SchemaError,
    SourceError,
    TrainingError,
)
from memae.estimators import TabularMemAE, load
from memae.options import Options
from memae.spec import MemorySpec, Spec, build

Run = Callable[..., Any]
SEED, INPUTS = 4, 60  # without bombs, which take seconds


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        yield


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_what_is_valid_is_taken_and_what_is_spoilt_is_taken_or_refused(format: Format) -> None:  # noqa: A002
    tried = [child.tried(format, data) for data in format.seeds()]
    assert [failure for _, failure in tried if failure] == []
    assert (
        sum(took > 0 for took, _ in tried) > len(tried) / 3
    )  # others are foreign, or no table that the detector knows
    tried = [child.tried(format, format.input(SEED, number), number) for number in range(INPUTS)]
    assert [failure for _, failure in tried if failure] == []
    assert 0 < sum(took > 0 for took, _ in tried) < INPUTS


def test_an_input_is_the_same_in_every_process() -> None:
    code = "from fuzz.__main__ import FORMATS; import hashlib\n"
    code += "for each in FORMATS.values():\n"
    code += f"    print(hashlib.sha256(b''.join(each.input({SEED}, n) for n in range(9))).hexdigest())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    inputs = [b"".join(each.input(SEED, number) for number in range(9)) for each in FORMATS.values()]
    assert ran.stdout.split() == [hashlib.sha256(each).hexdigest() for each in inputs]


# ----------------------------------------------------------------------------------------------- that failures are seen


def test_refusals_are_no_failures_and_all_else_is(tmp_path: Path) -> None:
    def refuse() -> None:
        raise SourceError("no")

    def warn(category: type[Warning]) -> int:
        warnings.warn("hm", category, stacklevel=2)
        return 1

    def fail(error: Exception) -> int:
        raise error

    def of(target: Callable[[bytes], int]) -> tuple[int, str | None]:
        took, failure = child.tried(Format("x", tuple, lambda *_: b"", target), b"")
        return took, failure and failure.kind

    assert taken(refuse, lambda: None, refuse) == 1
    assert of(lambda _: taken(refuse, lambda: None)) == (1, None)
    assert of(lambda _: warn(MemaeWarning)) == (1, None)
    assert of(lambda _: warn(RuntimeWarning)) == (1, "warning")
    assert of(lambda _: fail(MemoryError())) == (0, "memory")
    assert of(lambda _: fail(KeyError("x"))) == (0, "KeyError")


DYING = """
    import os, sys, time
    from pathlib import Path
    from fuzz import child
    from fuzz.formats import Format
    child.SECONDS, child.WAITING, child.MEMORY = {limits}, 2**28
    folder = Path(sys.argv[1])
    (folder / "now").touch()
    def target(data):
        number = int(data)
        if number == 1:
            print("library: something odd", file=sys.stderr)
        if number == 2:
            bytearray(2**30)
        if number == 5:
            {end}
        return number % 2
    child.run(Format("x", tuple, lambda _, random: b"%d" % next(numbers), target), 0, range(7), folder)
"""


@pytest.mark.parametrize(
    ("end", "limits", "signal"),
    [
        ("while True: pass", "0.3, 99", "SIGPROF"),
        ("time.sleep(9)", "9, 0.5", "SIGALRM"),
        ("os.abort()", "9, 99", "SIGABRT"),
        ("pass", "9, 99", None),
    ],
)
def test_whatever_ends_a_process_is_known_by_its_input(
    tmp_path: Path, end: str, limits: str, signal: str | None
) -> None:
    code = textwrap.dedent(DYING).format(end=end, limits=limits)
    code = code.replace("child.run(", "numbers = iter(range(7))\nchild.run(")
    with (tmp_path / "stderr").open("w+") as stderr:
        ran = subprocess.run([sys.executable, "-c", code, tmp_path], stderr=stderr, check=False)
    failures = [json.loads(line) for line in (tmp_path / "failures").read_text().splitlines()]
    found = [(failure["number"], failure["kind"]) for failure in failures]
    assert found == [(1, "stderr"), (2, "memory")]
    if signal is None:
        assert ran.returncode == 0
        tally = campaign.Found(**json.loads((tmp_path / "tally").read_text()))
        assert (tally.inputs, tally.taken) == (7, 3)
    else:
        assert campaign.ENDS[campaign.signal.Signals(-ran.returncode)] in ("hang", "crash")
        assert campaign.signal.Signals(-ran.returncode).name == signal
        assert int((tmp_path / "now").read_bytes()) == 5


def test_a_campaign_is_counted_and_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    found = campaign.run(9, SEED, 1, ["model_files"])
    assert found["figures"]["fuzz/inputs"]["value"] == 9
    assert found["figures"]["fuzz/failures"]["value"] == 0
    assert found["formats"]["model_files"]["inputs"] == 9
    assert set(campaign.TARGETS) == set(found["figures"])
    told = "\n".join(page._lines(found | {"provenance": {"command": "c", "commit": "abc"}}))
    assert "**9** inputs: **0** failures" in told
    assert "| model files | 9 |" in told


# -------------------------------------------------------------------------------------------------------- tables, found


def csv(tmp_path: Path, text: str) -> Path:
    (tmp_path / "a.csv").write_text(text)
    return tmp_path / "a.csv"


def parquet(tmp_path: Path, table: Any) -> Path:
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def learned(path: Path) -> TableEncoder:
    return TableEncoder.fit(table_chunks(path)())[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2,3\n", "names 2 columns but has 3 values in its first row"),
        ("a,b\n1,2,\n3,4,5\n", "cannot be read as a table: Length of header"),  # it lost the 5 without a word
        (",".join(f"c{n}" for n in range(20_001)) + "\n", "20,001 columns, over the limit of 20,000; leave some out"),
        ("a\n" + "9" * 400 + "\n1\n", "column 'a' holds whole numbers beyond ±1e308"),
    ],
)
def test_csv_files_that_are_something_else(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        learned(csv(tmp_path, text))


def test_a_csv_file_with_an_endless_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "SAMPLE", 100)
    with pytest.raises(SourceError, match="more than 100 characters; is it a table of text"):
        learned(csv(tmp_path, "a" * 101))
    assert learned(csv(tmp_path, f"a,b\n1,{'x' * 200}\n2,y\n")).width == 4  # a cell may be as long as it likes
    monkeypatch.undo()
    assert learned(csv(tmp_path, f'a,b\n1,"{"x" * 200_000}"\n2,y\n')).width == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2019,2020\n1,2\n3,4\n", r"all column names are numbers \(2019, 2020\); if that is a row of values"),
        (
            ",a\n0.5,2\n1,4\n",
            "its first column has no name; if it numbers the rows, leave it out with --ignore 'Unnamed: 0'",
        ),
    ],
)
def test_doubtful_headers_are_told_when_they_are_learned(tmp_path: Path, text: str, words: str) -> None:
    path = csv(tmp_path, text)
    with pytest.warns(MemaeWarning, match=words):
        learned(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", MemaeNotice)
        list(table_chunks(path, text=[])())  # what a model knows is not doubted again


@pytest.mark.parametrize(
    "text", ["0,1,2\n5,6,7\n", "a;b\n1\n2\n", "price;EUR\n5\n", "a,b\n1,2,\n3,4,\n", "\ufeffa,b\n1,2\n"]
)
def test_headers_that_only_look_odd_are_taken(tmp_path: Path, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert learned(csv(tmp_path, text)).width > 0


def test_parquet_of_odd_content(tmp_path: Path) -> None:
    numbers = {"a": pa.array([1.0, 2.0, 3.0])}
    for metadata in (b"[]", b"{}", b'{"columns": 1}', b"\xff"):
        table = pa.table(numbers).replace_schema_metadata({b"pandas": metadata})
        with pytest.raises(SourceError, match=r"a\.parquet cannot be read as a table"):
            learned(parquet(tmp_path, table))
    with pytest.raises(SourceError, match="20,001 columns, over the limit"):
        learned(parquet(tmp_path, {f"c{n}": pa.array([1]) for n in range(20_001)}))
    with pytest.raises(CellError, match=r"holds .* values; argument must be a string or a real number") as caught:
        learned(parquet(tmp_path, {"a": [[1], [2], None]}))
    assert isinstance(caught.value, TypeError)  # as scikit-learn wants it
    assert learned(parquet(tmp_path, {"a": [{"x": 1}, {"x": 4}, None]})).columns[0].name == "a.x"
    amounts = learned(parquet(tmp_path, {"a": [Decimal("1.5"), Decimal("2.5"), None]})).columns[0]
    assert (amounts.kind, amounts.mean, amounts.missing) == ("number", 2.0, 1)


def test_parquet_text_that_is_no_utf_8(tmp_path: Path) -> None:
    text = pa.array([b"x", b"gr\xc3n"]).view(pa.string())
    with pytest.raises(SourceError, match=r"a\.parquet cannot be read as a table: .*UTF8"):
        learned(parquet(tmp_path, {"a": [1.0, 2.0], "b": text}))


def test_dates_are_neither_numbers_nor_names_when_scored(tmp_path: Path) -> None:
    encoder = learned(csv(tmp_path, "a,b\n1,x\n2,y\n"))
    days = pd.to_datetime(["2024-01-01", "2024-01-02"])
    with pytest.raises(SchemaError, match="'a' held numbers in training but holds dates or durations now"):
        encoder.encode(pd.DataFrame({"a": days, "b": "x"}))
    with pytest.raises(SchemaError, match="'b' held text in training but holds dates or durations now"):
        encoder.encode(pd.DataFrame({"a": 1.0, "b": days}))


def test_huge_numbers_are_refused_without_a_warning_of_numpy(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="beyond ±1e\\+150"):
            TableEncoder.fit([pd.DataFrame({"a": [1e308, 1e308, 1.0]})])
        encoder, _ = TableEncoder.fit([pd.DataFrame({"a": [1.0, 2.0]})])
        with pytest.raises(InputError, match="infinite"):
            encoder.encode(pd.DataFrame({"a": [np.inf, -np.inf]}))


def test_long_texts_are_not_written_out_for_each_row() -> None:
    long = "x" * 10**6
    column = pd.Series(pd.Categorical.from_codes([0] * 3000, categories=[long]))
    found = texts(column)  # 3 GB, if each row had its own
    assert found.names == [long]
    assert found.codes.tolist() == [0] * 3000
    assert kind_of(column) == "category"


@pytest.fixture(scope="module")
def detector() -> TabularMemAE:
    return TabularMemAE(4, epochs=1, warmup=0, false_alarm_rate=0.2, ignore=("more",)).fit(
        pd.DataFrame({"a": np.arange(40.0), "more": 0})
    )


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    "more",
    [
        pa.array([2**62, 0], pa.timestamp("ms", "Europe/Berlin")),  # pandas crashed on it as JSON
        pa.array([2**62, 0], pa.duration("s")),
        pa.array([[1, 2], None], pa.list_(pa.int64())),
        pa.array([b"\xff", None]),
        pa.array([float("inf"), float("nan")]),
        pa.array([True, None]),
    ],
    ids=["date", "duration", "list", "bytes", "infinite", "bool"],
)
def test_odd_columns_are_kept_or_refused(tmp_path: Path, detector: TabularMemAE, more: pa.Array, ending: str) -> None:
    source = parquet(tmp_path, {"a": [1.0, 2.0], "more": more})
    output = tmp_path / f"s.{ending}"
    if more.type == pa.timestamp("ms", "Europe/Berlin") and ending != "parquet":
        with pytest.raises(OutputError, match="choose another ending for the output, or leave out --keep"):
            write(scored(detector, detector.kind_, source, keep=True), output)
        assert not output.exists()
        return
    write(scored(detector, detector.kind_, source, keep=True), output)
    if ending == "jsonl":
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        assert [row["score"] for row in rows] == detector.anomaly_score(pd.DataFrame({"a": [1.0, 2.0]})).tolist()
        assert "Infinity" not in output.read_text()
    assert output.stat().st_size > 0


def test_columns_that_are_called_like_ours_are_kept_under_another_name(tmp_path: Path, detector: TabularMemAE) -> None:
    model = TabularMemAE(4, epochs=1, warmup=0, false_alarm_rate=0.2).fit(pd.DataFrame({"score": np.arange(40.0)}))
    (part,) = scored(model, model.kind_, csv(tmp_path, "score\n1\n2\n"), keep=True)
    assert list(part.columns) == ["row", "score", "p_value", "is_anomaly", "score_input"]
    assert part["score_input"].tolist() == [1, 2]


# ---------------------------------------------------------------------------------------------- images and video, found


def test_libraries_keep_quiet_about_what_an_error_tells(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image = Image.fromarray(np.zeros((9, 9, 3), dtype=np.uint8))
    image.save(tmp_path / "a.tif", compression="tiff_adobe_deflate")
    data = (tmp_path / "a.tif").read_bytes()
    for start in (8, 20):
        (tmp_path / "a.tif").write_bytes(data[:start] + b"\xff" * 4 + data[start + 4 :])
        with pytest.raises(SourceError, match=r"a\.tif"):
            pixels.decode(tmp_path / "a.tif", 3)
    (tmp_path / "b.tif").write_bytes(
        data.replace(b"\x15\x01\x03\x00\x01\x00\x00\x00\x03", b"\x15\x01\x03\x00\x01\x00\x00\x00\xff")
    )
    with pytest.raises(SourceError, match=r"b\.tif"):
        pixels.decode(tmp_path / "b.tif", 3)
    assert capfd.readouterr().err == ""


def test_a_length_that_a_file_does_not_have_takes_no_memory(tmp_path: Path) -> None:
    whole = images.png(9, 9, 8, 0, bytes(90))
    (tmp_path / "a.png").write_bytes(whole[:33] + b"\xff" * 4 + whole[37:])  # of IDAT, behind signature and IHDR
    code = "import resource; from pathlib import Path; from memae.data import pixels\n"
    code += "size = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
    code += "resource.setrlimit(resource.RLIMIT_AS, (size + 2**30, -1))\n"
    code += f"print(*pixels.decode(Path({str(tmp_path / 'a.png')!r}), 1).shape)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1", "9", "9"]  # all its pixels are there


def test_deep_colour_has_a_lower_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "MAX_PIXELS", 20)
    (tmp_path / "a.png").write_bytes(images.png(2, 3, 16, 2, bytes(2 * 19)))
    with pytest.raises(SourceError, match="has 6 pixels, over the limit of 5; scale it down"):
        pixels.header(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(images.png(2, 3, 8, 2, bytes(2 * 10)))
    assert pixels.decode(tmp_path / "a.png", 3).shape == (3, 2, 3)


def test_labels_that_are_damaged_are_refused(tmp_path: Path) -> None:
    random, refusals, path = Random(0), 0, tmp_path / "l.npy"  # noqa: S311 (no secret)
    seeds = []
    for labels in (np.arange(10) % 2, np.array(list("0101010101")), np.zeros((2, 5), dtype=bool)):
        np.save(path, labels)
        seeds.append(path.read_bytes())
    for _ in range(500):
        path.write_bytes(mutations.spoiled(random.choice(seeds), seeds, random))
        try:
            find_labels(path, ["video"], [10])
        except InputError as error:
            refusals += "l.npy" in str(error)
    assert 300 < refusals < 500


def test_frames_beyond_a_limit_are_refused_from_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(videos.filmed(videos.KINDS[0]))
    monkeypatch.setattr(films, "MAX_PIXELS", 1000)
    with pytest.raises(SourceError, match=r"frames of 32 x 48 pixels .* over the limit of 1,000 pixels; scale it down"):
        films.read_video(tmp_path / "a.mp4")


def test_large_frames_come_in_smaller_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(videos.filmed(videos.KINDS[0]))
    monkeypatch.setattr(films, "BLOCK_BYTES", 32 * 48 * 3)
    assert [len(frames) for frames, _ in films.frame_blocks(tmp_path / "a.mp4")] == [3, 3, 3, 1]
    monkeypatch.setattr(films, "BLOCK_BYTES", 1)
    assert sum(len(frames) for frames, _ in films.frame_blocks(tmp_path / "a.mp4")) == 10


# --------------------------------------------------------------------------------------------------- model files, found


TABLE, PLAIN, IMAGE, POSITIONS, CLIPS, FILMS = range(6)  # of the seeds


def refused(tmp_path: Path, header: Any, tensors: dict[str, Any]) -> str:
    (tmp_path / "m").write_bytes(model_files.sealed(header, tensors))
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path / "m")
    assert str(tmp_path / "m") in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("seed", "place", "value"),
    [
        (TABLE, "best", 7),
        (TABLE, "best", -1),
        (TABLE, "kind", "image"),
        (TABLE, "history", []),
        (TABLE, "scorer/chunk", 10**9),
        (TABLE, "scorer/chunk", 0),
        (TABLE, "scorer/limit", -1.0),
        (TABLE, "scorer/limit", float("nan")),
        (PLAIN, "scorer/limit", 1e308),
        (TABLE, "scorer/reduction", "none"),
        (TABLE, "scorer/criterion", "relative"),
        (TABLE, "scorer/calibrated", False),
        (TABLE, "spec/shape", [10**9]),
        (TABLE, "spec/widths", [10**9, 2]),
        (TABLE, "spec/columns", [10**9, 1, 1, 4]),
        (TABLE, "spec/columns", [-1, 2, 2, 4]),
        (TABLE, "spec/memory/items", 10**12),
        (TABLE, "spec/memory/temperature", "hot"),
        (TABLE, "spec/memory/temperature", float("nan")),
        (TABLE, "spec/turns", 4),
        (TABLE, "parameters/more", 1),
        (TABLE, "parameters/ignore", "id"),
        (TABLE, "parameters/epochs", 10**400),
        (TABLE, "encoding/columns", []),
        (TABLE, "encoding/columns/0/kind", "text"),
        (TABLE, "encoding/columns/0/name", "b"),
        (TABLE, "encoding/columns/0/missing", 3),
        (IMAGE, "spec/turns", 3),
        (IMAGE, "encoding/shape", [1, 10**6, 12]),
        (IMAGE, "encoding/unit", "metres"),
        (IMAGE, "examples", ["only one"]),
        (POSITIONS, "spec/shape", [1, 10**6, 10**6]),
        (POSITIONS, "parameters/size", [10**6, 10**6]),
        (POSITIONS, "parameters/size", "12"),
        (CLIPS, "spec/paces", []),
        (FILMS, "parameters/score_step", 0),
        (FILMS, "parameters/smooth", 2),
        (FILMS, "parameters/length", 5),
        (FILMS, "parameters/channels", 3),
        (FILMS, "encoding/video_format", {"height": 240}),
        (FILMS, "encoding/video_format", {"height": 240, "width": 0, "rate": 25.0}),
        (FILMS, "encoding/video_format", {"height": 240, "width": 10**400, "rate": None}),
        (FILMS, "encoding/video_format", {"height": 240, "width": 360, "rate": float("nan")}),
    ],
)
def test_headers_that_lie_are_refused_before_memory_is_taken(tmp_path: Path, seed: int, place: str, value: Any) -> None:
    header, tensors = model_files.opened(model_files.seeds()[seed])
    *above, last = [int(name) if name.isdigit() else name for name in place.split("/")]
    inside: Any = header
    for name in above:
        inside = inside[name]
    inside[last] = value
    refused(tmp_path, header, tensors)


def test_tensors_that_lie_are_refused(tmp_path: Path) -> None:
    header, tensors = model_files.opened(model_files.seeds()[IMAGE])
    for name, value in tensors.items():
        if value.ndim:
            refused(tmp_path, header, tensors | {name: value[None]})
        if name != "examples.thumbnails":  # which a model may lack
            refused(tmp_path, header, {each: tensors[each] for each in tensors if each != name})
    for name in ("scaling.center", "measures.2.items", "model.decoder.0.weight", "calibration.rate"):
        refused(tmp_path, header, tensors | {name: torch.full_like(tensors[name], -1).to(torch.int64)})
    refused(tmp_path, header, tensors | {"examples.index": tensors["examples.index"] + 100})
    refused(tmp_path, header, tensors | {"calibration.scores": tensors["calibration.scores"] * torch.nan})
    table, rows = model_files.opened(model_files.seeds()[TABLE])
    refused(tmp_path, table, rows | {"model.pretext.masks": torch.zeros_like(rows["model.pretext.masks"])})
    refused(tmp_path, table, rows | {"model.pretext.owner": rows["model.pretext.owner"] + 1})
    (tmp_path / "m").write_bytes(model_files.sealed(header, tensors))
    assert load(tmp_path / "m").kind == "image"  # what was not changed still loads


def test_a_checkpoint_that_is_damaged_is_refused(tmp_path: Path) -> None:
    def fresh() -> Checkpoint:
        return Checkpoint(build(Spec((3,), (2,), memory=MemorySpec(4))), Options(), "run", [])

    fresh().save(tmp_path / "c")
    whole, random, refusals = (tmp_path / "c").read_bytes(), Random(0), 0  # noqa: S311 (no secret)
    for _ in range(300):
        (tmp_path / "c").write_bytes(mutations.spoiled(whole, [whole], random))
        try:
            fresh().load(tmp_path / "c")
        except TrainingError:
            refusals += 1
    assert refusals > 100
    (tmp_path / "c").write_bytes(whole)
    fresh().load(tmp_path / "c")


def test_a_table_of_which_nothing_is_left_is_refused(run: Run, tmp_path: Path, detector: TabularMemAE) -> None:
    detector.save(tmp_path / "m")
    ran = run("score", tmp_path / "m", csv(tmp_path, "more\n1\n2\n"))
    assert ran.code == 1
    assert "the table has no columns" in ran.err


def test_whole_headers_still_load(tmp_path: Path) -> None:
    for data in model_files.seeds():
        (tmp_path / "m").write_bytes(data)
        again = load(tmp_path / "m")
        again.save(tmp_path / "n")
        assert (tmp_path / "n").read_bytes() == data
