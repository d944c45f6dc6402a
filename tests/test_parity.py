"""The promise of the library: the same bytes get the same score on every surface."""

import json
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from measurements.parity import page
from memae import ImageMemAE, TabularMemAE, VideoMemAE, load
from memae.data.streams import View, read_source
from memae.engines.runtimes import with_openvino
from memae.kinds import Notes
from memae.report import survey
from memae.report.looks import look_at
from memae.scoring.calibration import Judged
from memae.watch.watching import Watched, watch

for package in ("onnxruntime", "openvino", "onnxscript"):
    pytest.importorskip(package)

OPTIONS: dict[str, Any] = {"epochs": 3, "warmup": 1, "n_items": 10}
ALONE = Path(__file__).resolve().parents[1] / "examples" / "onnx_alone.py"
WITHOUT = "import runpy, sys; sys.modules |= dict.fromkeys(('memae', 'torch', 'pandas')); "
"""What makes the import of these packages fail."""


class Case(NamedTuple):
    detector: Any
    new: Any  # in memory
    source: Path  # the same, as files
    model: Path


def table(seed: int, rows: int) -> pd.DataFrame:
    """Numbers, numbers of which some are missing, truth, and text."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "amount": random.lognormal(3, 1, rows),
            "age": np.where(random.random(rows) < 0.2, np.nan, random.normal(40, 10, rows)),
            "open": random.random(rows) < 0.3,
            "shop": random.choice(["a", "b, c", "ü", None], rows),
        }
    )


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    new = table(1, 70)
    new.loc[3, "shop"] = "unseen"
    new.to_csv(folder / "new.csv", index=False)
    detector = TabularMemAE().fit(table(0, 300))
    detector.save(folder / "m.memae")
    return Case(detector, new, folder / "new.csv", folder / "m.memae")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    digits = load_digits()
    pixels = (digits.images * 15).astype(np.uint8)
    detector = ImageMemAE(**OPTIONS).fit(pixels[25:][digits.target[25:] == 0])
    new = pixels[:25]
    (folder / "new").mkdir()
    for number, image in enumerate(new):
        Image.fromarray(image).save(folder / "new" / f"{number}.png")
    detector.save(folder / "m.memae")
    return Case(detector, new, folder / "new", folder / "m.memae")


@pytest.fixture(scope="module")
def films(tmp_path_factory, squares):
    """Frames whose sides the positions of the code do not divide."""
    folder = tmp_path_factory.mktemp("film")
    film = np.ascontiguousarray(squares(60)[:, :30, :44])
    detector = VideoMemAE(length=4, widths=(6, 8), smooth=3, score_step=2, false_alarm_rate=0.2, **OPTIONS).fit(film)
    new = np.ascontiguousarray(squares(30, 2, odd=(10, 20))[:, :30, :44])
    (folder / "new").mkdir()
    for number, frame in enumerate(new):
        Image.fromarray(frame).save(folder / "new" / f"{number:03d}.png")
    detector.save(folder / "m.memae")
    return Case(detector, new, folder / "new", folder / "m.memae")


def of_the_command(case: Case, run: Any) -> pd.DataFrame:
    out = case.model.with_name("scores.csv")
    assert run("score", case.model, case.source, "-o", out).code == 0
    return pd.read_csv(out)


def alone(model: Path, source: Path) -> pd.DataFrame:
    """What the example prints in a process that can import neither memae nor torch."""
    code = (
        f"{WITHOUT} sys.argv = {[str(ALONE), str(model), str(source)]!r}; runpy.run_path(sys.argv[0], None, '__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split(",") for line in done.stdout.splitlines()]
    frame = pd.DataFrame(lines[1:], columns=lines[0])
    return frame.assign(score=frame.score.astype(float), p_value=frame.p_value.astype(float))


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", ["tables", "images", "films"])
def test_estimator_file_and_command_line_agree(kind, request, run):
    case = request.getfixturevalue(kind)
    expected = case.detector.anomaly_score(case.new)
    assert np.array_equal(load(case.model).anomaly_score(case.new), expected)
    same(load(case.model).anomaly_score(case.source), expected)
    rows = of_the_command(case, run)
    same(rows["score"], expected)
    same(rows["p_value"], case.detector.p_value(case.new))
    assert np.array_equal(rows["is_anomaly"], expected > case.detector.threshold_)


@pytest.mark.parametrize("kind", ["tables", "images", "films"])
def test_report_and_explain_agree_to_the_last_bit(kind, request):
    case = request.getfixturevalue(kind)
    detector = load(case.model)
    score, p_value = detector.anomaly_score(case.source), detector.p_value(case.source)
    flagged = (score > detector.threshold_).tolist()
    explained = list(detector.explain(case.source, items=0))
    assert [each.score for each in explained] == score.tolist()
    assert [each.p_value for each in explained] == p_value.tolist()
    assert [each.is_anomaly for each in explained] == flagged
    parts = look_at(detector, detector.kind_, case.source, Notes()).scored()
    seen = Judged.joined(part.judged for part in parts)
    assert [column.tolist() for column in seen] == [score.tolist(), p_value.tolist(), flagged]
    found = survey(detector, case.source, 3)
    assert (found.tally.count, found.tally.flagged) == (len(score), sum(flagged))
    # these samples are scored again, in another place of the batch, which may round a matrix product differently
    for reason in found.reasons:
        assert np.abs(score / reason.evidence.score - 1).min() < 1e-12
    assert found.reasons[0].evidence.score == pytest.approx(score.max(), rel=1e-12)


def test_watching_agrees_to_the_last_bit(films, run):
    detector = load(films.model)
    shots = read_source(str(films.source), View(detector.channels, detector.size_), Event())
    seen = [frame for frame in watch(detector, shots) if isinstance(frame, Watched)]
    assert [frame.score for frame in seen] == detector.anomaly_score(films.source).tolist()
    assert [frame.p_value for frame in seen] == detector.p_value(films.source).tolist()
    told = run("watch", films.model, films.source, "--frames")
    assert told.code == 0
    events = [event for event in map(json.loads, told.out.splitlines()) if event["event"] == "frame"]
    np.testing.assert_allclose([event["p_value"] for event in events], detector.p_value(films.source), atol=1e-6)


def test_an_engine_agrees(images):
    expected = images.detector.anomaly_score(images.new)
    same(load(images.model).use_engine("onnxruntime").anomaly_score(images.new), expected)


def test_a_table_is_scored_from_its_file_without_memae_and_torch(tables, run):
    out, labelled = tables.model.with_name("m.onnx"), tables.source.with_name("labelled.csv")
    tables.new.assign(label=0).to_csv(labelled, index=False)
    warned = run("export", tables.model, out, "--check", labelled)
    assert (warned.code, out.exists()) == (0, True)
    assert "'label'" in warned.err
    told = run("export", tables.model, out, "--check", labelled, "--ignore", "label", "--json")
    assert told.code == 0, told.err
    facts = json.loads(told.out)
    assert facts["differences"]["score"] < 1e-12
    assert facts["differences"]["samples"] >= 70 + 32
    rows = alone(out, tables.source)
    same(rows["score"], tables.detector.anomaly_score(tables.new))
    same(rows["p_value"], tables.detector.p_value(tables.new))
    assert np.array_equal(rows["is_anomaly"] == "True", tables.detector.predict(tables.new) == -1)


def test_images_are_scored_by_openvino(images, run):
    out = images.model.with_name("m.xml")
    out.write_text("an old one")
    told = run("export", images.model, out, "--check", images.source, "--false-alarm-rate", "0.2")
    assert told.code == 0, told.err
    assert "float32 (batch × 1 × 8 × 8) → score, p_value, is_anomaly, error_map" in told.err
    about = json.loads(ET.parse(out).find("rt_info/memae").get("value"))  # noqa: S314 (our own file)
    assert about["unit"] == "grey levels"
    assert about["false_alarm_rate"] == 0.2
    found = with_openvino(out.read_bytes(), out.with_suffix(".bin").read_bytes())(images.new[:, None].astype("float32"))
    (expected,) = images.detector.scores(images.new)
    same(found[0], expected.score)
    same(found[1], images.detector.p_value(images.new))
    np.testing.assert_allclose(np.sqrt(found[3]), np.sqrt(expected.error_map.numpy()), atol=1e-5)


def test_frames_of_a_film_are_scored_without_memae_and_torch(films, run):
    out, film = films.model.with_name("m.onnx"), films.model.with_name("film.npy")
    told = run("export", films.model, out, "--check", films.source)
    assert told.code == 0, told.err
    np.save(film, films.new[:, None])
    rows = alone(out, film)
    expected = films.detector.anomaly_score(films.new)
    same(rows["score"], expected)
    same(rows["p_value"], films.detector.p_value(films.new))
    assert np.array_equal(rows["is_anomaly"] == "True", expected > films.detector.threshold_)


def test_the_committed_page_is_what_the_records_say(monkeypatch, tmp_path):
    shown = page.PAGE.read_text()
    monkeypatch.setattr(page, "PAGE", tmp_path / "parity.md")
    page.render()
    assert (tmp_path / "parity.md").read_text() == shown
