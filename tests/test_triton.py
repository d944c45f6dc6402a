"""A model repository entry of Triton tells what the graph beside it takes and gives."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memae import TabularMemAE, VideoMemAE
from memae.deployment.triton import export_triton
from memae.errors import OptionError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(0)
NUMPY = {"TYPE_FP32": "tensor(float)", "TYPE_FP64": "tensor(double)", "TYPE_BOOL": "tensor(bool)"}


def parsed(text: str) -> dict[str, Any]:
    """A message in protobuf's text format."""
    tokens = re.findall(r'"[^"]*"|[\w.-]+|[{}\[\]:,]', text)
    assert "".join(tokens) == re.sub(r"\s", "", text), "nothing else is in it"

    def value(at: int) -> tuple[Any, int]:
        if tokens[at] == "{":
            return message(at + 1)
        if tokens[at] == "[":
            items, at = [], at + 1
            while tokens[at] != "]":
                item, at = value(at)
                items.append(item)
                at += tokens[at] == ","
            return items, at + 1
        word = tokens[at]
        return (int(word) if word.lstrip("-").isdecimal() else word.strip('"')), at + 1

    def message(at: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        while at < len(tokens) and tokens[at] != "}":
            name = tokens[at]
            found[name], at = value(at + 1 + (tokens[at + 1] == ":"))
        return found, at + 1

    return message(0)[0]


@pytest.mark.parametrize("kind", ["table", "video"])
def test_the_configuration_is_that_of_the_graph(kind, watcher: VideoMemAE, tmp_path):
    detector: Any = TabularMemAE().fit(RNG.normal(size=(100, 5))) if kind == "table" else watcher
    export_triton(detector, tmp_path / "parts")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["config.pbtxt", "model.onnx"]
    config = parsed((tmp_path / "parts/config.pbtxt").read_text())
    assert config["name"] == "parts"
    assert config["platform"] == "onnxruntime_onnx"
    assert config["max_batch_size"] >= 1
    session = onnxruntime.InferenceSession(tmp_path / "parts/1/model.onnx")
    for side, tensors in (("input", session.get_inputs()), ("output", session.get_outputs())):
        assert [each["name"] for each in config[side]] == [each.name for each in tensors]
        for told, tensor in zip(config[side], tensors, strict=True):
            assert NUMPY[told["data_type"]] == tensor.type
            shape = told["reshape"]["shape"] if "reshape" in told else told["dims"]
            assert len(shape) == len(tensor.shape) - 1
            assert all(a == b or isinstance(b, str) for a, b in zip(shape, tensor.shape[1:], strict=True))
            assert len(told["dims"]) >= 1
    assert config["input"][0]["dims"] == list(detector.spec_.raw)


def test_tables_that_must_be_encoded_are_refused(run, tmp_path):
    frame = pd.DataFrame({"a": RNG.normal(size=60), "kind": RNG.choice(["x", "y"], 60)})
    detector = TabularMemAE().fit(frame)
    with pytest.raises(OptionError, match=r"must be encoded first: 'kind' \(text\)"):
        export_triton(detector, tmp_path / "m")
    missing = frame[["a"]].assign(b=[np.nan, *RNG.normal(size=59)])
    with pytest.raises(OptionError, match=r"'b' \(missing values\)"):
        export_triton(TabularMemAE().fit(missing), tmp_path / "m")
    assert not (tmp_path / "m").exists()
    detector.save(tmp_path / "m.memae")
    ran = run("export", tmp_path / "m.memae", "--triton", tmp_path / "m")
    assert ran.code != 0
    assert "'kind' (text)" in ran.err
    ran = run("export", tmp_path / "m.memae")
    assert "--triton FOLDER" in ran.err


def test_the_command_line_writes_it(run, tmp_path):
    TabularMemAE().fit(RNG.normal(size=(60, 3))).save(tmp_path / "m.memae")
    ran = run("export", tmp_path / "m.memae", "--triton", tmp_path / "sensors")
    assert ran.code == 0, ran.err
    assert Path(tmp_path / "sensors/1/model.onnx").exists()
    assert "dims: [ 3 ]" in (tmp_path / "sensors/config.pbtxt").read_text()
