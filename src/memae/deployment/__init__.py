"""Exports a fitted detector to a file that runs without memae and torch: ONNX or OpenVINO, from samples to p-values."""

import copy
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memae.deployment.checking import Differences, compare, undecided
from memae.deployment.description import Description, describe
from memae.deployment.files import OnnxFile, OpenVinoFiles
from memae.engines.graphs import detector_as_onnx
from memae.engines.joining import joined_as_onnx
from memae.engines.runtimes import TOLERANCE, required, specimens
from memae.errors import OptionError
from memae.estimators import Estimator
from memae.files import check_writable
from memae.scoring import Scorer, decoded_items

__all__ = ["Description", "Differences", "Exported", "export"]

SAMPLES = 16
"""Samples of each sort that a graph is checked on, enough for all batch sizes that are tried."""


class Exported(NamedTuple):
    """The result of an export."""

    description: Description
    differences: Differences  # from torch, over all samples that were tried


def export(detector: Estimator, path: str | Path, *, check: Any = None) -> Exported:
    """Writes a fitted detector as one graph, if its outputs agree with those of torch.

    The input "raw" is a batch of samples `(batch, *shape)`: rows as numbers, encoded as by `TabularMemAE.encode` and
    described in the file's `Description`; pixels in the unit of training, of the model's size; or clips of them. The
    outputs are "score", "p_value" and "is_anomaly" `(batch,)`, and "error_map", as in `Scorer`.

    Args:
        detector: a fitted detector.
        path: the file, .onnx, or .xml for OpenVINO, whose weights go into a .bin file beside it.
        check: further samples to compare on, anything that `anomaly_score` takes; generated samples and those kept in
            the model are always compared.

    Raises:
        OptionError: the path has another ending, or an output differs by more than 1e-5; nothing is written.
        MissingExtraError: the extra "engines" is not installed.
        OutputError: the file cannot be written; an existing one is kept.
    """
    path = Path(path)
    form = _form(path)
    check_writable(path)
    given = () if check is None else detector._raw(check)
    description, scorer = describe(detector), _alone(detector.scorer_)
    file = form.of(_graph(scorer, description.shape), description.as_json())
    differences = compare(scorer, file.started(), chain(_samples(scorer, description.shape), given))
    _judge(differences, path, description)
    edge = undecided(scorer)
    if edge is not None:
        run = form.of(_graph(edge, description.shape), "").started()
        _judge(compare(edge, run, _samples(edge, description.shape)), path, description, " at w = λ")
    file.write(path)
    return Exported(description, differences)


def _form(path: Path) -> type[OnnxFile] | type[OpenVinoFiles]:
    if path.suffix == ".onnx":
        required("onnxruntime")
        return OnnxFile
    if path.suffix == ".xml":
        required("openvino")
        return OpenVinoFiles
    raise OptionError(f"{path} must end in .onnx, or in .xml for OpenVINO")


def _graph(scorer: Scorer, shape: tuple[int, ...]) -> bytes:
    joined = scorer.features is not None and scorer.features.graph is not None
    return joined_as_onnx(copy.deepcopy(scorer), shape) if joined else detector_as_onnx(scorer, shape)


def _alone(scorer: Scorer) -> Scorer:
    """A copy on the CPU that computes with torch."""
    return copy.deepcopy(scorer.replaced(network=None)).cpu().eval()


@torch.no_grad()
def _samples(scorer: Scorer, shape: tuple[int, ...]) -> Iterator[Tensor]:
    """Raw samples to compare on: generated ones, decoded items, and the training samples kept in the model."""
    yield from specimens(scorer, shape, SAMPLES)
    if scorer.model.memory is not None and scorer.model.code_shape is not None:
        yield decoded_items(scorer)[:SAMPLES]
    if scorer.kept_samples is not None:
        yield scorer.scaling.inverse(scorer.kept_samples[:SAMPLES])


def _judge(differences: Differences, path: Path, description: Description, where: str = "") -> None:
    name, most = differences.worst
    if most <= TOLERANCE:
        return
    advice = "export it to .onnx instead" if path.suffix == ".xml" else "score it with `memae score`, and report this"
    if path.suffix == ".xml" and description.dtype == "float64":
        advice = "OpenVINO computes in float32 and tables are scored in float64: export to .onnx, for ONNX Runtime"
    raise OptionError(
        f"{path} is not written: its {name} would differ from that of torch by {most:.1g}{where}, more than "
        f"{TOLERANCE:g}; {advice}"
    )
