"""Other engines score as torch does, and say so where they cannot."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from memae.engines import runtimes
from memae.engines.runtimes import with_engine
from memae.errors import MissingExtraError, OptionError
from memae.estimators import ImageMemAE, TabularMemAE, VideoMemAE, load
from memae.scoring import Scaling, Scorer
from memae.scoring.measures import Error
from memae.spec import MemorySpec, Spec, build

RANDOM = np.random.default_rng(0)


def images(count):
    return RANDOM.integers(0, 256, (count, 28, 28)).astype(np.uint8)


@pytest.fixture(scope="module")
def detectors(tmp_path_factory):
    """A fitted detector of each kind, and data to score."""
    options = {"epochs": 2, "warmup": 1, "n_items": 10}
    video = RANDOM.integers(0, 256, (60, 32, 32)).astype(np.uint8)
    small = {"size": "native", "length": 8, "widths": (8, 16), "strides": ((2, 2, 2), (2, 2, 2)), "batch_size": 2}
    return {
        "table": (TabularMemAE().fit(RANDOM.normal(size=(300, 12))), RANDOM.normal(size=(1500, 12))),
        "learned table": (
            TabularMemAE(batch_size=32, **options).fit(RANDOM.normal(size=(300, 12))),
            RANDOM.normal(size=(1500, 12)),
        ),
        "image": (ImageMemAE(**options).fit(images(100)), images(150)),
        "position": (ImageMemAE(per_position=True, **options).fit(images(100)), images(150)),
        "plain": (ImageMemAE(epochs=2, warmup=0, n_items=0).fit(images(100)), images(150)),
        "video": (VideoMemAE(length=4, false_alarm_rate=0.2, **options).fit(video), video),
        "one pace": (VideoMemAE(length=4, speeds=False, false_alarm_rate=0.2, **options).fit(video), video),
        "in time": (VideoMemAE(false_alarm_rate=0.2, **small, **options).fit(video), video),
    }


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    "kind", ["table", "learned table", "image", "position", "plain", "video", "one pace", "in time"]
)
def test_an_engine_scores_as_torch_does(detectors, kind, engine):
    pytest.importorskip(engine)
    detector, X = detectors[kind]
    expected = detector.anomaly_score(X)
    if engine == "openvino" and "table" in kind:
        with pytest.raises(OptionError, match="float64"):
            detector.use_engine(engine)
        return
    try:
        found = detector.use_engine(engine).anomaly_score(X)
    finally:
        detector.use_engine("torch")
    assert np.allclose(found, expected, rtol=1e-5, atol=0)
    assert np.array_equal(detector.anomaly_score(X), expected)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("on_empty", ["strongest", "zero"])
def test_a_weight_of_exactly_lambda_is_not_a_survivor_anywhere(engine, on_empty):
    pytest.importorskip(engine)
    torch.manual_seed(0)
    model = build(Spec((6,), (5, 4), memory=MemorySpec(8, on_empty=on_empty)))
    with torch.no_grad():
        model.encoder[2].weight.zero_()  # the code is 0 and all weights are 1/8 to the last bit, which is λ
        model.encoder[2].bias.zero_()
    scorer = Scorer(model, Scaling(torch.zeros(6), torch.ones(6)), [Error()], chunk=4).eval()
    raw = torch.randn(4, 6)
    with torch.no_grad():
        expected = scorer(raw)
        found = with_engine(scorer, (6,), engine)(raw)
    assert expected.fallback.all()
    assert torch.equal(found.fallback, expected.fallback)
    assert torch.allclose(found.score, expected.score, rtol=1e-5)
    assert found.x_hat.isfinite().all()


def test_results_of_an_engine_are_not_overwritten_by_the_next_batch(detectors):
    detector, X = detectors["image"]
    for engine in ("onnxruntime", "openvino"):
        pytest.importorskip(engine)
        detector.use_engine(engine)
        kept = [(part.x_hat, part.x_hat.clone()) for part in detector.scores(X)]
        detector.use_engine("torch")
        assert len(kept) > 1
        assert all(torch.equal(now, then) for now, then in kept)


def test_an_engine_whose_scores_differ_is_refused_and_torch_goes_on(detectors, monkeypatch):
    detector, X = detectors["image"]
    expected = detector.anomaly_score(X)

    right = runtimes._OfArrays.__call__

    def wrong(network, x):
        found = right(network, x)
        return found._replace(x_hat=found.x_hat * 1.01)

    monkeypatch.setattr(runtimes._OfArrays, "__call__", wrong)
    with pytest.raises(OptionError, match=r"onnxruntime.*differ by .* torch"):
        detector.use_engine("onnxruntime")
    assert np.array_equal(detector.anomaly_score(X), expected)


@pytest.mark.parametrize(("engine", "package"), [("onnxruntime", "onnxruntime"), ("openvino", "openvino")])
def test_an_engine_that_is_not_installed_names_the_extra(detectors, monkeypatch, engine, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'memae\[engines\]'"):
        detectors["image"][0].use_engine(engine)


def test_without_an_exporter_the_extra_is_named(detectors, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'memae\[engines\]'"):
        detectors["image"][0].use_engine("onnxruntime")


def test_an_unknown_engine_is_refused(detectors):
    with pytest.raises(OptionError, match="torch, onnxruntime, openvino; got 'tensorrt'"):
        detectors["image"][0].use_engine("tensorrt")


def test_the_engine_is_not_saved(detectors, tmp_path):
    pytest.importorskip("onnxruntime")
    detector, X = detectors["image"]
    detector.use_engine("onnxruntime").save(tmp_path / "m.memae")
    detector.use_engine("torch")
    loaded = load(tmp_path / "m.memae")
    assert loaded.scorer_.network is None
    assert np.array_equal(loaded.anomaly_score(X), detector.anomaly_score(X))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_engine_leaves_denormals_as_they_were(detectors, engine):
    pytest.importorskip(engine)
    detector, X = detectors["image"]
    detector.use_engine(engine).anomaly_score(X)
    detector.use_engine("torch")
    assert float(torch.tensor(1e-40) * 1.0) > 0


SIGNALLED = """
import signal, threading
import numpy as np
from memae import VideoMemAE

X = np.random.default_rng(0).integers(0, 256, (60, 32, 32)).astype(np.uint8)
held = [VideoMemAE(10, length=4, epochs=2, warmup=1, false_alarm_rate=0.2).fit(X).use_engine("openvino")]
signal.signal(signal.SIGINT, lambda *_: print("caught"))
dropping = threading.Thread(target=held.clear)
dropping.start()
dropping.join()
signal.raise_signal(signal.SIGINT)
"""


def test_a_signal_does_not_crash_where_a_thread_has_dropped_the_engine():
    """OpenVINO's plugin frees the main thread's stack for signals where it is dropped on another thread."""
    pytest.importorskip("openvino")
    ran = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, check=False, timeout=120)
    assert (ran.returncode, ran.stdout) == (0, "caught\n"), ran.stderr
