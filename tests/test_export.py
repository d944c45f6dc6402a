"""Exported graphs answer as torch does, or are not written."""

import json
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from memae import TabularMemAE, memory
from memae.deployment import export
from memae.deployment.checking import compare, undecided
from memae.deployment.files import OnnxFile, OpenVinoFiles
from memae.engines.graphs import detector_as_onnx
from memae.engines.runtimes import with_onnxruntime
from memae.errors import MissingExtraError, OptionError, OutputError
from memae.scoring.calibration import _below

pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")
pytest.importorskip("onnxscript")

OPTIONS = {"epochs": 2, "warmup": 1, "n_items": 7}  # 1/7 is no number of float32 or float64


def rows(count, seed=0, offset=0.0):
    return np.random.default_rng(seed).normal(offset, 1, (count, 5))


@pytest.fixture(scope="module", params=["keeping", "learned"])
def table(request):
    return (TabularMemAE() if request.param == "keeping" else TabularMemAE(batch_size=32, **OPTIONS)).fit(rows(200))


@pytest.fixture(scope="module")
def exported(table, tmp_path_factory):
    """A table as ONNX."""
    path = tmp_path_factory.mktemp("export") / "table.onnx"
    return path, export(table, path, check=rows(50, seed=1))


# ------------------------------------------------------------------------------------------------------------- graphs


def test_a_table_is_exported_to_the_last_digits(table, exported):
    path, found = exported
    assert found.differences.score < 1e-12
    assert found.differences.error_map < 1e-12
    memory = table.scorer_.model.memory.items
    assert found.differences.samples >= 50 + 2 * 16 + min(len(memory), 16) + 16
    X = rows(300, seed=2)
    score, p_value, is_anomaly, error_map = with_onnxruntime(path.read_bytes())(X)
    np.testing.assert_allclose(score, table.anomaly_score(X), rtol=1e-12)
    assert np.array_equal(p_value, table.p_value(X))
    assert np.array_equal(is_anomaly, table.predict(X) == -1)
    np.testing.assert_allclose(error_map.sum(1), score, rtol=1e-9)
    assert {each.dtype for each in (score, p_value, error_map)} == {np.dtype("float64")}


def test_the_batch_is_free_and_the_description_is_in_the_file(table, exported):
    import onnxruntime

    path, found = exported
    session = onnxruntime.InferenceSession(path)
    assert [(each.name, each.shape) for each in session.get_inputs()] == [("raw", ["batch", 5])]
    assert [each.name for each in session.get_outputs()] == ["score", "p_value", "is_anomaly", "error_map"]
    about = json.loads(session.get_modelmeta().custom_metadata_map["memae"])
    assert about["threshold"] == table.threshold_
    assert about["false_alarm_rate"] == 0.05
    assert about["held_out"] == len(table.calibration_.scores)
    assert [column["at"] for column in about["columns"]] == [0, 1, 2, 3, 4]
    assert about["memae"] == found.description.memae


def test_no_number_of_the_graph_is_rounded(table, exported):
    """Exporters round a plain number to float32: the threshold, a held-out score, would not be that score any more."""
    import onnx

    graph = onnx.load(exported[0]).graph
    numbers = [onnx.numpy_helper.to_array(each).tolist() for each in graph.initializer if not each.dims]
    assert table.threshold_ in numbers
    assert (1 / 7 in numbers) == (table.n_items == 7)  # λ


def test_what_cannot_be_scored_is_flagged(table, exported):
    X = rows(3)
    X[1, 2] = np.nan
    score, p_value, is_anomaly, _ = with_onnxruntime(exported[0].read_bytes())(X)
    assert np.isnan(score).tolist() == [False, True, False]
    assert is_anomaly[1]
    assert p_value[1] == 1 / (len(table.calibration_.scores) + 1)


def test_clips_convolved_in_time_are_exported(watcher, squares):
    graph = detector_as_onnx(watcher.scorer_, watcher.spec_.shape)
    clips = list(watcher._raw(squares(40, 2, odd=(10, 20))))
    for form in (OnnxFile, OpenVinoFiles):
        found = compare(watcher.scorer_, form.of(graph, "{}").started(), clips)
        assert found.worst[1] <= 1e-5
        assert found.samples == len(clips)


# -------------------------------------------------------------------------------------------------------- calibration

FLOATS = st.floats(-10, 10, width=16)


@given(
    arrays.arrays(np.float64, st.integers(1, 40), elements=FLOATS),
    arrays.arrays(np.float64, st.integers(1, 20), elements=FLOATS | st.just(np.nan) | st.just(np.inf)),
)
def test_counting_by_halves_is_a_search(known, scores):
    known = torch.from_numpy(known).sort().values
    found = _below(known, torch.from_numpy(scores))
    assert torch.equal(found, torch.searchsorted(known, torch.from_numpy(scores)))


# ---------------------------------------------------------------------------------------------------------- w = lambda


@pytest.mark.parametrize("on_empty", ["strongest", "zero"])
def test_an_undecided_copy_has_all_weights_at_lambda(on_empty):
    detector = TabularMemAE(batch_size=32, on_empty=on_empty, shrinkage=2.5, **OPTIONS).fit(rows(100))
    scorer = undecided(detector.scorer_)
    x = scorer.normalise(torch.from_numpy(rows(9)))
    z = scorer.model.encode(x)
    w = memory.address(z, scorer.model.memory.items, temperature=scorer.model.memory.log_temperature.exp())
    assert (w == scorer.model.memory.threshold).all()
    assert scorer(torch.from_numpy(rows(9))).fallback.all()
    assert not detector.scorer_(torch.from_numpy(rows(9))).fallback.all()


def test_kept_rows_have_no_lambda():
    assert undecided(TabularMemAE().fit(rows(100)).scorer_) is None


def test_an_epsilon_that_the_exporter_drops_is_found(monkeypatch):
    def literal(w, threshold, *, on_empty):
        """Eq. 7 as the paper prints it."""
        w = (w - threshold).relu() * w / ((w - threshold).abs() + 1e-12)
        return memory.Shrunk(w / w.sum(1, keepdim=True).clamp_min(1e-12), (w == 0).all(1))

    monkeypatch.setattr(memory, "shrink", literal)
    edge = undecided(TabularMemAE(batch_size=32, **OPTIONS).fit(rows(200)).scorer_)
    found = compare(edge, with_onnxruntime(detector_as_onnx(edge, (5,))), [torch.from_numpy(rows(9))])
    assert found.worst == ("score", np.inf)


# -------------------------------------------------------------------------------------------------------------- errors


def test_a_table_that_float32_cannot_hold_is_refused_and_the_old_file_stays(tmp_path):
    detector = TabularMemAE(n_items=0, epochs=2, warmup=0).fit(rows(200, offset=1e6))
    for name in ("m.xml", "m.bin"):
        (tmp_path / name).write_text("old")
    with pytest.raises(OptionError, match=r"differ from that of torch by .* computes in float32 .* export to .onnx"):
        export(detector, tmp_path / "m.xml")
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"m.xml": "old", "m.bin": "old"}


def test_what_cannot_be_written_is_refused_before_anything_is_computed(table, tmp_path, monkeypatch):
    with pytest.raises(OptionError, match=r"model.pt must end in .onnx, or in .xml for OpenVINO"):
        export(table, tmp_path / "model.pt")
    with pytest.raises(OutputError, match="does not exist"):
        export(table, tmp_path / "nowhere" / "model.onnx")
    for package, name in (("onnxruntime", "m.onnx"), ("openvino", "m.xml")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtraError, match=rf"{package} needs .*pip install 'memae\[engines\]'"):
            export(table, tmp_path / name)
