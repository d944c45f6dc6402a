"""`memae explain`: why the most anomalous samples of a source have their scores."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memae.cli.score import Ignored, Model

if TYPE_CHECKING:
    import pandas as pd

    from memae.estimators import Estimator
    from memae.evidence import Evidence


def explain(
    model: Model,
    source: Annotated[Path, typer.Argument(help="Data of the kind the model was fitted on.", show_default=False)],
    top: Annotated[int, typer.Option(help="Explain so many samples, the most anomalous ones.", min=1)] = 5,
    items: Annotated[int, typer.Option(help="Memory items to tell of each, at most.", min=0)] = 5,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the reasons, a JSON line a sample.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder for a picture a sample: itself, reconstruction, error map, items, training samples."),
    ] = None,
    ignore: Ignored = [],  # noqa: B006 (typer's way)
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON line a sample.")] = False,
) -> None:
    """Say why the most anomalous rows, images or frames have their scores.

    All samples are scored first; what is explained is read once more.

    Example: memae explain model.memae new.csv --top 3
    """
    from memae.cli.apart import check_apart, check_folder_apart
    from memae.cli.reasons import draw, show
    from memae.errors import OptionError
    from memae.estimators import load
    from memae.files import replacing

    check_apart(output, model, source)
    check_folder_apart(pictures, source)
    estimator = load(model)
    if pictures is not None and estimator.kind == "table":
        raise OptionError("--pictures is for images and video; a row of a table has no picture")
    found = _most_anomalous(estimator, source, top, items, ignore)
    lines = "".join(json.dumps(each.as_json()) + "\n" for each in found) if as_json or output is not None else ""
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


def _most_anomalous(
    estimator: "Estimator", source: Path, top: int, items: int, ignore: Sequence[str]
) -> "list[Evidence]":
    """Evidence of so many samples, the most anomalous first; equal ones in their order."""
    import pandas as pd

    from memae.cli.rows import scored

    rows = pd.concat(list(scored(estimator, source, ignore=ignore)), ignore_index=True)
    rows = rows.sort_values("score", ascending=False, kind="stable")
    order = rows.index[:top].tolist() if estimator.kind != "video" else _apart(rows, top)
    if ignore:  # columns that are there to be left out, as those that `fit` was told of
        estimator.set_params(ignore=[*estimator.get_params()["ignore"], *ignore])
    found = dict(zip(sorted(order), estimator.explain(source, items=items, only=set(order)), strict=True))
    return [found[place] for place in order]


def _apart(rows: "pd.DataFrame", top: int) -> list[int]:
    """So many frames, the most anomalous first, no two of a video within a second: neighbours have the same reasons."""
    chosen: list[int] = []
    told: dict[str, list[float]] = {}
    for place, path, seconds in zip(rows.index.tolist(), rows["path"], rows["time"], strict=True):
        others = told.setdefault(path, [])
        if len(chosen) < top and all(abs(seconds - other) >= 1 for other in others):
            chosen.append(place)
            others.append(seconds)
    return chosen
