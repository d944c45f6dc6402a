"""The network of a scorer as an ONNX graph, for other engines."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from memae.errors import MissingExtraError
from memae.scoring import Scorer

INPUT = "x"
OUTPUTS = ("x_hat", "fallback", "surprise", "codes")


class _Network(nn.Module):
    """What a scorer needs of its network, as a module."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.model = scorer.model
        self.outputs = scorer.outputs

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.outputs(x)


def network_as_onnx(scorer: Scorer, shape: tuple[int, ...]) -> bytes:
    """The network of `scorer`, for samples of `shape`, as an ONNX file with its weights.

    Its input `x` `(chunk, *shape)` are normalised samples, always `scorer.chunk` of them; its outputs are those of
    `Scorer.outputs`, by the names of `OUTPUTS`. The memory is exported by a mask, without an ε: the exporter would drop
    the ε of Eq. 7 and leave 0 / 0 where a weight is exactly λ.

    Raises:
        MissingExtraError: onnx and onnxscript are not installed.
    """
    try:
        import onnxscript  # noqa: F401, PLC0415 (an optional extra, which torch uses)
    except ImportError as error:
        raise MissingExtraError("other engines need the \"engines\" extra: pip install 'memae[engines]'") from error
    scorer.eval()
    weights = next(scorer.model.parameters())
    example = torch.zeros(scorer.chunk, *shape, dtype=weights.dtype, device=weights.device)
    with _quietly():
        program = torch.onnx.export(
            _Network(scorer),
            (example,),
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=[INPUT],
            output_names=_names(scorer),
        )
    assert program is not None  # noqa: S101 (for dynamo=True it never is)
    return bytes(program.model_proto.SerializeToString())


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's words on packages that are not there."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _names(scorer: Scorer) -> list[str]:
    there = (True, True, "surprise" in scorer.measured, scorer.references is not None)
    return [name for name, given in zip(OUTPUTS, there, strict=True) if given]
