"""`memae update`: writes a copy of a model that has also learned more normal rows; the original is not changed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memae.cli.reading import read_as, reads_tables, source_of

if TYPE_CHECKING:
    from memae.data.dialects import Dialect


@reads_tables
def update(
    model: Annotated[Path, typer.Argument(help="Model file of a table; it stays as it is.", show_default=False)],
    source: Annotated[Path, source_of("More normal rows: a table, a folder of tables, or - for standard input.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file to write.")],
    epochs: Annotated[int, typer.Option(help="Passes over new and kept rows, for a learned memory.")] = 3,
    *,
    dialect: "Dialect",
) -> None:
    """Learn more normal rows without fitting anew, and write a second model.

    Example: memae update model.memae normal-of-june.csv -o model-june.memae
    """
    from memae.cli.loading import loaded_as
    from memae.cli.paths import check_apart
    from memae.estimators import TabularMemAE

    check_apart(output, model, source)
    detector = loaded_as(TabularMemAE, model, "only table models can be updated, so refit it")
    read_as(detector, dialect)
    updated = detector.update(source, epochs=epochs)
    updated.save(output)
    sys.stdout.write(f"{output}: flags scores above {updated.threshold_:.4g} ({model}: {detector.threshold_:.4g})\n")
