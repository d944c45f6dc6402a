"""Other engines and exported graphs give a detector of photos the scores of torch."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from tests.photographs import SIZE, detector, parts, scratched

from memae import load
from memae.data.tiles import Tiles, grid
from memae.deployment import export
from memae.engines.runtimes import with_onnxruntime

pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")
pytest.importorskip("onnxscript")


pytestmark = pytest.mark.usefixtures("described_at_random")


@pytest.fixture(scope="module")
def fitted():
    return detector().fit(parts(30))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_engine_gives_the_same_scores_maps_and_reasons(fitted, engine, tmp_path):
    X = np.concatenate([parts(3, 4), scratched(3)])
    faster = copy.deepcopy(fitted).use_engine(engine)
    assert faster.scorer_.features.engine is not None
    expected = fitted.anomaly_score(X)
    np.testing.assert_allclose(faster.anomaly_score(X), expected, rtol=1e-4, atol=1e-5)
    for one, two in zip(fitted.explain(X, only={4}), faster.explain(X, only={4}), strict=True):
        assert torch.allclose(one.error_map, two.error_map, rtol=1e-4, atol=1e-5)
        assert one.items[0].number == two.items[0].number
    faster.save(tmp_path / "m.memae")
    assert np.array_equal(load(tmp_path / "m.memae").anomaly_score(X), expected)
    assert np.array_equal(copy.deepcopy(faster).use_engine("torch").anomaly_score(X), expected)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    "again",
    [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))],  # noqa: S301
    ids=["copy", "pickle"],
)
def test_copies_run_on_the_engine_of_the_original(fitted, engine, again):
    X = scratched(3)
    faster = copy.deepcopy(fitted).use_engine(engine)
    expected = faster.anomaly_score(X)
    other = again(faster)
    assert other.scorer_.features.engine is not None
    assert np.array_equal(other.anomaly_score(X), expected)
    assert np.array_equal(faster.anomaly_score(X), expected)
    newer = other.update(parts(20, 3))
    assert newer.scorer_.features.engine is not None
    np.testing.assert_allclose(newer.anomaly_score(X), fitted.update(parts(20, 3)).anomaly_score(X), rtol=1e-3)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_copies_of_a_detector_from_pixels_run_on_its_engine(engine):
    from memae.estimators import ImageMemAE

    small = ImageMemAE(4, epochs=1, widths=(3,), strides=((2, 2),), false_alarm_rate=0.4).fit(parts(20, size=(8, 8)))
    X = parts(5, 3, size=(8, 8))
    faster = small.use_engine(engine)
    for other in (copy.deepcopy(faster), pickle.loads(pickle.dumps(faster))):  # noqa: S301
        assert other.scorer_.network is not None
        assert np.array_equal(other.anomaly_score(X), faster.anomaly_score(X))


def test_the_whole_detector_is_one_graph_of_single_tiles(fitted, tmp_path):
    import onnxruntime

    path = tmp_path / "m.onnx"
    found = export(fitted, path, check=scratched(3))
    assert found.differences.worst[1] <= 1e-5
    about = json.loads(onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["memae"])
    assert about["shape"] == [1, *SIZE]
    assert about["unit"] == "grey levels"
    assert about["tiles"] == {"whole": 1024, "long": 3, "side": 640, "least": 64, "overlap": 8}
    assert about["map_threshold"] == fitted.scorer_.peaks.threshold()
    run = with_onnxruntime(path.read_bytes())
    X = np.concatenate([parts(3, 4), scratched(2)])
    score, p_value, is_anomaly, error_map = run(X[:, None].astype(np.float32))
    np.testing.assert_allclose(score, fitted.anomaly_score(X), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(p_value, fitted.p_value(X))
    assert np.array_equal(is_anomaly, fitted.predict(X) == -1)
    assert error_map.shape == (5, 1, 4, 4)
    long = parts(1, 6, size=(64, 400))
    tiles = Tiles(long, SIZE, channels=1)
    score = run(tiles.take(torch.arange(len(grid(64, 400)))).float().numpy())[0]
    assert float(score.max()) == pytest.approx(float(fitted.anomaly_score(long)[0]), rel=1e-4, abs=1e-5)


def test_the_graph_of_a_detector_of_small_images_tells_of_no_tiles():
    from memae.deployment.description import describe
    from memae.estimators import ImageMemAE

    small = ImageMemAE(4, epochs=1, widths=(3,), strides=((2, 2),), false_alarm_rate=0.4).fit(parts(20, size=(8, 8)))
    assert describe(small).tiles is None
    assert describe(small).map_threshold is None
    assert describe(small).shape == (1, 8, 8)
