"""Faster engines for scoring on a CPU, each compared with torch before use."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memae.engines.graphs import features_as_onnx, network_as_onnx
from memae.errors import MissingExtraError, OptionError
from memae.features import Features, Maps
from memae.model import Found
from memae.own_network import Graph, OwnNetwork
from memae.scoring import Scorer

Engine = Literal["torch", "onnxruntime", "openvino"]
Array = NDArray[Any]
Run = Callable[[Array], list[Array]]
"""The single input of a graph → its outputs, in order."""

TOLERANCE = 1e-5
"""Maximum relative difference between the scores of an engine and those of torch."""


def with_engine(scorer: Scorer, shape: tuple[int, ...], engine: Engine) -> Scorer:
    """A scorer whose network `engine` computes, if its scores agree with those of torch.

    Args:
        scorer: on the CPU, like the engines.
        shape: of a sample.
        engine: "torch", "onnxruntime" or "openvino". A user's ONNX file, which torch cannot run, ONNX Runtime always
            runs but for the last.

    Raises:
        OptionError: the engine is unknown, the scorer is not on the CPU, or the scores differ.
        MissingExtraError: the engine is not installed.
    """
    runs: dict[str, Callable[[bytes], Run]] = {"onnxruntime": with_onnxruntime, "openvino": with_openvino}
    if engine not in ("torch", *runs):
        raise OptionError(f"engine must be one of torch, {', '.join(runs)}; got {engine!r}")
    features = scorer.features
    torch_alone = scorer.replaced(network=None, features=None if features is None else features.on(None))
    if engine == "torch":
        return torch_alone
    if scorer.device.type != "cpu":
        raise OptionError(f"engine {engine!r} runs on the CPU, the model is on {scorer.device}; use device cpu")
    required(engine)
    if features is not None:
        other = torch_alone.replaced(features=features.on(_maps(features, shape, runs[engine])))
    else:
        if engine == "openvino" and next(scorer.model.parameters()).dtype == torch.float64:
            raise OptionError("engine 'openvino' computes in float32, this model is scored in float64; use onnxruntime")
        started = Started(network_as_onnx(torch_alone, shape), runs[engine])
        other = torch_alone.replaced(network=_OfArrays(torch_alone.needs, started))
    _check(torch_alone, other, shape, engine)
    return other


def _maps(features: Features, photo: tuple[int, ...], start: Callable[[bytes], Run]) -> Maps:
    """The network's maps of photos of this shape `(c, h, w)` by another engine."""
    if features.graph is None:
        return ByPhoto(Started(features_as_onnx(features.on(None), photo), start))
    other = Graph(0).eval()
    other.run = ByPhoto(Started(features.graph.onnx.numpy().tobytes(), start))
    network = features.network
    assert isinstance(network, OwnNetwork)  # noqa: S101 (it has a graph)
    return network.running(other)


class Started:
    """An ONNX file in an engine, which opens it once it runs, and once more in each copy: sessions cannot be copied.

    Args:
        model: the file.
        start: gives the function that runs it.
    """

    def __init__(self, model: bytes, start: Callable[[bytes], Run]) -> None:
        self.model = model
        self.start = start

    def __call__(self, x: Array) -> list[Array]:
        """The outputs for x, in order."""
        return self.run(x)

    @cached_property
    def run(self) -> Run:
        """The function that runs the file.

        Raises:
            MissingExtraError: the engine is not installed.
        """
        return self.start(self.model)

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "start": self.start}


@dataclass(frozen=True)
class ByPhoto:
    """The outputs for photos `(b, 3, h, w)` of a graph that takes one photo."""

    run: Run

    def __call__(self, photos: Tensor) -> list[Tensor]:
        """The outputs for all photos, in order."""
        each = [self.run(np.ascontiguousarray(photo[None].numpy())) for photo in photos]
        return [torch.cat([torch.from_numpy(output) for output in same]) for same in zip(*each, strict=True)]


@torch.no_grad()
def specimens(scorer: Scorer, shape: tuple[int, ...], count: int) -> list[Tensor]:
    """Two batches of generated raw samples `(count, *shape)`: one unlike normal, one less so."""
    bad = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    scaling = scorer.scaling
    raw = bad.to(scaling.center) * scaling.scale + scaling.center
    if scorer.features is not None:
        mean = raw.mean((-2, -1), keepdim=True)
        return [raw, mean + 0.1 * (raw - mean)]
    x_hat = torch.cat([scorer(part).x_hat for part in torch.split(raw, scorer.chunk)])
    good = scorer.model.pretext.restored_well(raw, x_hat)
    return [raw, good + 0.01 * (raw - good)]


@torch.no_grad()
def _check(scorer: Scorer, other: Scorer, shape: tuple[int, ...], engine: str) -> None:
    scorer.eval()
    other.eval()
    samples = specimens(scorer, shape, scorer.chunk)
    expected, actual = (torch.cat([each(part).score for part in samples]) for each in (scorer, other))
    worst = float(((actual - expected).abs() / sizes(scorer, expected)).max())
    if not worst <= TOLERANCE:
        raise OptionError(
            f"engine {engine!r} gives scores that differ by {worst:.1g} from those of torch, more than "
            f"{TOLERANCE:g}; use another engine"
        )


def sizes(scorer: Scorer, scores: Tensor) -> Tensor:
    """Denominators `(b,)` of relative differences of scores: their absolute values, but at least a lower bound.

    The bound is the lowest absolute held-out score. Scores of positions, from which a baseline is subtracted, have no
    natural zero; for them it is the standard deviation of the held-out scores.
    """
    least = 0.0
    if scorer.calibration is not None:
        held_out = scorer.calibration.scores
        least = float(held_out.std(correction=0) if scorer.by_position else held_out.abs().min())
    return scores.double().abs().clamp_min(max(least, torch.finfo(torch.float64).tiny))


def with_onnxruntime(model: bytes) -> Run:
    """A function that runs an ONNX file.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
    """
    session = onnxruntime_session(model)
    name = session.get_inputs()[0].name
    return lambda x: list(session.run(None, {name: x}))


def onnxruntime_session(model: bytes) -> Any:
    """A session of ONNX Runtime that runs an ONNX file.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
    """
    onnxruntime = required("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def with_openvino(model: bytes, weights: bytes = b"") -> Run:
    """A function that runs an ONNX file, or an .xml of OpenVINO with its .bin, in float32.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """
    core = openvino_core()
    exact = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
    }
    compiled = core.compile_model(core.read_model(model, weights), "CPU", exact)

    def run(x: Array) -> list[Array]:
        results = compiled([x])
        return [np.array(results[output]) for output in compiled.outputs]  # copies: the engine reuses its buffers

    return run


@cache
def openvino_core() -> Any:
    """The runtime of OpenVINO: a single one for the process, which is never released.

    Its plugin gives the thread that loads it an alternative signal stack. If another thread releases the plugin, this
    stack is freed but still in use, and the next Ctrl-C causes a segmentation fault (OpenVINO 2026.4).

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """
    return required("openvino").Core()


def required(package: str) -> Any:
    """Imports a package of the extra "engines".

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtraError(f"{package} needs the \"engines\" extra: pip install 'memae[engines]'") from error


@dataclass(frozen=True)
class _OfArrays:
    """The network of a scorer, by an engine."""

    names: tuple[str, ...]  # of the outputs; see `Scorer.needs`
    run: Run

    def __call__(self, x: Tensor) -> Found:
        arrays = self.run(np.ascontiguousarray(x.numpy()))
        outputs = dict(zip(self.names, map(torch.from_numpy, arrays), strict=True))
        nothing = x[:0]
        fallback, x_hat = outputs["fallback"], outputs["x_hat"]
        kept = (outputs.get(name) for name in ("distance", "isolation", "nearest"))
        return Found(x_hat, None, outputs.get("codes", nothing), outputs.get("surprise"), fallback, *kept)
