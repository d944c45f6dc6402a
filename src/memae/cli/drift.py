"""`memae drift`: compares today's scores with those of the calibration."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from memae.cli.score import Ignored, Model, Strict


def drift(
    model: Model,
    source: Annotated[Path, typer.Argument(help="Today's data, most of it normal.", show_default=False)],
    ignore: Ignored = [],  # noqa: B006 (typer's way)
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Test whether today's scores are still distributed like those of the calibration, which set the threshold.

    Example: memae drift model.memae june.csv
    """
    from memae.cli.score_table import scores_of
    from memae.estimators import load

    estimator = load(model)
    found = estimator.drifted(scores_of(estimator, source, ignore, strict=strict))
    sys.stdout.write((json.dumps(asdict(found)) if as_json else found.sentence) + "\n")
