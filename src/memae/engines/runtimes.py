"""Faster engines for scoring on a CPU, each held against torch before it is used."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memae.engines.graphs import network_as_onnx
from memae.errors import MissingExtraError, OptionError
from memae.model import Found
from memae.scoring import Network, Scorer

Engine = Literal["torch", "onnxruntime", "openvino"]
Array = NDArray[Any]
Run = Callable[[Array], list[Array]]
"""The one input of a graph → its outputs, in their order."""

TOLERANCE = 1e-5
"""Relative difference between the scores of an engine and those of torch, at most."""


def with_engine(scorer: Scorer, shape: tuple[int, ...], engine: Engine) -> Scorer:
    """The scorer with `engine` computing its network, if the scores are those of torch.

    Args:
        scorer: on the CPU; otherwise the engine would leave its device idle.
        shape: of a sample.
        engine: "torch", "onnxruntime" or "openvino".

    Raises:
        OptionError: an unknown engine, a scorer that is not on the CPU, or scores that differ.
        MissingExtraError: the engine is not installed.
    """
    starters: dict[str, Callable[[Scorer, tuple[int, ...]], Network | None]] = {
        "torch": lambda *_: None,
        "onnxruntime": _onnxruntime,
        "openvino": _openvino,
    }
    if engine not in starters:
        raise OptionError(f"engine must be one of {', '.join(starters)}; got {engine!r}")
    if engine != "torch" and scorer.device.type != "cpu":
        raise OptionError(f"engine {engine!r} runs on the CPU, the model is on {scorer.device}; use device cpu")
    if engine != "torch":
        required(engine)
    torch_alone = scorer.replaced(network=None)
    other = scorer.replaced(network=starters[engine](torch_alone, shape))
    if other.network is not None:
        _check(torch_alone, other, shape, engine)
    return other


@torch.no_grad()
def specimens(scorer: Scorer, shape: tuple[int, ...], count: int) -> list[Tensor]:
    """Generated raw samples: `count` that are restored badly, and as many well, whose errors are small beside them."""
    bad = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    scaling = scorer.scaling
    raw = bad.to(scaling.center) * scaling.scale + scaling.center
    x_hat = torch.cat([scorer(part).x_hat for part in torch.split(raw, scorer.chunk)])
    good = scorer.model.pretext.restored_well(raw, x_hat)
    return [raw, good + 0.01 * (raw - good)]


@torch.no_grad()
def _check(scorer: Scorer, other: Scorer, shape: tuple[int, ...], engine: str) -> None:
    scorer.eval()
    other.eval()
    samples = specimens(scorer, shape, scorer.chunk)
    expected, found = (torch.cat([each(part).score for part in samples]) for each in (scorer, other))
    worst = float(((found - expected).abs() / sizes(scorer, expected)).max())
    if not worst <= TOLERANCE:
        raise OptionError(
            f"engine {engine!r} gives scores that differ by {worst:.1g} from those of torch, more than "
            f"{TOLERANCE:g}; use another engine"
        )


def sizes(scorer: Scorer, scores: Tensor) -> Tensor:
    """What differences of scores are relative to: the scores, or the lowest held-out one where it is higher.

    Scores that are the highest of positions, each relative to its baseline, have no zero to be relative to: there the
    deviation of the held-out ones, where it is higher.
    """
    least = 0.0
    if scorer.calibration is not None:
        known = scorer.calibration.scores
        least = float(known.std(correction=0) if scorer.by_position else known.abs().min())
    return scores.double().abs().clamp_min(max(least, torch.finfo(torch.float64).tiny))


def _onnxruntime(scorer: Scorer, shape: tuple[int, ...]) -> Network:
    return _of_arrays(scorer, with_onnxruntime(network_as_onnx(scorer, shape)))


def _openvino(scorer: Scorer, shape: tuple[int, ...]) -> Network:
    if next(scorer.model.parameters()).dtype == torch.float64:
        raise OptionError("engine 'openvino' computes in float32, this model is scored in float64; use onnxruntime")
    return _of_arrays(scorer, with_openvino(network_as_onnx(scorer, shape)))


def with_onnxruntime(model: bytes) -> Run:
    """Runs an ONNX file.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
    """
    onnxruntime = required("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: list(session.run(None, {name: x}))


def with_openvino(model: bytes, weights: bytes = b"") -> Run:
    """Runs an ONNX file, or the .xml of OpenVINO with its .bin, in float32 at most.

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
        found = compiled([x])
        return [np.array(found[output]) for output in compiled.outputs]  # copies: the engine reuses its own

    return run


@cache
def openvino_core() -> Any:
    """The runtime of OpenVINO, one for the whole process and never dropped.

    Its plugin gives the thread that loads it another stack for signals. Dropped on another thread, it frees that stack
    and leaves it in use: the next Ctrl-C would end the process with a segmentation fault (OpenVINO 2026.4).

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """
    return required("openvino").Core()


def required(package: str) -> Any:
    """A package of the extra "engines".

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtraError(f"{package} needs the \"engines\" extra: pip install 'memae[engines]'") from error


def _of_arrays(scorer: Scorer, run: Run) -> Network:
    names = scorer.needs

    def network(x: Tensor) -> Found:
        arrays = run(np.ascontiguousarray(x.numpy()))
        found = dict(zip(names, map(torch.from_numpy, arrays), strict=True))
        nothing = x[:0]
        fallback, x_hat = found["fallback"], found["x_hat"]
        return Found(x_hat, None, found.get("codes", nothing), found.get("surprise"), fallback)

    return network
