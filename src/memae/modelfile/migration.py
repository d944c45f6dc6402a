"""Model files of older formats, as the present one has them: what they hold is the same, its names have changed.

Format 1 had no training samples to explain with. Up to format 2 a file named the pretext tasks and the measures by
which of their numbers and tensors were there, and the estimators' parameters had older names.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

TASKS = {"turns": "rotations", "columns": "columns", "paces": "speeds"}
"""Numbers of a spec that asked for a pretext task → those of the task."""
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
"""Beginnings of the names of tensors."""


def migrated(header: dict[str, Any], tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a file of any format that can be read, in the present one.

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
    """The measures, and the name of the kept samples of the last of them, if there are any."""
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
