"""Faster engines for scoring on a CPU, each held against torch before it is used."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memae.errors import MissingExtraError, OptionError
from memae.export import INPUT, network_as_onnx
from memae.scoring import Network, Scorer

Engine = Literal["torch", "onnxruntime", "openvino"]
Array = NDArray[Any]

TOLERANCE = 1e-5
"""Relative difference between the scores of an engine and those of torch, at most."""


def use_engine(scorer: Scorer, shape: tuple[int, ...], engine: Engine) -> None:
    """Lets `engine` compute the network of `scorer` from now on, if its scores are those of torch.

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
    if engine != "torch" and scorer.center.device.type != "cpu":
        raise OptionError(f"engine {engine!r} runs on the CPU, the model is on {scorer.center.device}; use device cpu")
    network = starters[engine](scorer, shape)
    if network is not None:
        _check(scorer, shape, engine, network)
    scorer.network = network


@torch.no_grad()
def _check(scorer: Scorer, shape: tuple[int, ...], engine: str, network: Network) -> None:
    """Compares scores of samples that are reconstructed badly, and well: there an error is small beside the values."""
    scorer.eval()
    before, scorer.network = scorer.network, None
    try:
        bad = torch.randn(scorer.chunk, *shape, generator=torch.Generator().manual_seed(0))
        raw = bad.to(scorer.center) * scorer.scale + scorer.center
        x_hat = scorer(raw).x_hat
        good = x_hat if scorer.model.pace is None else raw[:, :, :1].expand_as(raw)  # where nothing moves
        samples = [raw, good + 0.01 * (raw - good)]
        expected = torch.cat([scorer(each).score for each in samples])
        scorer.network = network
        found = torch.cat([scorer(each).score for each in samples])
    finally:
        scorer.network = before
    worst = float(((found - expected).abs() / expected.abs().clamp_min(torch.finfo(found.dtype).tiny)).max())
    if not worst <= TOLERANCE:
        raise OptionError(
            f"engine {engine!r} gives scores that differ by {worst:.1g} from those of torch, more than "
            f"{TOLERANCE:g}; use another engine"
        )


def _onnxruntime(scorer: Scorer, shape: tuple[int, ...]) -> Network:
    try:
        import onnxruntime  # noqa: PLC0415 (an optional extra)
    except ImportError as error:
        raise _missing("onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(network_as_onnx(scorer, shape), options, providers=["CPUExecutionProvider"])
    return _of_arrays(lambda x: session.run(None, {INPUT: x}))


def _openvino(scorer: Scorer, shape: tuple[int, ...]) -> Network:
    if next(scorer.model.parameters()).dtype == torch.float64:
        raise OptionError("engine 'openvino' computes in float32, tables are scored in float64; use onnxruntime")
    try:
        import openvino  # noqa: PLC0415 (an optional extra)
    except ImportError as error:
        raise _missing("openvino") from error
    core = openvino.Core()
    exact = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
    }
    compiled = core.compile_model(core.read_model(network_as_onnx(scorer, shape)), "CPU", exact)

    def run(x: Array) -> list[Array]:
        found = compiled([x])
        return [np.array(found[output]) for output in compiled.outputs]  # copies: the engine reuses its own

    return _of_arrays(run)


def _missing(package: str) -> MissingExtraError:
    return MissingExtraError(f"engine '{package}' needs the \"engines\" extra: pip install 'memae[engines]'")


def _of_arrays(run: Callable[[Array], list[Array]]) -> Network:
    def network(x: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(each) for each in run(np.ascontiguousarray(x.numpy())))

    return network
