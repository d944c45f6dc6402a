"""`memae recalibrate`: writes a copy of a model with a new threshold; the original is not changed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memae.cli.reading import Columns, read_as, reads_tables, source_of
from memae.cli.score import FalseAlarms, Model

if TYPE_CHECKING:
    from memae.data.dialects import Dialect


@reads_tables
def recalibrate(
    model: Model,
    source: Annotated[Path, source_of("Normal data that the model was not trained on; - is standard input.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file to write.")],
    false_alarm_rate: FalseAlarms = None,
    *,
    columns: Columns,
    dialect: "Dialect",
) -> None:
    """Set a new threshold from today's normal data; nothing is trained.

    Example: memae recalibrate model.memae normal-of-june.csv -o model-june.memae
    """
    from memae.cli.paths import check_apart
    from memae.cli.score_table import scores_of
    from memae.errors import InputError
    from memae.estimators import load
    from memae.scoring.calibration import Calibration, checked_rate, checked_scores

    check_apart(output, model, source)
    detector = load(model)
    read_as(detector, dialect)
    before = detector.threshold_
    scores = scores_of(detector, source, columns.ignore, strict=columns.strict)
    known = detector.calibration_.false_alarm_rate
    rate = known if false_alarm_rate is None else checked_rate(false_alarm_rate)
    calibration = Calibration(checked_scores(scores), rate)
    if not calibration.can_keep():
        least = calibration.smallest_rate()
        message = f"{source} has {len(scores)} samples, which can keep a false-alarm rate of {least:.3g} at best"
        raise InputError(f"{message}, not {rate:g}; give {round(1 / rate) - 1} or more, or a higher --false-alarm-rate")
    detector.recalibrate(scores, false_alarm_rate=rate)
    detector.save(output)
    text = f"flags scores above {detector.threshold_:.4g} ({model}: {before:.4g})"
    worth = detector.independent_
    alike = f", worth {worth} independent ones, which can promise {1 / (worth + 1):.2g} at best" * detector.correlated
    sys.stdout.write(f"{output}: {text}, false-alarm rate {rate:.3g} from {len(scores)} normal samples{alike}\n")
