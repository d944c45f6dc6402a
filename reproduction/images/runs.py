"""One run: one method on one set, or on one class of a set."""

import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from memae.data.layout import read_mask
from memae.engines.runtimes import Engine
from memae.errors import MemaeError
from memae.metrics import auroc, average_precision
from memae.pixel_metrics import PixelTally
from memae.scoring import Floats
from reproduction.images import sets
from reproduction.images.cost import Cost, measured
from reproduction.images.detectors import Detector, Map
from reproduction.images.methods import BY_KEY
from reproduction.images.sets import GOOD, GROUPS, Problem

Found = dict[str, Any]
ENGINES: tuple[Engine, ...] = ("onnxruntime", "openvino")
"""Engines beside torch."""


def measure(name: str, method: str, seed: int, root: str) -> Found:
    """Quality and cost of one method on a set in the layout of MVTec AD.

    Args:
        name: of the set.
        method: key of a method.
        seed: of the method, and of the photos where it learns only a few.
        root: folder of the set.
    """
    problem, chosen = sets.folder(Path(root), name), BY_KEY[method]
    training = problem.training if chosen.photos is None else sets.few(problem.training, chosen.photos, seed)
    problem = problem._replace(training=training)
    detector = chosen.make(seed)
    found = _fitted_and_scored(detector, problem)
    maps = detector.maps(list(problem.test)) if problem.masks else None
    if maps is not None:
        found |= located(problem, maps, GROUPS.get(name, {}))
    if chosen.engines:
        times, failed = _of_engines(detector, problem)
        found |= {"score_ms": found["score_ms"] | times, "engines_failed": failed}
    return found


def measure_class(name: str, method: str, normal: int, seed: int) -> Found:
    """Quality and cost of one method where one class of a set is normal.

    Args:
        name: one of `sets.CLASSES`.
        method: key of a method.
        normal: the class that is normal.
        seed: of the split and the method.
    """
    return _fitted_and_scored(BY_KEY[method].make(seed), sets.one_of_ten(name, normal, seed))


def _fitted_and_scored(detector: Detector, problem: Problem) -> Found:
    with threadpool_limits(1), warnings.catch_warnings(action="ignore"):
        fit: Cost[Any] = measured(lambda: detector.fit(problem.training))
        scored = measured(lambda: detector.scores(problem.test))
    return {
        "data": problem.checksum,
        "photos": {"training": len(problem.training), "test": len(problem.test)},
        "auroc": auroc(problem.labels, scored.result),
        "average_precision": average_precision(problem.labels, scored.result),
        "auroc_by_kind": by_kind(problem.kinds, scored.result) if problem.masks else {},
        "fit_cpu_seconds": round(fit.cpu_seconds, 3),
        "fit_peak_mib": round(fit.peak_mib),
        "score_ms": {"torch": _milliseconds(scored, problem)},
        "score_peak_mib": round(scored.peak_mib),
        "file_bytes": detector.file_bytes(),
    }


def by_kind(kinds: Iterable[str], scores: Floats) -> dict[str, float]:
    """AUROC of each kind of defect against the good photos."""
    each = np.array(list(kinds))
    return {
        str(kind): auroc(each[chosen] != GOOD, scores[chosen])
        for kind in np.unique(each[each != GOOD])
        for chosen in [np.isin(each, [kind, GOOD])]
    }


def located(problem: Problem, maps: Iterable[Map], groups: dict[str, tuple[str, ...]]) -> Found:
    """How well maps agree with masks: over the whole test, each kind of defect and each group beside the good photos.

    Args:
        problem: with masks.
        maps: of each photo of the test, at its own size; read one by one.
        groups: name → kinds of defects.
    """
    masks = problem.masks or []
    shown = sorted({kind for kind, path in zip(problem.kinds, masks, strict=True) if path is not None})
    wanted = {"": shown} | {kind: [kind] for kind in shown} | {name: [*kinds] for name, kinds in groups.items()}
    tallies: dict[str, PixelTally] = {}
    for kind, path, found in zip(problem.kinds, masks, maps, strict=True):
        tallies = tallies or {name: PixelTally(float(np.median(found))) for name in wanted}
        if path is None and kind != GOOD:
            continue  # of a defect without a mask no pixel is known
        mask = None if path is None else read_mask(path, found.shape)
        for name, kinds in wanted.items():
            if kind == GOOD or kind in kinds:
                tallies[name].add(mask, found)
    figures = {name: tally.auroc() for name, tally in tallies.items()}
    return {"pixel_auroc": figures.pop(""), "pixel_auroc_of": figures, "pro": tallies[""].pro()}


def _of_engines(detector: Detector, problem: Problem) -> tuple[dict[str, float], dict[str, str]]:
    """Milliseconds a photo with each engine that is installed; and why, where one cannot be used."""
    times: dict[str, float] = {}
    failed: dict[str, str] = {}
    for engine in ENGINES:
        if find_spec(engine) is None:
            continue
        try:
            with threadpool_limits(1):
                detector.use(engine)
                detector.scores(problem.test[:1])
                times[engine] = _milliseconds(measured(lambda: detector.scores(problem.test)), problem)
        except MemaeError as error:
            failed[engine] = str(error)
    return times, failed


def _milliseconds(scored: Cost[Any], problem: Problem) -> float:
    return round(1e3 * scored.cpu_seconds / len(problem.test), 3)
