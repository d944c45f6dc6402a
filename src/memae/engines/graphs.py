"""Exports a scorer as an ONNX graph: its network alone, or everything from raw samples to p-values."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from memae.errors import MissingExtraError
from memae.features import Features
from memae.scoring import Scorer

INPUT = "x"
RAW = "raw"
ANSWERS = ("score", "p_value", "is_anomaly", "error_map")
PLACES = "places"


class _Network(nn.Module):
    """The outputs of the network that a scorer needs, as a module."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.model = scorer.model
        self.needs = scorer.needs

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = self.model(x)
        return tuple(getattr(found, name) for name in self.needs)


class Detector(nn.Module):
    """A calibrated scorer, as a module."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        assert scorer.calibration is not None  # noqa: S101 (fitted means calibrated)
        self.scorer = scorer
        self.calibration = scorer.calibration

    def forward(self, raw: Tensor) -> tuple[Tensor, ...]:
        """The outputs of `detector_as_onnx` for raw samples."""
        found = self.scorer(raw)
        positions = (self.scorer.positions(found.measures),) if self.scorer.by_position else ()
        return *self.calibration.judge(found.score), found.error_map, *positions


def network_as_onnx(scorer: Scorer, shape: tuple[int, ...]) -> bytes:
    """The network of `scorer`, for samples of `shape`, as an ONNX file with its weights.

    The input `x` `(chunk, *shape)` takes exactly `scorer.chunk` normalised samples. The outputs are the fields of
    `Found` that `Scorer.needs` lists, under these names. The memory is exported with a mask, without an ε: the exporter
    would drop the ε of Eq. 7, and weights of exactly λ would give 0 / 0.

    Raises:
        MissingExtraError: onnx and onnxscript are not installed.
    """
    scorer.eval()
    weights = next(scorer.model.parameters())
    example = torch.zeros(scorer.chunk, *shape, dtype=weights.dtype, device=weights.device)
    return as_onnx(_Network(scorer), (example,), [INPUT], scorer.needs)


def features_as_onnx(features: Features, photo: tuple[int, ...]) -> bytes:
    """The network of `features`, for single photos or frames of this shape, as an ONNX file with its weights.

    The input `x` is `(1, 3, h, w)`, in grey levels. The outputs are the maps of its stages.

    Raises:
        MissingExtraError: onnx and onnxscript are not installed.
    """
    example = torch.zeros(1, 3, *features.seen(photo))
    names = [f"stage_{index}" for index, _ in enumerate(features.network(example))]
    return as_onnx(features.network, (example,), [INPUT], names)


@torch.no_grad()
def detector_as_onnx(scorer: Scorer, shape: tuple[int, ...]) -> bytes:
    """The whole of `scorer`, for samples of `shape`, as an ONNX file with its calibration.

    Features of a user's ONNX file are not for this exporter; see `joining`.

    The input `raw` `(batch, *shape)` takes any number of raw samples, in the precision of `Scaling.center`. The outputs
    are named as in `ANSWERS`: score and p-value `(batch,)`, float64; whether the score exceeds the threshold
    `(batch,)`, bool; and the error map of `Scores`. If positions are scored, a further output "places"
    `(batch, rows, columns)` has their scores: a frame of a video gets the highest of their mean over the clips that
    contain it.

    Raises:
        MissingExtraError: onnx and onnxscript are not installed.
    """
    scorer.eval()
    example = torch.zeros(3, *shape, dtype=scorer.scaling.center.dtype)
    return as_onnx(Detector(scorer).eval(), (example,), [RAW], answers(scorer), batch="batch")


def answers(scorer: Scorer) -> tuple[str, ...]:
    """Names of the outputs of a detector's graph."""
    return (*ANSWERS, PLACES) if scorer.by_position else ANSWERS


def as_onnx(
    module: nn.Module,
    examples: tuple[Tensor | list[Tensor], ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    batch: str | None = None,
) -> bytes:
    """`module` as an ONNX file.

    Args:
        module: the examples are its arguments.
        examples: of each input; of several, in a list.
        inputs: names of the inputs, one after the other.
        outputs: names of the outputs.
        batch: name of the first dimension of inputs and outputs, which may then be of any length; None for that of the
            examples.

    Raises:
        MissingExtraError: onnx and onnxscript are not installed.
    """
    try:
        import onnxscript  # noqa: F401, PLC0415 (an optional extra, which torch uses)
    except ImportError as error:
        raise MissingExtraError("other engines need the \"engines\" extra: pip install 'memae[engines]'") from error
    anything = torch.export.Dim(batch, min=1) if batch else None
    with _quietly():
        program = torch.onnx.export(
            module,
            examples,
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tree_map(lambda _: {0: anything}, examples) if batch else None,
        )
    assert program is not None  # noqa: S101 (for dynamo=True it never is)
    return bytes(program.model_proto.SerializeToString())


@contextmanager
def _quietly() -> Iterator[None]:
    """Silences the exporter's messages about missing packages."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
