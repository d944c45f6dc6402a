"""A model repository entry of Triton Inference Server: the exported graph, and its inputs and outputs as text."""

from pathlib import Path
from typing import Any

from memae.deployment import Exported, export
from memae.engines.runtimes import required
from memae.errors import OptionError
from memae.estimators import Estimator, TabularMemAE
from memae.files import replacing

TYPES = {"FLOAT": "TYPE_FP32", "DOUBLE": "TYPE_FP64", "BOOL": "TYPE_BOOL", "INT64": "TYPE_INT64"}
"""Types of ONNX → of Triton."""


def export_triton(detector: Estimator, folder: str | Path, *, check: Any = None) -> Exported:
    """Writes `folder/1/model.onnx` and `folder/config.pbtxt`, for a model repository of Triton.

    The model is named like the folder. Requests may be joined to batches, up to the size in which memae scores.

    Args:
        detector: a fitted detector, which takes pixels, or rows of numbers as they are.
        folder: of the model; made if it does not exist.
        check: see `memae.deployment.export`.

    Raises:
        OptionError: rows must be encoded before they are scored, as those with text; see also `export`.
        MissingExtraError: the extra "engines" is not installed.
        OutputError: a file cannot be written.
    """
    _check_raw(detector)
    onnx, folder = required("onnx"), Path(folder)
    graph = folder / "1" / "model.onnx"
    graph.parent.mkdir(parents=True, exist_ok=True)
    found = export(detector, graph, check=check)
    model = onnx.load(graph)
    with replacing(folder / "config.pbtxt") as temporary:
        temporary.write_text(_config(onnx, model, folder.resolve().name, detector.scorer_.chunk), encoding="utf-8")
    return found


def _check_raw(detector: Estimator) -> None:
    """Raises OptionError if rows of a table are not what the graph takes."""
    if not isinstance(detector, TabularMemAE):
        return
    roles, encoded = detector.roles_, detector.encoder_.columns
    times = [*(time.name for time in roles.times), *roles.durations]
    other = [f"{name!r} (times)" for name in times]
    other += [f"{each.name!r} (missing values)" for each in encoded if each.kind == "number" and each.missing]
    other += [f"{each.name!r} (text)" for each in encoded if each.kind == "category"]
    if other:
        raise OptionError(
            f"Triton would get columns that must be encoded first: {', '.join(other[:5])}; it takes pixels, and tables "
            "of numbers alone without missing values: serve this model with `memae serve`, or encode rows yourself and "
            "export to .onnx"
        )


def _config(onnx: Any, model: Any, name: str, most: int) -> str:
    """The text of config.pbtxt."""
    lines = [f'name: "{name}"', 'platform: "onnxruntime_onnx"', f"max_batch_size: {most}"]
    for side, tensors in (("input", model.graph.input), ("output", model.graph.output)):
        lines.append(f"{side} [")
        lines.append(",\n".join(_tensor(onnx, tensor) for tensor in tensors))
        lines.append("]")
    return "\n".join([*lines, "dynamic_batching { }", ""])


def _tensor(onnx: Any, tensor: Any) -> str:
    """One input or output; the batch is not among its dimensions, and Triton wants one at least."""
    found = tensor.type.tensor_type
    shape = [side.dim_value or -1 for side in found.shape.dim][1:]
    kind = TYPES[onnx.TensorProto.DataType.Name(found.elem_type)]
    dims = f"dims: [ {', '.join(map(str, shape or [1]))} ]" + ("" if shape else " reshape: { shape: [ ] }")
    return f'  {{ name: "{tensor.name}" data_type: {kind} {dims} }}'
