"""One run of the study: one variant with one setting on one problem, looked at wherever its training may end."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memae.errors import TrainingError
from memae.model import MemAE
from memae.options import Epoch, chosen
from memae.scoring import Floats
from memae.training import train
from recording.jobs import Job
from reproduction.recipe import Curve, samples
from reproduction.tables import Run
from reproduction.takes.networks import built
from reproduction.takes.problems import TASKS, Problem, Scaling, Task
from reproduction.takes.settings import Setting, Variant

BINS = 250
"""Of the histogram of scaled scores that a record keeps, to pool classes."""
LOWEST, LAST = "lowest", "last"
"""Where training ends: at the epoch of the lowest held-out error, or after all of them."""


def job(name: str, part: int, seed: int, variant: Variant, setting: Setting) -> Job:
    """One run.

    Args:
        name: of a set, one of `problems.TASKS`.
        part: class that is normal, or drawing of KDDCUP.
        seed: of weights and order, and of the split of images.
        variant: which autoencoder.
        setting: what the paper does not disclose.
    """
    setting = setting.of(variant)
    arguments = {"dataset": name, "part": part, "variant": variant, "setting": setting.json(), "seed": seed}
    return Job(f"takes/{name}/{variant}/{setting.name()}/{part}-{seed}", measure, arguments, resumes=True)


def measure(dataset: str, part: int, variant: Variant, setting: dict[str, Any], seed: int, checkpoint: Path) -> Run:
    """Trains and scores the test after every epoch, for the curve, and at both ends with all scores; see `job`.

    A training that diverges is a result too: the record then has `failed`.
    """
    task, how = TASKS[dataset], Setting(**setting)
    problem = task.problem(dataset, part, seed)
    try:
        return {"data": problem.data, **_trained(task, problem, how, variant, seed, checkpoint)}
    except TrainingError as error:
        return {"data": problem.data, "failed": str(error)}


def _trained(task: Task, problem: Problem, how: Setting, variant: Variant, seed: int, checkpoint: Path) -> Run:
    scaling = Scaling(problem.training, how.range)
    training, held_out, test = map(scaling, (problem.training, problem.held_out, problem.test))
    options, curve = how.options(variant, seed), Curve(checkpoint.with_suffix(".curve"))
    model = built(task.shape, task.layout, task.items, how, variant, seed)
    history: list[Epoch] = []
    ends: dict[str, dict[str, float]] = {}
    for event in train(
        model,
        samples(training),
        samples(held_out),
        options,
        checkpoint=checkpoint,
        resume=True,
        identity=f"{variant} {how}",
        history=history,
    ):
        if isinstance(event, Epoch):
            seen = problem.watched
            curve.add(
                event.epoch, problem.figure(problem.labels[:seen], _scored(model, test[:seen], task, own=True)[0])
            )
            if event.epoch == how.epochs:
                ends[LAST] = _figures(problem, task, _scored(model, test, task))
    scores = _scored(model, test, task)
    ends[LOWEST] = _figures(problem, task, scores)
    best = chosen(history, options)
    curve.path.unlink(missing_ok=True)
    return {
        "ends": ends,
        "epoch": best.epoch,
        "held_out_error": [epoch.held_out_error for epoch in history],
        "curve": curve.values(len(history)),
        "survivors": best.health.survivors if best.health else None,
        "fallback_rate": best.health.fallback_rate if best.health else None,
        "histogram": histogram(problem.labels, scores[0]),
    }


def _figures(problem: Problem, task: Task, scores: list[Floats]) -> dict[str, float]:
    """The figure under each score."""
    return {name: problem.figure(problem.labels, each) for name, each in zip(task.scores, scores, strict=True)}


@torch.no_grad()
def _scored(model: MemAE, test: Tensor, task: Task, *, own: bool = False) -> list[Floats]:
    """Scores of the test, in the order of the task, or only the first."""
    model.eval()
    wanted = list(task.scores.values())[: 1 if own else None]
    parts: list[list[Tensor]] = []
    for x in torch.split(test, 256 if test.ndim > 2 else 8192):
        x_hat = model(x).x_hat
        parts.append([score(x, x_hat) for score in wanted])
    return [torch.cat(each).double().numpy() for each in zip(*parts, strict=True)]


def histogram(labels: NDArray[np.int64], scores: Floats) -> Run:
    """Normal and anomalous test samples by score, scaled to [0, 1] over the problem as the paper does (section 4.1)."""
    least, most = float(scores.min()), float(scores.max())
    place = np.minimum((scores - least) / max(most - least, 1e-12) * BINS, BINS - 1).astype(np.int64)
    normal, anomalous = (np.bincount(place[labels == label], minlength=BINS).tolist() for label in (0, 1))
    return {"normal": normal, "anomalous": anomalous, "least": least, "most": most}
