"""Converts headers and tensors of older model files to the current format; only names have changed.

Format 1 had no training samples for explanations. Up to format 2, the pretext task and the measures followed from the
entries and tensors that were present, and parameters of estimators had former names.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

TASKS = {"turns": "rotations", "columns": "columns", "paces": "speeds"}
"""Former entry of a spec for a pretext task → field of the task's spec."""
TENSORS = {
    "model.compass.": "model.pretext.head.",
    "model.hiding.owner": "model.pretext.owner",
    "model.hiding.views": "model.pretext.masks",
    "model.pace.teller.": "model.pretext.head.",
    "center": "scaling.center",
    "scale": "scaling.scale",
    "usual": "measures.0.expected",
    "weights": "balance.weights",
    "level": "balance.baseline",
}
"""Former prefix or name of tensors → current one."""


def migrated(header: dict[str, Any], tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a file of any known format, in the current format.

    Args:
        header: without its checksum.
        tensors: of the file.

    Raises:
        KeyError, TypeError: the file is damaged.
    """
    if header["format"] > 2:
        return header, dict(tensors)
    spec = dict(header["spec"])
    asked = {name: spec.pop(name, None) for name in TASKS}
    spec["pretext"] = next(({TASKS[name]: value} for name, value in asked.items() if value), None)
    measures, kept = _measures(header["scorer"], asked, header["spec"]["shape"], tensors)
    scorer = {name: header["scorer"].get(name) for name in ("chunk", "calibrated", "limit")} | {"measures": measures}
    renamed = {_renamed(name, kept): value for name, value in tensors.items()}
    return header | {"spec": spec, "scorer": scorer}, renamed


def _measures(
    scorer: Mapping[str, Any], asked: Mapping[str, Any], shape: Sequence[int], tensors: Mapping[str, Tensor]
) -> tuple[list[dict[str, Any]], str]:
    """Descriptions of the measures, and the tensor name of the kept samples, which belong to the last measure."""
    reduction = {"reduction": scorer["reduction"]}
    by_position = bool(asked["paces"])
    found: list[tuple[str, dict[str, Any]]] = []
    if by_position:
        channels = shape[0] * shape[1]
        positions = {"positions": list(tensors["level"].shape[1:]), "first": channels}
        found.append(("PositionError", positions | reduction))
        if len(asked["paces"]) > 1:
            found.append(("PositionSurprise", {}))
    else:
        criterion = scorer.get("criterion", "error")
        errors = {"error": ("Error", reduction), "relative": ("RelativeError", {}), "usual": ("NormalizedError", {})}
        found.append(errors[criterion])
        if asked["turns"]:
            found.append(("Surprise", {"outcomes": asked["turns"]}))
    if "rows" in tensors:
        found.append(("RowDistance", {}))
    if "references" in tensors:
        found.append(("PositionDistance" if by_position else "CodeDistance", {}))
    return [{"type": name, "arguments": arguments} for name, arguments in found], f"measures.{len(found) - 1}.items"


def _renamed(name: str, kept: str) -> str:
    if name in ("rows", "references"):
        return kept
    old = next((old for old in TENSORS if name == old or (old.endswith(".") and name.startswith(old))), None)
    return name if old is None else TENSORS[old] + name.removeprefix(old)
