"""Features by the user's own network: maps and tokens, from a module or an ONNX file, kept in the model file."""

import copy
import importlib.util
import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from torch import nn

import memae
from memae import ImageMemAE
from memae.cli import main
from memae.deployment import export
from memae.engines.graphs import as_onnx
from memae.errors import ModelFileError, OptionError
from memae.features import Features, OwnFeatureSpec
from memae.modelfile import artifact
from memae.networks.efficientnet_lite import EfficientNetLite
from memae.own_network import DEVIATION, MEAN, OwnNetwork, map_shape

needs_engines = pytest.mark.skipif(
    any(importlib.util.find_spec(each) is None for each in ("onnx", "onnxruntime", "onnxscript")),
    reason="memae[engines]",
)
SETTINGS = {"size": (32, 32), "kept_samples": 50, "false_alarm_rate": 0.1}
GOOD = np.random.default_rng(0).integers(100, 140, (24, 40, 40, 3)).astype(np.uint8)
BAD = GOOD[:4].copy()
BAD[:, 10:20, 10:20] = 255


class Convolutions(nn.Module):
    """Two maps, the coarse one first."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = nn.Conv2d(3, 8, 3, 2, 1)
            self.second = nn.Conv2d(8, 12, 3, 2, 1)
            self.third = nn.Conv2d(12, 16, 3, 2, 1)
            self.norm = nn.BatchNorm2d(16)

    def forward(self, x):
        fine = self.second(self.first(x).relu()).relu()
        return self.norm(self.third(fine)), fine


class Transformer(nn.Module):
    """Tokens of patches of 4 × 4 pixels behind one of the class, and the class alone."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.patches = nn.Conv2d(3, 16, 4, 4)
            self.token = nn.Parameter(torch.randn(1, 1, 16))
            self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=True)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        found = self.layer(torch.cat([self.token.expand(len(x), -1, -1), tokens], 1))
        return {"last_hidden_state": found, "pooler_output": found[:, 0]}


class Giving(nn.Module):
    """Whatever `outputs` makes of photos."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return self.outputs(x)


def made(network, **more):
    return ImageMemAE(features=network, **(SETTINGS | more))


@pytest.fixture(scope="module", params=[Convolutions, Transformer])
def fitted(request):
    return made(request.param()).fit(GOOD)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "own.onnx"
    path.write_bytes(as_onnx(Convolutions().eval(), (torch.zeros(1, 3, 32, 32),), ["photo"], ["coarse", "fine"]))
    return path


def test_maps_and_tokens_are_maps_the_finest_first():
    assert [map_shape(each) for each in ((8, 28, 30), (257, 384), (256, 384), (261, 6), (384,))] == [
        (8, 28, 30), (384, 16, 16), (384, 16, 16), (6, 16, 16), (384, 1, 1),
    ]  # fmt: skip
    for wrong in ((), (3, 0, 2), (511, 8), (1, 2, 3, 4)):
        with pytest.raises(ValueError, match="neither a map"):
            map_shape(wrong)


def test_photos_are_normalised_as_those_of_imagenet():
    seen = []
    photo = torch.randint(0, 256, (1, 3, 8, 8)).float()
    OwnNetwork(Giving(lambda x: seen.append(x) or x), ((3, 8, 8),))(photo)
    for channel, (mean, deviation) in enumerate(zip(MEAN, DEVIATION, strict=True)):
        torch.testing.assert_close(seen[0][0, channel], (photo[0, channel] / 255 - mean) / deviation)


def test_patches_and_the_whole_are_described_by_the_maps_that_fit():
    photo = torch.rand(2, 3, 32, 32)
    network = Convolutions().eval()
    spec = OwnFeatureSpec((3, 32, 32), ((16, 4, 4), (12, 8, 8)), "module")
    assert (spec.patches, spec.shape) == (28, (44, 8, 8))
    joined = spec.build(network).eval().joined(photo)
    coarse, fine = network((photo - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None])
    torch.testing.assert_close(joined[:, 28:], coarse.mean((2, 3), keepdim=True).expand(-1, -1, 8, 8))
    middle = (fine[..., 1:-1, :-2] + 2 * fine[..., 1:-1, 1:-1] + fine[..., 1:-1, 2:]) / 4
    above, below = (
        (fine[..., rows, :-2] + 2 * fine[..., rows, 1:-1] + fine[..., rows, 2:]) / 4
        for rows in (slice(None, -2), slice(2, None))
    )
    torch.testing.assert_close(joined[:, :12, 1:-1, 1:-1], (above + 2 * middle + below) / 4)
    tokens = OwnNetwork(Transformer().eval(), ((65, 16), (16,)))(photo * 255)
    assert [tuple(each.shape) for each in tokens] == [(2, 16, 8, 8), (2, 16, 1, 1)]


def test_a_module_finds_what_is_anomalous_and_stays_as_it_was_fitted(fitted):
    assert fitted.anomaly_score(BAD).min() > fitted.anomaly_score(GOOD).max()
    module = Convolutions()
    detector = made(module).fit(GOOD)
    before = detector.anomaly_score(BAD)
    assert module.training  # it was not touched
    nn.init.zeros_(module.first.weight)
    np.testing.assert_array_equal(before, detector.anomaly_score(BAD))


@needs_engines
def test_a_model_file_stands_alone(fitted, tmp_path):
    fitted.save(tmp_path / "m.memae")
    loaded = memae.load(tmp_path / "m.memae")
    np.testing.assert_allclose(loaded.anomaly_score(BAD), fitted.anomaly_score(BAD), rtol=1e-4)
    assert loaded.spec_.features.kind == "onnx"
    assert fitted.spec_.features.kind == "module"
    again = pickle.loads(pickle.dumps(loaded))  # noqa: S301 (our own)
    np.testing.assert_array_equal(again.anomaly_score(BAD), loaded.anomaly_score(BAD))
    again.save(tmp_path / "again.memae")
    assert (tmp_path / "again.memae").read_bytes() == (tmp_path / "m.memae").read_bytes()
    with pytest.raises(OptionError, match="stands for the network"):
        clone(loaded).fit(GOOD)


@needs_engines
def test_an_onnx_file_gives_the_scores_of_its_module(onnx_file, tmp_path):
    module = made(Convolutions()).fit(GOOD).anomaly_score(BAD)
    detector = made(onnx_file, size=None).fit(GOOD)  # the file fixes the size
    np.testing.assert_allclose(detector.anomaly_score(BAD), module, rtol=1e-4)
    detector.save(tmp_path / "m.memae")
    loaded = memae.load(tmp_path / "m.memae")
    np.testing.assert_array_equal(loaded.anomaly_score(BAD), detector.anomaly_score(BAD))
    assert loaded.features == str(onnx_file)
    assert clone(loaded).get_params() == loaded.get_params()
    np.testing.assert_array_equal(clone(loaded).fit(GOOD).anomaly_score(BAD), detector.anomaly_score(BAD))


@needs_engines
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "torch"])
def test_engines_run_the_users_network(engine, onnx_file, fitted):
    pytest.importorskip(engine)
    for detector in (made(str(onnx_file)).fit(GOOD), copy.deepcopy(fitted)):
        before = detector.anomaly_score(BAD)
        np.testing.assert_allclose(detector.use_engine(engine).anomaly_score(BAD), before, rtol=1e-4)


@needs_engines
def test_the_command_line_takes_a_file(onnx_file, tmp_path, monkeypatch):
    for index, photo in enumerate(GOOD):
        Image.fromarray(photo).save(tmp_path / f"{index}.png")
    arguments = ["fit", "images", str(tmp_path), "--features", str(onnx_file), "-o", str(tmp_path / "m.memae")]
    monkeypatch.setattr(sys, "argv", ["memae", *arguments, "--false-alarm-rate", "0.1"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert memae.load(tmp_path / "m.memae").spec_.features.outputs == ((16, 4, 4), (12, 8, 8))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (lambda x: x.flatten(1)[:, :10], "must give maps"),
        (lambda x: {}, "gave no tensors"),
        (lambda x: x.mean((2, 3), keepdim=True), "must give maps"),
        (lambda x: x[0], "must give maps"),
        (lambda x: x * float("nan"), "NaN"),
        (lambda x: x.int(), "no floating-point"),
        (lambda x: x.reshape(7), "fails on a photo"),
        (lambda x: x[:, :, : 4 + int(x.mean() * 10)], "the same shapes"),
    ],
)
def test_a_network_without_maps_is_refused(outputs, message):
    photos = GOOD.copy()
    photos[-1] = 255
    with pytest.raises(OptionError, match=message):
        made(Giving(outputs)).fit(photos)


def test_shapes_that_change_later_are_refused():
    detector = made(Giving(lambda x: x[:, :, : 8 if x.amax() > 2.6 else 9])).fit(GOOD)
    with pytest.raises(OptionError, match="always give outputs of the same shapes"):
        detector.anomaly_score(BAD)


@needs_engines
def test_files_that_are_no_network_are_refused(onnx_file, tmp_path):
    with pytest.raises(OptionError, match="is not a file"):
        made(tmp_path / "none.onnx").fit(GOOD)
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(OptionError, match="no ONNX file"):
        made(tmp_path / "text.onnx").fit(GOOD)
    with pytest.raises(OptionError, match=r"takes photos of \(32, 32\)"):
        made(onnx_file, size=(64, 64)).fit(GOOD)
    with pytest.raises(OptionError, match="auto, none, efficientnet-lite0"):
        made("resnet").fit(GOOD)
    with pytest.raises(OptionError, match="features must be"):
        made(3).fit(GOOD)


@needs_engines
def test_weights_beside_a_file_come_into_the_model_but_no_model_names_other_files(onnx_file, tmp_path):
    import onnx

    from memae.engines.own import Session, graph

    onnx.save(
        onnx.load(onnx_file), tmp_path / "apart.onnx", save_as_external_data=True, size_threshold=0, location="weights"
    )
    assert (tmp_path / "weights").exists()
    detector = made(tmp_path / "apart.onnx").fit(GOOD)
    np.testing.assert_array_equal(detector.anomaly_score(BAD), made(onnx_file).fit(GOOD).anomaly_score(BAD))
    with pytest.raises(OptionError, match="names other files"):
        _ = Session(graph((tmp_path / "apart.onnx").read_bytes()).onnx).size


@needs_engines
def test_a_graph_of_custom_operators_is_refused(tmp_path):
    from onnx import TensorProto, helper, save

    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 32, 32]) for name in ("x", "y")]
    node = helper.make_node("Anything", ["x"], ["y"], domain="mine")
    model = helper.make_model(helper.make_graph([node], "g", sides[:1], sides[1:]))
    save(model, tmp_path / "custom.onnx")
    with pytest.raises(OptionError, match="ONNX Runtime cannot run"):
        made(tmp_path / "custom.onnx").fit(GOOD)


@needs_engines
def test_a_changed_network_in_a_model_file_is_refused(onnx_file, tmp_path):
    made(onnx_file).fit(GOOD).save(tmp_path / "m.memae")
    source = artifact.load(tmp_path / "m.memae")
    source.scorer.features.graph.onnx[-1] ^= 1
    artifact.save(source, tmp_path / "changed.memae")
    with pytest.raises(ModelFileError, match="sha256"):
        artifact.load(tmp_path / "changed.memae")


def test_the_features_of_memae_are_laid_out_as_before():
    from memae.features import FeatureSpec

    features = FeatureSpec((3, 64, 64)).build()
    assert isinstance(features, Features)
    assert isinstance(features.network, EfficientNetLite)
    assert features.network.stem.weight.is_contiguous(memory_format=torch.channels_last)


def old_file(path):
    """One convolution by operators of 2019, whose weights are listed as inputs, for one photo at a time."""
    from onnx import TensorProto, helper, numpy_helper, save

    weights = np.random.default_rng(0).normal(size=(8, 3, 4, 4)).astype(np.float32)
    sides = [("x", (1, 3, 32, 32)), ("w", weights.shape), ("y", (1, 8, 8, 8))]
    x, w, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in sides)
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[4, 4])
    graph = helper.make_graph([node], "g", [x, w], [y], [numpy_helper.from_array(weights, "w")])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), path)
    return path


def newer_file(path):
    """Operators newer than those of memae's own graphs."""
    from onnx import load_from_string, save
    from onnx.version_converter import convert_version

    content = as_onnx(Convolutions().eval(), (torch.zeros(1, 3, 32, 32),), ["photo"], ["coarse", "fine"])
    save(convert_version(load_from_string(content), 22), path)
    return path


def tokens_file(path):
    names = ["tokens", "class"]
    path.write_bytes(as_onnx(Transformer().eval(), (torch.zeros(1, 3, 32, 32),), ["pixel_values"], names))
    return path


@needs_engines
@pytest.mark.parametrize("file", [old_file, newer_file, tokens_file])
@pytest.mark.parametrize("ending", ["onnx", "xml"])
def test_detector_and_network_are_exported_as_one_graph(file, ending, tmp_path):
    from memae.deployment.files import OnnxFile, OpenVinoFiles

    if ending == "xml":
        pytest.importorskip("openvino")
    detector = made(file(tmp_path / "network.onnx")).fit(GOOD)
    detector.save(tmp_path / "m.memae")
    path = tmp_path / f"one.{ending}"
    found = export(memae.load(tmp_path / "m.memae"), path, check=BAD)
    assert max(found.differences[:4]) < 1e-5
    assert found.differences.samples > len(BAD)
    if ending == "onnx":
        run = OnnxFile(path.read_bytes()).started()
    else:
        run = OpenVinoFiles(path.read_bytes(), path.with_suffix(".bin").read_bytes()).started()
    raw = np.concatenate([each.numpy() for each in detector._raw(BAD)]).astype(np.float32)
    score, p_value, is_anomaly = run(raw)[:3]
    np.testing.assert_allclose(score, detector.anomaly_score(BAD), rtol=1e-5)
    np.testing.assert_allclose(p_value, detector.p_value(BAD), atol=1e-6)
    assert is_anomaly.tolist() == (detector.predict(BAD) == -1).tolist()


@needs_engines
def test_operators_that_cannot_be_converted_are_refused(tmp_path, monkeypatch):
    import onnx.version_converter

    def refusing(model, version):
        raise RuntimeError(f"no adapter to {version}\nand more")

    monkeypatch.setattr(onnx.version_converter, "convert_version", refusing)
    detector = made(old_file(tmp_path / "old.onnx")).fit(GOOD)
    with pytest.raises(OptionError, match=r"cannot be converted to version \d+ of ONNX \(no adapter to \d+\)"):
        export(detector, tmp_path / "one.onnx")
    assert not (tmp_path / "one.onnx").exists()
