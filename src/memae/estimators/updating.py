"""Adds normal rows to a copy of a fitted detector for tables."""

import copy
import math
import time
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from memae.data.cleaning import distinct
from memae.data.samples import InMemory, Selection, digest
from memae.errors import InputError, OptionError
from memae.estimators.base import Estimator
from memae.estimators.examples import rows_as_examples
from memae.estimators.keeping import CALIBRATING, keep
from memae.kept import KeptMemory
from memae.modelfile import artifact
from memae.options import Epoch, chosen
from memae.scoring.distances import RowDistance
from memae.spec import KeptSpec
from memae.training import train

Detector = TypeVar("Detector", bound=Estimator)

GENTLE = 0.25
"""Factor on the learning rate: trained weights should be adjusted, not replaced."""


def grown(detector: Detector, rows: Tensor, most: int) -> Detector:
    """A copy of `detector` whose memory holds `rows` as well; nothing is trained, and the detector stays unchanged.

    Encoding and scales stay. The rows to keep are chosen anew from the old and the new ones, at random. Measures and
    threshold are fitted on the new rows, each left out of its own neighbourhood.

    Args:
        detector: fitted, with kept rows as memory.
        rows: new normal rows, encoded `(n, width)`.
        most: maximum number of rows that the copy keeps.

    Raises:
        InputError: too few rows for the threshold.
    """
    scorer, calibration = detector.scorer_, detector.calibration_
    memory, known = scorer.model.memory, detector.spec_.memory
    assert isinstance(memory, KeptMemory)  # noqa: S101 (see Args)
    assert isinstance(known, KeptSpec)  # noqa: S101 (it has such a memory)
    needed = math.ceil(1 / calibration.false_alarm_rate - 1e-9) - 1
    if len(rows) < needed:
        raise InputError(
            f"{len(rows)} new rows are too few for the threshold: a false-alarm rate of "
            f"{calibration.false_alarm_rate:g} needs {needed}; collect more, or recalibrate to a higher rate first"
        )
    began = time.perf_counter()
    random = torch.Generator().manual_seed(int(check_random_state(detector.random_state).randint(2**31 - 1)))
    order = torch.randperm(len(rows), generator=random)
    together = torch.cat([scorer.scaling(rows[order].to(scorer.device)), memory.items.detach()])
    calibrating = min(len(rows), CALIBRATING)
    kept = keep(together, known.fields, scorer.scaling, most=most, random=random, calibrating=calibrating)
    number = len(detector.history_)
    seconds = time.perf_counter() - began
    epoch = Epoch(number + 1, kept.error, kept.error, kept.entropy, kept.error, kept.health, seconds)
    checksum = digest([detector.checksum_.encode(), rows])
    other = copy.deepcopy(detector)
    other._settle(kept.scorer, kept.spec, [*detector.history_, epoch], epoch, checksum, artifact.versions())
    other.learned_ = detector.learned_ and detector.learned_ + len(rows)  # 0 means unknown
    if detector.examples_ is not None:
        names = [*(f"row {row} of update {number}" for row in order.tolist()), *detector.examples_.names]
        other.examples_ = rows_as_examples([names[row] for row in kept.which.tolist()])
    other.recalibrate(kept.scores.numpy(), false_alarm_rate=calibration.false_alarm_rate)
    return other


def updated(detector: Detector, rows: Tensor, epochs: int, most: int) -> Detector:
    """A copy of `detector` trained on `rows` as well; the detector itself stays unchanged.

    Training continues for a few epochs on the new rows together with the kept rows, so that these are not forgotten.
    Encoding, scales and the weights of the measures stay. Held-out new rows set the threshold. The copy has no
    examples: its items have changed, and row numbers of two tables would be ambiguous.

    Args:
        detector: fitted, with `kept_samples`.
        rows: new normal rows, encoded `(n, width)`.
        epochs: passes over new and kept rows.
        most: maximum number of rows that the copy keeps, sampled from both.

    Raises:
        OptionError: the model keeps no rows.
        InputError: too few rows for the threshold.
    """
    check_is_fitted(detector, "scorer_")
    if detector.scorer_.kept is None:
        raise OptionError(
            "update needs kept training rows, but this model was fitted with kept_samples=0; fit it with more"
        )
    other = copy.deepcopy(detector)
    scorer = other.scorer_.replaced(network=None)  # an engine would still compute the old network
    kept = detector.scorer_.kept.items
    learned, held_out = other._split(InMemory(rows))
    rate = detector.scorer_.calibration.false_alarm_rate if detector.scorer_.calibration else 1.0
    needed = math.ceil(1 / rate - 1e-9) - 1
    if len(held_out) < needed:
        raise InputError(
            f"{len(rows)} new rows are too few for the threshold: {len(held_out)} are held out, and a false-alarm rate "
            f"of {rate:g} needs {needed}; collect {3 * needed} rows or more, or recalibrate to a higher rate first"
        )
    fresh = rows[learned.index]
    new = scorer.normalise(fresh[distinct(fresh)].to(kept.device))
    together = torch.cat([new, kept])
    together = together[distinct(together.cpu()).to(kept.device)]
    options = replace(
        other._options(batch_size=other._batch_size(len(together)), warmup=0),
        epochs=epochs,
        learning_rate=other.learning_rate * GENTLE,
        warmup=0,
        init="uniform",  # without effect: items are only initialised after a warm-up
    )
    model = scorer.model.float()
    history: list[Epoch] = []
    training, watched = (
        Selection(InMemory(part.float())) for part in (together, scorer.normalise(rows[held_out.index].to(kept.device)))
    )
    for _ in train(model, training, watched, options, history=history):
        pass
    scorer.to(kept.device, other.precision)
    order = torch.randperm(len(together), generator=torch.Generator().manual_seed(options.seed))
    rows_kept = RowDistance(together[order[:most].to(kept.device)])
    measures = [rows_kept if isinstance(measure, RowDistance) else measure for measure in scorer.measures]
    scorer = scorer.replaced(measures=measures)
    checksum = digest([detector.checksum_.encode(), rows])
    before = len(detector.history_)
    history = [epoch._replace(epoch=before + epoch.epoch) for epoch in history]
    whole = (*detector.history_, *history)
    other._settle(scorer, other.spec_, whole, chosen(history, options), checksum, artifact.versions())
    scores = torch.cat([part.score for part in scorer.batched([rows[held_out.index]], maps=False)])
    other.learned_ = detector.learned_ and detector.learned_ + len(new)  # 0 means unknown
    other.recalibrate(np.asarray(scores.numpy(), dtype=np.float64))
    other._warn_of_collapse()
    return other
