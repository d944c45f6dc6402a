"""`memae explain`: why the most anomalous samples of a source have their scores."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memae.cli.reading import Columns, read_as, reads_tables, source_of
from memae.cli.score import Model
from memae.cli.unread import tell_unread, unread_paths

if TYPE_CHECKING:
    from memae.data.dialects import Dialect
    from memae.estimators import Estimator
    from memae.evidence import Evidence
    from memae.kinds import Kind, Notes


@reads_tables
def explain(
    model: Model,
    source: Annotated[Path, source_of("Data of the kind the model was fitted on; - is standard input.")],
    top: Annotated[int, typer.Option(help="Number of samples to explain, the most anomalous first.", min=1)] = 5,
    items: Annotated[int, typer.Option(help="Maximum number of memory items to show for each.", min=0)] = 5,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the explanations, one JSON line per sample.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            help="Folder for one picture per sample: input, reconstruction, error map, items, training samples."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per sample.")] = False,
    *,
    columns: Columns,
    dialect: "Dialect",
) -> None:
    """Explain the scores of the most anomalous rows, images or frames.

    All samples are scored first; those to explain are read a second time.

    Example: memae explain model.memae new.csv --top 3
    """
    from memae.cli.evidence import draw, show
    from memae.cli.paths import check_apart, check_folder_apart
    from memae.errors import OptionError
    from memae.estimators import load
    from memae.files import replacing
    from memae.kinds import Notes

    check_apart(output, model, source)
    check_folder_apart(pictures, source)
    estimator = load(model)
    read_as(estimator, dialect)
    if pictures is not None and not estimator.kind_.pictured:
        raise OptionError("--pictures is for images and video; a row of a table has no picture")
    notes = Notes()
    kind = estimator.kind_.ignoring(columns.ignore, strict=columns.strict)
    found = _most_anomalous(estimator, kind, source, top, items, notes)
    lines = _as_json(found, notes) if as_json or output is not None else ""
    if output is not None:
        with replacing(output) as temporary:
            temporary.write_text(lines, encoding="utf-8")
        sys.stderr.write(f"{output}: {len(found)} explained\n")
    if pictures is not None:
        for number, each in enumerate(found, start=1):
            draw(each, pictures, number)
    if as_json:
        sys.stdout.write(lines)
    elif output is None:
        for each in found:
            show(each)
    tell_unread(notes)


def _as_json(found: "Sequence[Evidence]", notes: "Notes") -> str:
    """One line per sample, and, if files could not be read, a last line that names them."""
    lines = [each.as_json() for each in found]
    lines += [{"unread": unread_paths(notes)}] if notes.unread else []
    return "".join(json.dumps(line) + "\n" for line in lines)


def _most_anomalous(
    estimator: "Estimator", kind: "Kind", source: Path, top: int, items: int, notes: "Notes"
) -> "list[Evidence]":
    """Evidence of the `top` most anomalous samples, the highest first."""
    import numpy as np

    from memae.evidence import Explainer
    from memae.kinds.kind import joined_names, sample_at

    parts = list(kind.scored(estimator.scorer_, kind.open(source, notes=notes)))
    names = joined_names([part.names for part in parts])
    scores = np.concatenate([part.judged.score.numpy() for part in parts])
    chosen = [sample_at(names, index) for index in kind.most_anomalous(names, scores, top)]
    return kind.explain_again(Explainer(estimator.scorer_, estimator.examples_, items), source, chosen)
