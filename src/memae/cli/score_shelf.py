"""`memae score` with the models of many groups: each row by that of its group."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import typer

from memae.cli.paths import check_apart
from memae.cli.score import of_discoveries
from memae.cli.score_table import beside, discovered
from memae.cli.writing import check_ending, write
from memae.data.dialects import Dialect, Reading
from memae.data.table_files import table_chunks
from memae.errors import InputError, OptionError
from memae.scoring.calibration import checked_rate
from memae.shelves.keys import TEXT, counted
from memae.shelves.scoring import ByGroup

LISTED = 10
"""Maximum number of reasons that are told."""


class Wanted(NamedTuple):
    """What is scored, and written."""

    source: Path
    output: Path | None
    keep: bool
    fdr: float | None
    dialect: Dialect


def score_shelf(score: ByGroup, wanted: Wanted, *, as_json: bool) -> None:
    """Scores a table and writes one row for each of its rows, in order.

    Args:
        score: scores rows by group.
        wanted: source and output.
        as_json: whether a summary goes to stdout.

    Raises:
        InputError: no row can be scored.
        OptionError: an option does not fit.
        Exit: some rows could not be scored.
    """
    output = wanted.output
    if output is not None and (output.is_dir() or not output.suffix):
        raise OptionError(f"the models of many groups score into one file; give -o {output}.parquet")
    check_apart(output, score.shelf.path, wanted.source)
    check_ending(output)
    rate = None if wanted.fdr is None else checked_rate(wanted.fdr, "false-discovery")
    rows: Any = _rows(score, wanted)
    found = 0
    if rate is not None:
        rows, found = discovered(rows, rate, output)
    count, flagged = write(rows, output)
    unscored = score.reasons.total()
    facts: dict[str, Any] = {"output": str(output), "samples": count, "flagged": flagged, "unscored": unscored}
    if rate is not None:
        facts["discoveries"] = found
        sys.stderr.write(of_discoveries(found, count - unscored, rate, score.held_out))
    for remark in score.notes.remarks:
        sys.stderr.write(f"memae: warning: {remark}\n")
    if score.shelf.rougher:
        models, rates = counted(len(score.shelf.rougher), "model"), "cannot promise this false-alarm rate"
        sys.stderr.write(f"memae: warning: {models} {rates}, and flag at the lowest that they can promise\n")
    if as_json:
        sys.stdout.write(json.dumps(facts | {"reasons": dict(score.reasons), "left_out": score.notes.unknown}) + "\n")
    elif output is not None:
        sys.stderr.write(f"{output}: {count - unscored:,} of {counted(count, 'row')} scored, {flagged:,} flagged\n")
    for omission in score.notes.omissions:
        sys.stderr.write(f"memae: warning: {omission}\n")
    if unscored:
        _tell_unscored(score.reasons)
        raise typer.Exit(1)


def _tell_unscored(reasons: Counter[str]) -> None:
    for reason, number in reasons.most_common(LISTED):
        sys.stderr.write(f"memae: error: {counted(number, 'row')} not scored: {reason}\n")
    more = f", for {len(reasons):,} reasons, {LISTED} of which are above" * (len(reasons) > LISTED)
    total = f"{counted(reasons.total(), 'row')} not scored{more}; column reason tells why, everything else is scored"
    sys.stderr.write(f"memae: error: {total}\n")


def _rows(score: ByGroup, wanted: Wanted) -> Iterator[pd.DataFrame]:
    """Rows with scores, in parts; if none could be scored, an error instead of the last part."""
    shelf, names, start = score.shelf, score.names, 0
    reading = Reading(wanted.dialect, shelf.sample.dialect_)
    chunks = table_chunks(wanted.source, text=[*names, *shelf.text], reading=reading)()
    if shelf.in_order:  # a row of the next chunk may follow one of this chunk
        chunks = iter([pd.concat(chunks, ignore_index=True)])
    for chunk in chunks:
        found = score(chunk)
        known = {name: _typed(chunk[name], kind) for name, kind in zip(names, shelf.keys_.kinds, strict=True)}
        rows = pd.DataFrame({"row": range(start, start + len(chunk))} | known, copy=False)
        start += len(chunk)
        found["is_anomaly"] = found["is_anomaly"].astype("Int32")
        found["shared"] = found["shared"].astype("int32")
        rows = pd.concat([rows.reset_index(drop=True), found], axis=1)
        if shelf.shared is None:
            del rows["shared"]
        yield beside(rows, chunk.drop(columns=list(names))) if wanted.keep else rows
    if score.reasons.total() == start:
        raise InputError(f"no row of {wanted.source} can be scored: {score.reasons.most_common(1)[0][0]}")


def _typed(column: "pd.Series[Any]", kind: str) -> "pd.Series[Any]":
    """A column of keys in one type, whatever is missing in a part of the table."""
    return column.astype("str") if kind == TEXT and column.dtype == object else column
