"""Builds a model from the header and tensors of its file; validates everything in the file before use.

A file may be damaged or malicious: sizes are checked before memory is allocated, and whatever would fail only in
scoring is refused here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

import numpy as np
import torch
from torch import Tensor

from memae.errors import ModelFileError
from memae.evidence import Examples
from memae.features import Features
from memae.kept import KeptMemory
from memae.model import MemAE
from memae.scoring import Scaling, Scorer
from memae.scoring.balance import KNOTS, Balance
from memae.scoring.calibration import Calibration
from memae.scoring.distances import CodeDistance, LocalDistance, NearestDistance, PositionDistance, RowDistance
from memae.scoring.measures import (
    Error,
    Measure,
    NormalizedError,
    PositionError,
    PositionSurprise,
    RegressionError,
    RelativeError,
    Surprise,
)
from memae.scoring.photos import KeptPatchDistance, PatchDistance, PatchError, WholeDistance
from memae.spec import KeptSpec, MemorySpec, PatchSpec, Spec, build, code_shape
from memae.typed import typed

ELEMENTS = 2**28
"""Maximum number of elements of a sample: 89 million RGB pixels."""
TOGETHER = 2**24
"""Maximum number of elements of a chunk of several samples."""
MEASURES: tuple[type[Measure], ...] = (
    Error, RelativeError, NormalizedError, PositionError, Surprise, PositionSurprise, RegressionError, NearestDistance,
    LocalDistance, RowDistance, CodeDistance, PositionDistance, PatchDistance, KeptPatchDistance,
    PatchError, WholeDistance,
)  # fmt: skip
"""All measures; files store their class names."""
FLOATS = (torch.float32, torch.float64)

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class MeasureAbout:
    """Description of a measure in the header: its class and the arguments that are not tensors."""

    type: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class About:
    """Description of the scorer in the header."""

    chunk: int
    calibrated: bool
    measures: tuple[MeasureAbout, ...]
    limit: float | None = None  # of normalised values
    peaked: bool = False  # whether maps have a calibration of their own


def about(scorer: Scorer) -> dict[str, Any]:
    """The description of a scorer for the header, JSON-ready; see `About`."""
    return {
        "chunk": scorer.chunk,
        "calibrated": scorer.calibration is not None,
        "measures": [{"type": type(measure).__name__, "arguments": measure.about()} for measure in scorer.measures],
        "peaked": scorer.peaks is not None,
        "limit": scorer.scaling.limit if math.isfinite(scorer.scaling.limit) else None,
    }


def scorer_of(spec: Spec, header: Any, tensors: Tensors) -> Scorer:
    """Builds the scorer of a file.

    Args:
        spec: of its model.
        header: description of the scorer, see `About`.
        tensors: by their names in the scorer's state.

    Raises:
        ModelFileError: header and tensors do not fit together.
        TypeError, ValueError, KeyError, RuntimeError: the file is wrong in another way.
    """
    described: About = typed(header, About)
    _check_sizes(spec, described)
    model = _model(spec, _under("model.", tensors))
    dtype = next(model.parameters()).dtype
    scaling = _scaling(spec, _under("scaling.", tensors), math.inf if described.limit is None else described.limit)
    measures = [_measure(each, _under(f"measures.{at}.", tensors)) for at, each in enumerate(described.measures)]
    for measure in measures:
        measure.check(spec.task.target(spec.shape), code_shape(spec), dtype)
    balance = _balance(_under("balance.", tensors), measures, code_shape(spec))
    calibration = _calibration(_under("calibration.", tensors)) if described.calibrated else None
    peaks = _calibration(_under("peaks.", tensors)) if described.peaked else None
    features = None if spec.features is None else _features(spec, _under("features.", tensors))
    scorer = Scorer(
        model, scaling, measures, balance, calibration, chunk=described.chunk, features=features, peaks=peaks
    )
    scorer.load_state_dict(tensors)
    scorer.eval()
    return scorer


def _calibration(tensors: Tensors) -> Calibration:
    return Calibration(tensors["scores"], float(tensors["rate"]))


def _features(spec: Spec, tensors: Tensors) -> Features:
    """The features of photos without their weights, whose shapes are checked."""
    assert spec.features is not None  # noqa: S101 (called with features)
    with torch.device("meta"):
        features = spec.features.build()
    for name, value in features.state_dict().items():
        found = tensors[name]
        _expect(found.shape == value.shape and found.dtype == value.dtype, f"{name} does not fit the features")
    spec.features.verify(tensors)
    return features.to_empty(device="cpu")


def _check_sizes(spec: Spec, about: About) -> None:
    _expect(len(spec.shape) in (1, 3, 4) and min(spec.shape) > 0, f"samples cannot have the shape {spec.shape}")
    elements = math.prod(spec.shape)
    _expect(elements <= ELEMENTS, f"samples of {spec.shape} are larger than any model's")
    _expect(about.chunk == 1 or 1 < about.chunk <= TOGETHER // elements, f"chunk {about.chunk} is out of range")
    _expect(about.limit is None or 0 < about.limit < 1e30, f"limit {about.limit} is out of range")
    _expect(0 < len(about.measures) <= len(MEASURES), f"{len(about.measures)} measures are out of range")
    spec.task.check(spec.shape)
    if spec.features is not None:
        spec.features.check(spec.shape)
        elements = max(elements, math.prod(spec.features.photo))
        _expect(elements <= ELEMENTS, f"photos of {spec.features.photo} are larger than any model's")
        learned = spec.memory is None or (isinstance(spec.memory, MemorySpec) and spec.memory.per_position)
        fits = isinstance(spec.memory, PatchSpec) or (learned and spec.pretext is None)
        _expect(fits, "its memory or task does not fit features of photos")
    if isinstance(spec.memory, PatchSpec):
        fits = spec.features is not None and spec.memory.channels == spec.features.patches
        _expect(fits and 0 < spec.memory.items <= ELEMENTS // spec.memory.channels, "the kept patches do not fit")
    if isinstance(spec.memory, KeptSpec):
        fields = spec.memory.fields
        _expect(bool(fields) and min(fields) > 0 and (sum(fields),) == spec.shape, "its fields do not fit")
        _expect(0 < spec.memory.items <= ELEMENTS // elements, f"{spec.memory.items} kept samples are out of range")


def _model(spec: Spec, tensors: Tensors) -> MemAE:
    """The model without its weights; memory is allocated only after the sizes of the weights are checked."""
    kept = isinstance(spec.memory, KeptSpec | PatchSpec)
    dtype = tensors["memory.items" if kept else "decoder.0.weight"].dtype
    _expect(dtype in FLOATS, f"the weights are of type {dtype}")
    with torch.device("meta"):
        model = build(spec)
    for name, value in model.state_dict().items():
        shape = tensors[name].shape
        _expect(shape == value.shape, f"{name} has {tuple(shape)} elements, not {tuple(value.shape)}")
    model.pretext.check(_under("pretext.", tensors))
    if isinstance(model.memory, KeptMemory):
        model.memory.check(_under("memory.", tensors))

    if len(spec.shape) > 1:  # the layout of convolutions decides how their sums are rounded
        return model.to(dtype).to_empty(device="cpu")

    def memory(value: Tensor) -> Tensor:
        return torch.empty(value.shape, dtype=dtype if value.is_floating_point() else value.dtype)

    model._apply(memory)  # type: ignore[no-untyped-call]  # `to_empty` would import torch's compiler: .5 s and 40 MB
    return model


def _scaling(spec: Spec, tensors: Tensors, limit: float) -> Scaling:
    for name in ("center", "scale"):
        _expect(tensors[name].dtype in FLOATS, f"{name} is of type {tensors[name].dtype}")
        broadcast = np.broadcast_shapes(tensors[name].shape, spec.shape)
        _expect(broadcast == spec.shape, f"{name} does not fit samples of {spec.shape}")
    return Scaling(tensors["center"], tensors["scale"], limit)


def _measure(about: MeasureAbout, tensors: Tensors) -> Measure:
    """A measure by its class name; its arguments must have the types of the constructor."""
    classes = {each.__name__: each for each in MEASURES}
    _expect(about.type in classes, f"there is no measure {about.type!r:.60}")
    constructor: Any = classes[about.type].__init__
    hints = get_type_hints(constructor)
    arguments = {name: typed(value, hints[name]) for name, value in about.arguments.items()}
    return classes[about.type](**arguments, **tensors)


def _balance(tensors: Tensors, measures: Sequence[Measure], code: tuple[int, ...]) -> Balance:
    weights, baseline, knots, halving = (tensors.get(name) for name in ("weights", "baseline", "knots", "halving"))
    by_position = {measure.by_position for measure in measures}
    _expect(len(by_position) == 1, "some measures have positions, others have none")
    wanted = (len(measures), *code[1:]) if by_position.pop() else None
    found = None if weights is None else tuple(weights.shape)
    _expect(found == ((len(measures),) if len(measures) > 1 else None), "the weights do not fit the measures")
    _expect((None if baseline is None else tuple(baseline.shape)) == wanted, "the baseline does not fit the measures")
    _expect((knots is None) == (halving is None), "the knots do not fit")
    if knots is not None and halving is not None:
        sizes = tuple(knots.shape), tuple(halving.shape)
        _expect(sizes == ((len(measures), KNOTS), (len(measures),)) and baseline is None, "the knots do not fit")
        _expect(bool((knots.diff(dim=1) > 0).all() and (halving > 0).all()), "the knots are not in order")
    return Balance(weights, baseline, knots, halving)


def _under(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def examples_of(names: Any, tensors: Tensors, items: int) -> Examples | None:
    """The training samples that a file keeps; None for none.

    Args:
        names: of the samples, from the header.
        tensors: by their names in the file, which begin with "examples.".
        items: number of items of the model's memory.

    Raises:
        ModelFileError: names and tensors do not fit together.
        TypeError: the names are not text.
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
