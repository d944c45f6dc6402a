"""`memae drift`: compares today's scores with those of the calibration."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memae.cli.reading import Columns, read_as, reads_tables, source_of
from memae.cli.score import Model

if TYPE_CHECKING:
    from memae.data.dialects import Dialect


@reads_tables
def drift(
    model: Model,
    source: Annotated[Path, source_of("Today's data, most of it normal; - is standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    *,
    columns: Columns,
    dialect: "Dialect",
) -> None:
    """Test whether today's scores are still distributed like those of the calibration, which set the threshold.

    Example: memae drift model.memae june.csv
    """
    from memae.cli.score_table import scores_of
    from memae.estimators import load

    estimator = load(model)
    read_as(estimator, dialect)
    found = estimator.drifted(scores_of(estimator, source, columns.ignore, strict=columns.strict))
    sys.stdout.write((json.dumps(asdict(found)) if as_json else found.sentence) + "\n")
