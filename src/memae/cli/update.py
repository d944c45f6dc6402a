"""`memae update`: writes a copy of a model that also knows more normal samples; the original is not changed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memae.cli.reading import read_as, reads_tables, source_of

if TYPE_CHECKING:
    from memae.data.dialects import Dialect


@reads_tables
def update(
    model: Annotated[
        Path, typer.Argument(help="Model file of a table or of photos; it stays as it is.", show_default=False)
    ],
    source: Annotated[
        Path, source_of("More normal data: a table, a folder of tables or of photos, or - for standard input.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file to write.")],
    epochs: Annotated[
        int | None, typer.Option(help="Passes over new and kept rows, for a learned memory of a table; by default 3.")
    ] = None,
    *,
    dialect: "Dialect",
) -> None:
    """Learn more normal rows or photos without fitting anew, and write a second model.

    Example: memae update model.memae normal-of-june.csv -o model-june.memae
    """
    from memae.cli.paths import check_apart
    from memae.cli.promises import of_photos
    from memae.errors import OptionError
    from memae.estimators import ImageMemAE, TabularMemAE, load

    check_apart(output, model, source)
    detector = load(model)
    read_as(detector, dialect)
    updated: TabularMemAE | ImageMemAE
    if isinstance(detector, TabularMemAE):
        updated = detector.update(source, epochs=3 if epochs is None else epochs)
    elif isinstance(detector, ImageMemAE):
        if epochs is not None:
            raise OptionError("--epochs is for tables with a learned memory; with photos, nothing is trained")
        updated = detector.update(source)
    else:
        raise OptionError(
            f"{model} is a model for {detector.kind} data; only models of tables and photos can be updated, so refit it"
        )
    updated.save(output)
    sys.stdout.write(f"{output}: flags scores above {updated.threshold_:.4g} ({model}: {detector.threshold_:.4g})\n")
    if isinstance(updated, ImageMemAE):
        sys.stderr.write(of_photos(updated.calibration_))
