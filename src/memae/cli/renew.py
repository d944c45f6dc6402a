"""`memae update` and `memae recalibrate`: another model out of one and more normal data; the first stays as it is."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from memae.cli.score import FalseAlarms, Ignored, Model

Output = Annotated[Path, typer.Option("--output", "-o", help="Model file to write.")]


def update(
    model: Annotated[Path, typer.Argument(help="Model file of a table; it stays as it is.", show_default=False)],
    source: Annotated[Path, typer.Argument(help="More normal rows: .csv or .parquet.", show_default=False)],
    output: Output,
    epochs: Annotated[int, typer.Option(help="Passes over new and known rows.")] = 3,
) -> None:
    """Learn more normal rows without a full retrain, into a second model.

    Example: memae update model.memae normal-of-june.csv -o model-june.memae
    """
    from memae.cli.apart import check_apart
    from memae.errors import OptionError
    from memae.estimators import TabularMemAE, load

    check_apart(output, model, source)
    detector = load(model)
    if not isinstance(detector, TabularMemAE):
        raise OptionError(f"{model} is a model for {detector.kind} data; only tables can be updated, fit it anew")
    updated = detector.update(source, epochs=epochs)
    updated.save(output)
    sys.stdout.write(f"{output}: flags scores above {updated.threshold_:.4g} ({model}: {detector.threshold_:.4g})\n")


def recalibrate(
    model: Model,
    source: Annotated[Path, typer.Argument(help="Normal data that the model was not trained on.", show_default=False)],
    output: Output,
    ignore: Ignored = [],  # noqa: B006 (typer's way)
    false_alarm_rate: FalseAlarms = None,
) -> None:
    """Set the threshold anew by normal data of today; nothing is trained.

    Example: memae recalibrate model.memae normal-of-june.csv -o model-june.memae
    """
    from memae.calibration import Calibration, checked_rate, checked_scores
    from memae.cli.apart import check_apart
    from memae.cli.rows import scores_of
    from memae.errors import InputError
    from memae.estimators import load

    check_apart(output, model, source)
    detector = load(model)
    before = detector.threshold_
    scores = scores_of(detector, source, ignore)
    known = detector.calibration_.false_alarm_rate
    rate = known if false_alarm_rate is None else checked_rate(false_alarm_rate)
    calibration = Calibration(checked_scores(scores), rate)
    if not calibration.can_keep():
        least = calibration.smallest_rate()
        told = f"{source} has {len(scores)} samples, which can keep a false-alarm rate of {least:.3g} at best"
        raise InputError(f"{told}, not {rate:g}; give {round(1 / rate) - 1} or more, or a higher --false-alarm-rate")
    detector.recalibrate(scores, false_alarm_rate=rate)
    detector.save(output)
    told = f"flags scores above {detector.threshold_:.4g} ({model}: {before:.4g})"
    sys.stdout.write(f"{output}: {told}, false-alarm rate {rate:.3g} by {len(scores)} normal samples\n")
