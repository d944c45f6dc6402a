"""The parts of a model from the header and the tensors of its file, of which nothing is believed.

A file is damaged, or made to do harm: sizes are compared before memory is taken for them, and all that would fail only
when something is scored is refused here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memae.calibration import Calibration
from memae.errors import ModelFileError
from memae.evidence import Examples
from memae.losses import Criterion
from memae.model import MemAE, Spec, build, code_shape
from memae.parameters import Reduction
from memae.scoring import Scorer
from memae.typed import typed

ELEMENTS = 2**28
"""Elements of a sample, at most: a colour image of 89 million pixels."""
TOGETHER = 2**24
"""Elements of all samples that are computed at once, at most, where these are several."""
FLOATS = (torch.float32, torch.float64)

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class About:
    """What a header says of its scorer."""

    reduction: Reduction
    criterion: Criterion
    chunk: int
    calibrated: bool
    limit: float | None = None  # None for none


def scorer_of(spec: Spec, header: Any, tensors: Tensors) -> Scorer:
    """The scorer that a file describes.

    Args:
        spec: of its model.
        header: what the file says of it, see `About`.
        tensors: by their names in its state.

    Raises:
        ModelFileError: header and tensors do not belong together.
        TypeError, ValueError, KeyError, RuntimeError: what else may be wrong with a file.
    """
    about = typed(header, About)
    _check_sizes(spec, about)
    model = _model(spec, tensors)
    dtype = next(model.parameters()).dtype
    for name in ("center", "scale"):
        _expect(tensors[name].dtype in FLOATS, f"{name} is of type {tensors[name].dtype}")
        broadcast = np.broadcast_shapes(tensors[name].shape, spec.shape)
        _expect(broadcast == spec.shape, f"{name} does not fit samples of {spec.shape}")
    known: dict[str, Any] = {name: tensors[name] for name in ("references", "rows") if name in tensors}
    for name, value in known.items():
        shape = _known_shape(name, spec, value)
        _expect(value.dtype == dtype and value.shape == shape and value.numel() > 0, f"{name} do not fit the model")
    limit = math.inf if about.limit is None else about.limit
    how: dict[str, Any] = {"reduction": about.reduction, "criterion": about.criterion, "chunk": about.chunk}
    scorer = Scorer(model, tensors["center"], tensors["scale"], limit=limit, **how, **known)
    if about.calibrated:
        scorer.calibration = Calibration(tensors["calibration.scores"], float(tensors["calibration.rate"]))
    scorer.load_state_dict(tensors)
    scorer.eval()
    return scorer


def _check_sizes(spec: Spec, about: About) -> None:
    _expect(len(spec.shape) in (1, 3, 4) and min(spec.shape) > 0, f"samples cannot have the shape {spec.shape}")
    elements = math.prod(spec.shape)
    _expect(elements <= ELEMENTS, f"samples of {spec.shape} are larger than any model's")
    _expect(about.chunk == 1 or 1 < about.chunk <= TOGETHER // elements, f"chunk {about.chunk} is out of range")
    _expect(about.limit is None or 0 < about.limit < 1e30, f"limit {about.limit} is out of range")
    _expect(about.criterion != "relative" or len(spec.shape) > 1, "the criterion is one for images")
    _expect(not spec.columns or (min(spec.columns) > 0 and (sum(spec.columns),) == spec.shape), "columns do not fit")
    square = len(spec.shape) == 3 and spec.shape[1] == spec.shape[2]
    _expect(spec.turns in (0, 2, 4) and (spec.turns < 4 or square), f"{spec.turns} turns do not fit")
    _expect(not spec.turns or len(spec.shape) == 3, "only images are turned")
    _expect(not spec.paces or (len(spec.shape) == 4 and min(spec.shape[1:]) > 1), "only clips have paces")


def _model(spec: Spec, tensors: Tensors) -> MemAE:
    """The model, whose weights are still to be loaded; memory is taken when their sizes are known to agree."""
    if spec.columns:
        _expect(tensors["model.hiding.owner"].numel() == spec.shape[0], "columns do not fit")
    dtype = tensors["model.decoder.0.weight"].dtype
    _expect(dtype in FLOATS, f"the weights are of type {dtype}")
    with torch.device("meta"):
        model = build(spec).to(dtype)
    for name, value in model.state_dict().items():
        found = tensors[f"model.{name}"]
        _expect(found.shape == value.shape, f"{name} has {tuple(found.shape)} elements, not {tuple(value.shape)}")
    if model.hiding is not None:
        owner, views = (tensors[f"model.hiding.{name}"] for name in ("owner", "views"))
        _expect(torch.equal(owner.cpu(), model.hiding.owner), "the columns of features do not fit")
        _expect(bool(views.bool().any(0).all()), "a column is hidden by no view")
    return model.to_empty(device="cpu")


def _known_shape(name: str, spec: Spec, value: Tensor) -> tuple[int, ...]:
    """The shape of so many known samples."""
    if name == "rows":
        return (len(value), *spec.shape)
    code = code_shape(spec)
    return (len(value), code[0]) if spec.paces else (max(spec.turns, 1), value.shape[1], math.prod(code))


def examples_of(names: Any, tensors: Tensors, items: int) -> Examples | None:
    """The training samples that a file keeps, with `names` as its header has them; None for none.

    Args:
        names: of the samples.
        tensors: by their names in the file, which begin with "examples.".
        items: of the model's memory.

    Raises:
        ModelFileError: they do not belong together.
    """
    if not tensors:
        return None
    index, distance = tensors["examples.index"], tensors["examples.distance"]
    pictures = tensors.get("examples.thumbnails")
    names = typed(names, tuple[str, ...])
    _expect(index.ndim == 2 and index.shape == distance.shape and len(index) == items, "its examples do not fit")
    _expect(not index.is_floating_point() and distance.dtype in FLOATS, "its examples are of another type")
    _expect(bool(((index >= 0) & (index < len(names))).all()), "its examples have no names")
    if pictures is not None:
        fits = pictures.ndim == 4 and pictures.shape[:2] in ((len(names), 1), (len(names), 3)) and pictures.numel() > 0
        _expect(fits and pictures.dtype == torch.uint8, "its thumbnails are no pictures")
    return Examples(index, distance, names, pictures)


def _expect(held: bool, otherwise: str) -> None:
    if not held:
        raise ModelFileError(otherwise)
