"""Scorers of models that are not trained, with the measures that the estimators take for their pretext tasks."""

import torch

from memae.pretext.rotations import RotationSpec
from memae.pretext.speeds import SpeedSpec
from memae.scoring import Scaling, Scorer
from memae.scoring.distances import CodeDistance, PositionDistance, RowDistance
from memae.scoring.measures import Error, PositionError, PositionSurprise, Surprise
from memae.spec import build, code_shape


def measures_of(spec, reduction="sum", kept=None):
    """Error, surprise where something is predicted, and the distance to what is kept."""
    if isinstance(spec.pretext, SpeedSpec):
        found = [PositionError(code_shape(spec)[1:], spec.shape[0] * spec.shape[1], reduction)]
        found += [PositionSurprise()] if len(spec.pretext.speeds) > 1 else []
        return found + ([] if kept is None else [PositionDistance(kept)])
    found = [Error(reduction)]
    if isinstance(spec.pretext, RotationSpec):
        found.append(Surprise(spec.pretext.rotations))
    if kept is not None:
        found.append(RowDistance(kept) if kept.ndim == 2 else CodeDistance(kept))
    return found


def untrained(spec, center=None, scale=None, *, model=None, reduction="sum", kept=None, **more):
    """A scorer of a spec; of a fresh model unless one is given."""
    center = torch.tensor(0.0) if center is None else center
    scale = torch.tensor(1.0) if scale is None else scale
    model = build(spec) if model is None else model
    return Scorer(model, Scaling(center, scale), measures_of(spec, reduction, kept), **more)
