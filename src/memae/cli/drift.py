"""`memae drift`: are today's scores still like those of the calibration?"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from memae.cli.score import Ignored, Model


def drift(
    model: Model,
    source: Annotated[Path, typer.Argument(help="Data of today, most of which is normal.", show_default=False)],
    ignore: Ignored = [],  # noqa: B006 (typer's way)
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell whether scores of today are still like those of the calibration, on which the threshold rests.

    Example: memae drift model.memae june.csv
    """
    from memae.cli.score_table import scores_of
    from memae.estimators import load

    estimator = load(model)
    found = estimator.drifted(scores_of(estimator, source, ignore))
    sys.stdout.write((json.dumps(asdict(found)) if as_json else found.sentence) + "\n")
