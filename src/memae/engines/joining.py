"""One graph of a detector and of the ONNX file with the user's network, which lies in its middle.

What comes before the network and what comes after it are exported, and the network is run photo by photo in between, by
a Scan of ONNX: many such files take one photo only, and memae runs them so too, so that scores stay the same.
"""

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn

from memae.engines.graphs import RAW, Detector, answers, as_onnx
from memae.engines.runtimes import required
from memae.errors import OptionError
from memae.own_network import OwnNetwork, normalised
from memae.scoring import Scorer

PHOTOS = "photos"


class _Before(nn.Module):
    """Raw samples → the photos that the network sees."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scaling, self.features = scorer.scaling, scorer.features

    def forward(self, raw: Tensor) -> Tensor:
        assert self.features is not None  # noqa: S101 (the network is theirs)
        return normalised(self.features.colours(self.scaling(raw).float()))


class _After(nn.Module):
    """Raw samples, and what the network gives for them → the detector's answers."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.detector = Detector(scorer)

    def forward(self, raw: Tensor, outputs: list[Tensor]) -> tuple[Tensor, ...]:
        features = self.detector.scorer.features
        assert features is not None  # noqa: S101 (the network is theirs)
        assert features.graph is not None  # noqa: S101 (as it is)
        features.graph.run = lambda _: outputs
        found: tuple[Tensor, ...] = self.detector(raw)
        return found


@torch.no_grad()
def joined_as_onnx(scorer: Scorer, shape: tuple[int, ...]) -> bytes:
    """The whole of a scorer with a user's ONNX file as features, as `graphs.detector_as_onnx` gives others.

    Args:
        scorer: calibrated; a copy of its own, whose network is not run any more.
        shape: of a sample.

    Raises:
        MissingExtraError: onnx and onnxscript are not installed.
        OptionError: the operators of the network are of a version that cannot be converted.
    """
    onnx = required("onnx")
    assert scorer.features is not None  # noqa: S101 (the network is theirs)
    network, graph = scorer.features.network, scorer.features.graph
    assert isinstance(network, OwnNetwork)  # noqa: S101 (as is its graph)
    assert graph is not None  # noqa: S101 (as called)
    raw = torch.zeros(3, *shape, dtype=scorer.scaling.center.dtype)
    outputs = [torch.zeros(3, *each) for each in network.outputs]
    names = [RAW, *(f"output_{number}" for number, _ in enumerate(outputs))]
    before = as_onnx(_Before(scorer).eval(), (raw,), [RAW], [PHOTOS], batch="batch")
    after = as_onnx(_After(scorer).eval(), (raw, outputs), names, answers(scorer), batch="batch")
    given = graph.onnx.numpy().tobytes()
    first, middle, last = _of_one_version([onnx.load_from_string(each) for each in (before, given, after)])
    joined: bytes = _joined(first, middle, last, [(3, *shape[1:]), *network.outputs]).SerializeToString()
    return joined


def _of_one_version(models: Sequence[Any]) -> list[Any]:
    """Models with the operators of the newest one among them, without functions."""
    from onnx.inliner import inline_local_functions  # noqa: PLC0415 (an optional extra)
    from onnx.version_converter import convert_version  # noqa: PLC0415

    newest = max(map(_version, models))
    try:
        return [
            inline_local_functions(each if _version(each) == newest else convert_version(each, newest))
            for each in models
        ]
    except Exception as error:  # of the converter, which is in C++
        raise OptionError(
            f"the network given as features cannot be part of one graph: its operators cannot be converted to version "
            f"{newest} of ONNX ({str(error).strip().partition(chr(10))[0]}); convert it yourself, or score with memae"
        ) from error


def _version(model: Any) -> int:
    return max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=1)


def _joined(before: Any, network: Any, after: Any, sizes: Sequence[tuple[int, ...]]) -> Any:
    """One model of three: the first's photos go through the second, one by one, and on to the third.

    Args:
        before: gives photos.
        network: takes a photo, and gives its outputs.
        after: takes raw samples and the outputs.
        sizes: of a photo and of each output of it.
    """
    from onnx import helper  # noqa: PLC0415 (an optional extra)
    from onnx.compose import add_prefix  # noqa: PLC0415

    names = [each.name for each in after.graph.output]
    before, network, after = (
        add_prefix(model, prefix) for model, prefix in ((before, "before/"), (network, "network/"), (after, "after/"))
    )
    raw = before.graph.input[0]
    start, *between = (each.name for each in after.graph.input)
    nodes = [
        helper.make_node("Identity", [RAW], [raw.name]),
        helper.make_node("Identity", [RAW], [start]),
        *before.graph.node,
        helper.make_node("Scan", [f"before/{PHOTOS}"], between, body=_body(network.graph, sizes), num_scan_inputs=1),
        *after.graph.node,
        *(helper.make_node("Identity", [f"after/{name}"], [name]) for name in names),
    ]
    whole = helper.make_graph(nodes, "memae", [_named(raw, RAW)], list(map(_named, after.graph.output, names)))
    whole.initializer.extend([*before.graph.initializer, *after.graph.initializer])
    operators = {each.domain: each for model in (network, before, after) for each in model.opset_import}
    version = max(each.ir_version for each in (before, network, after))
    return helper.make_model(whole, opset_imports=list(operators.values()), ir_version=version)


def _body(graph: Any, sizes: Sequence[tuple[int, ...]]) -> Any:
    """The graph of a network for one photo, without a batch; its input and outputs have these sizes then."""
    from onnx import TensorProto, helper  # noqa: PLC0415 (an optional extra)

    weights = {each.name for each in graph.initializer}
    (photo,) = (each.name for each in graph.input if each.name not in weights)  # old files list weights as inputs too
    first = helper.make_tensor("one/first", TensorProto.INT64, [1], [0])
    outputs = [each.name for each in graph.output]
    nodes = [
        helper.make_node("Unsqueeze", ["one/photo", first.name], [photo]),
        *graph.node,
        *(helper.make_node("Squeeze", [name, first.name], [f"one/{name}"]) for name in outputs),
    ]
    names = ["one/photo", *(f"one/{name}" for name in outputs)]
    given, *found = map(helper.make_tensor_value_info, names, repeat(TensorProto.FLOAT), sizes)
    body = helper.make_graph(nodes, "network", [given], found)
    body.initializer.extend([first, *graph.initializer])
    body.sparse_initializer.extend(graph.sparse_initializer)
    return body


def _named(value: Any, name: str) -> Any:
    other = type(value)()
    other.CopyFrom(value)
    other.name = name
    return other
