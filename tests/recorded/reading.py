"""All that the recorded cases ask of memae: the one place that knows the names of its attributes."""

import warnings
from dataclasses import astuple
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tests.recorded.cases import Case, Data

import memae
from memae.errors import MemaeWarning
from memae.modelfile.artifact import FORMAT
from memae.options import Step

Results = dict[str, Any]

CLASSES = {"table": memae.TabularMemAE, "image": memae.ImageMemAE, "video": memae.VideoMemAE}


class Fitted(NamedTuple):
    """A detector and what its training said."""

    detector: Any
    losses: list[float]  # of the first ten steps


def fit(case: Case, normal: Any) -> Fitted:
    """Fits the detector of a case, on the CPU."""
    cls: Any = CLASSES[case.kind]
    parameters = case.parameters | {"device": "cpu"}
    detector = cls.paper(**parameters) if case.paper else cls(**parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MemaeWarning)  # tiny data: few held-out samples, and memories that collapse
        told = list(detector.fit_steps(normal))
    return Fitted(detector, [each.loss for each in told if isinstance(each, Step)][:10])


def writes(name: str) -> bool:
    """Whether the present code writes files of the format that begins the name of a model file."""
    return name.startswith(f"format-{FORMAT}-")


def load(path: Path) -> Any:
    """The detector of a model file."""
    return memae.load(path)


def results(case: Case, fitted: Fitted, data: Data) -> Results:
    """All that is recorded of a detector that was fitted."""
    detector = fitted.detector
    found = {"losses": fitted.losses} | training(detector) | of_samples(case.kind, detector, data.seen)
    if case.kind == "table":
        found |= {"contributions": contributions(detector, data.seen)}
        if data.later is not None and detector.scorer_.kept_samples is not None:
            found |= {"updated": updated(detector, data)}
    return found


def of_samples(kind: str, detector: Any, seen: Any) -> Results:
    """All that a detector says of samples."""
    found = judged(kind, detector, seen) | parts(detector, seen)
    found |= {"evidence": evidence(detector, seen, len(found["scores"]))}
    return found | {"frames": frames(detector, seen)} if kind == "video" else found


def of_file(kind: str, detector: Any, seen: Any) -> Results:
    """All that is recorded of a detector that a model file holds."""
    return training(detector) | of_samples(kind, detector, seen)


def training(detector: Any) -> Results:
    """What is known of the training, and what was taken from held-out samples."""
    calibration = detector.calibration_
    health = detector.health_
    return {
        "epochs": [[each.loss, each.error, each.entropy, each.held_out_error] for each in detector.history_],
        "best": detector.best_epoch_.epoch,
        "health": None if health is None else list(astuple(health)),
        "checksum": detector.checksum_,
        "learned": detector.learned_,
        "calibration": calibration.scores,
        "rate": calibration.false_alarm_rate,
        "threshold": detector.threshold_,
        "offset": detector.offset_,
    }


def judged(kind: str, detector: Any, seen: Any) -> Results:
    """Scores, and what follows from them."""
    scores = detector.anomaly_score(seen)
    found = {
        "scores": scores,
        "p_values": detector.calibration_.p_value(torch.from_numpy(scores)),
        "drift": list(astuple(detector.drifted(scores))),
    }
    if kind != "table":  # each of the following would score all samples once more
        return found
    return found | {"predictions": detector.predict(seen), "discoveries": detector.discoveries(seen, 0.4)}


def parts(detector: Any, seen: Any) -> Results:
    """What `scores` gives of samples (of videos of clips): what a score is made of, and the maps."""
    batches = list(detector.scores(seen))
    names = {
        "sample_scores": "score",
        "measures": "measures",
        "fallbacks": "fallback",
        "maps": "error_map",
        "reconstructions": "x_hat",
    }
    return {name: torch.cat([getattr(each, attribute) for each in batches]) for name, attribute in names.items()}


def contributions(detector: Any, seen: Any) -> np.ndarray[Any, Any]:
    """What each column adds to the score of each row."""
    return np.asarray(detector.contributions(seen).to_numpy())


def updated(detector: Any, data: Data) -> Results:
    """The detector that has learned further rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MemaeWarning)
        other = detector.update(data.later, epochs=2)
    return training(other) | {"scores": other.anomaly_score(data.seen)} | parts(other, data.seen)


def frames(detector: Any, seen: Any) -> Results:
    """What is said of each frame of videos."""
    told = list(detector.frames(seen))
    return {
        "video": [each.video for each in told],
        "frame": [each.frame for each in told],
        "time": [each.time for each in told],
        "score": [each.score for each in told],
        "map": torch.stack([each.error_map for each in told]),
        "delay": detector.delay,
    }


def evidence(detector: Any, seen: Any, samples: int) -> list[Results]:
    """Why the first, the fourth and the last but one of so many samples have their scores."""
    return [_evidence(each) for each in detector.explain(seen, items=3, only={0, 3, samples - 2})]


def _evidence(each: Any) -> Results:
    return {
        "name": each.name,
        "score": each.score,
        "p_value": each.p_value,
        "threshold": each.threshold,
        "is_anomaly": each.is_anomaly,
        "sample": each.sample,
        "reconstruction": each.reconstruction,
        "map": each.error_map,
        "motion": each.motion,
        "heat": each.heat,
        "span": list(each.span),
        "pictures": [[word, pixels] for word, pixels in each.shown],
        "contributions": [[one.column, one.value, one.expected, one.share] for one in each.contributions],
        "items": list(map(_item, each.items)),
    }


def _item(item: Any) -> Results:
    return {
        "number": item.number,
        "weight": item.weight,
        "decoded": item.decoded,
        "row": [[cell.column, cell.value] for cell in item.row],
        "neighbours": [[one.sample, one.distance, one.thumbnail] for one in item.neighbours],
    }


def save(detector: Any, path: Path) -> None:
    """Writes a model file."""
    detector.save(path)
