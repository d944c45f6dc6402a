"""The parts of a model from the header and the tensors of its file, of which nothing is believed.

A file is damaged, or made to do harm: sizes are compared before memory is taken for them, and all that would fail only
when something is scored is refused here.
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
from memae.model import MemAE
from memae.scoring import Scaling, Scorer
from memae.scoring.balance import Balance
from memae.scoring.calibration import Calibration
from memae.scoring.measures import MEASURES, Measure
from memae.spec import Spec, build, code_shape
from memae.typed import typed

ELEMENTS = 2**28
"""Elements of a sample, at most: three colours of 89 million pixels."""
TOGETHER = 2**24
"""Elements of all samples that are computed at once, at most, where these are several."""
FLOATS = (torch.float32, torch.float64)

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class MeasureAbout:
    """What a header says of a measure: its class, and the arguments that are no tensors."""

    type: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class About:
    """What a header says of its scorer."""

    chunk: int
    calibrated: bool
    measures: tuple[MeasureAbout, ...]
    limit: float | None = None  # None for none


def about(scorer: Scorer) -> dict[str, Any]:
    """What a header says of a scorer, see `About`, as JSON has it."""
    return {
        "chunk": scorer.chunk,
        "calibrated": scorer.calibration is not None,
        "measures": [{"type": type(measure).__name__, "arguments": measure.about()} for measure in scorer.measures],
        "limit": scorer.scaling.limit if math.isfinite(scorer.scaling.limit) else None,
    }


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
    told: About = typed(header, About)
    _check_sizes(spec, told)
    model = _model(spec, _under("model.", tensors))
    dtype = next(model.parameters()).dtype
    scaling = _scaling(spec, _under("scaling.", tensors), math.inf if told.limit is None else told.limit)
    measures = [_measure(each, _under(f"measures.{at}.", tensors)) for at, each in enumerate(told.measures)]
    for measure in measures:
        measure.check(spec.task.target(spec.shape), code_shape(spec), dtype)
    balance = _balance(_under("balance.", tensors), measures, code_shape(spec))
    calibration = None
    if told.calibrated:
        calibration = Calibration(tensors["calibration.scores"], float(tensors["calibration.rate"]))
    scorer = Scorer(model, scaling, measures, balance, calibration, chunk=told.chunk)
    scorer.load_state_dict(tensors)
    scorer.eval()
    return scorer


def _check_sizes(spec: Spec, about: About) -> None:
    _expect(len(spec.shape) in (1, 3, 4) and min(spec.shape) > 0, f"samples cannot have the shape {spec.shape}")
    elements = math.prod(spec.shape)
    _expect(elements <= ELEMENTS, f"samples of {spec.shape} are larger than any model's")
    _expect(about.chunk == 1 or 1 < about.chunk <= TOGETHER // elements, f"chunk {about.chunk} is out of range")
    _expect(about.limit is None or 0 < about.limit < 1e30, f"limit {about.limit} is out of range")
    _expect(0 < len(about.measures) <= len(MEASURES), f"{len(about.measures)} measures are out of range")
    spec.task.check(spec.shape)


def _model(spec: Spec, tensors: Tensors) -> MemAE:
    """The model, whose weights are still to be loaded; memory is taken when their sizes are known to agree."""
    dtype = tensors["decoder.0.weight"].dtype
    _expect(dtype in FLOATS, f"the weights are of type {dtype}")
    with torch.device("meta"):
        model = build(spec).to(dtype)
    for name, value in model.state_dict().items():
        found = tensors[name]
        _expect(found.shape == value.shape, f"{name} has {tuple(found.shape)} elements, not {tuple(value.shape)}")
    model.pretext.check(_under("pretext.", tensors))
    return model.to_empty(device="cpu")


def _scaling(spec: Spec, tensors: Tensors, limit: float) -> Scaling:
    for name in ("center", "scale"):
        _expect(tensors[name].dtype in FLOATS, f"{name} is of type {tensors[name].dtype}")
        broadcast = np.broadcast_shapes(tensors[name].shape, spec.shape)
        _expect(broadcast == spec.shape, f"{name} does not fit samples of {spec.shape}")
    return Scaling(tensors["center"], tensors["scale"], limit)


def _measure(about: MeasureAbout, tensors: Tensors) -> Measure:
    """A measure by its name, with arguments of the types that its constructor names."""
    known = {each.__name__: each for each in MEASURES}
    _expect(about.type in known, f"there is no measure {about.type!r:.60}")
    constructor: Any = known[about.type].__init__
    hints = get_type_hints(constructor)
    arguments = {name: typed(value, hints[name]) for name, value in about.arguments.items()}
    return known[about.type](**arguments, **tensors)


def _balance(tensors: Tensors, measures: Sequence[Measure], code: tuple[int, ...]) -> Balance:
    weights, baseline = tensors.get("weights"), tensors.get("baseline")
    places = {measure.by_position for measure in measures}
    _expect(len(places) == 1, "some measures have positions, others have none")
    wanted = (len(measures), *code[1:]) if places.pop() else None
    _expect(weights is None or weights.shape == (len(measures),), "the weights do not fit the measures")
    _expect((None if baseline is None else tuple(baseline.shape)) == wanted, "the baseline does not fit the measures")
    return Balance(weights, baseline)


def _under(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


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
