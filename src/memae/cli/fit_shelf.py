"""`memae fit table --by`: one detector for each group of rows, in one file."""

import json
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from memae.cli.settings import option
from memae.errors import MemaeWarning

if TYPE_CHECKING:
    from memae.data.dialects import Dialect
    from memae.data.table_readers import TableReader
    from memae.shelves.fitting import Recipe
    from memae.shelves.groups import Group
    from memae.shelves.partition import Partition
    from memae.shelves.spool import Spool

PANEL = "Many models"
LISTED = 10
"""Maximum number of groups, and of remarks, that are told."""
MANY = 100
"""Groups of which a line tells how far it is, at least."""


class Grouping(NamedTuple):
    """How a table is divided into groups with a model each."""

    by: Annotated[
        list[str],
        option(
            "Fit one model for each value of this column, all in one file, MODELS.parquet. Repeat for several columns.",
            "--by",
            panel=PANEL,
        ),
    ] = []  # noqa: RUF012 (typer's way)
    shared: Annotated[
        bool,
        option(
            "Fit a model on rows of all groups too, for groups with too few rows; `memae score --shared` uses it for "
            "unknown ones.",
            "--shared",
            panel=PANEL,
        ),
    ] = False
    fewest: Annotated[
        int | None,
        option(
            "Rows below which a group gets no model of its own; by default 2, or with --shared as many as the "
            "false-alarm rate needs.",
            "--fewest",
            panel=PANEL,
            min=2,
        ),
    ] = None
    workers: Annotated[int, option("Processes, one core each.", "--workers", panel=PANEL, min=1)] = 1


def fit_shelf(job: Any, settings: dict[str, Any], grouping: Grouping, dialect: "Dialect") -> None:
    """Fits a model for each group and writes them all.

    Args:
        job: the options of `memae fit` besides those of its estimator.
        settings: parameters of the estimator.
        grouping: how the table is divided.
        dialect: how its file is written, as far as the user says.

    Raises:
        Exit: some groups could not be fitted.
    """
    from memae.cli.fit import checkpoint_of
    from memae.cli.paths import check_apart
    from memae.parallel.many import shelve
    from memae.shelves.fitting import Recipe
    from memae.shelves.groups import checked_names
    from memae.shelves.partition import Partition
    from memae.shelves.spool import Spool

    names, began = checked_names(grouping.by), time.perf_counter()
    _check(job)
    check_apart(job.output, job.source)
    checkpoint = checkpoint_of(job.output, resume=job.resume)
    read = _reader(job.source, names, dialect)
    recipe = Recipe(settings, grouping.fewest, grouping.shared, read.dialect, read.text - set(names))
    identity = _identity(job.source, names, recipe)
    with Partition(read(), names, job.output.parent) as partition, Spool(checkpoint, identity) as spool:
        _fit(partition, recipe, spool, grouping.workers)
        groups = shelve(partition, spool, job.output)
        spool.clear()
    _tell(job, groups, names, time.perf_counter() - began)


def _check(job: Any) -> None:
    from memae.errors import OptionError

    if job.log_dir is not None or job.mlflow is not None:
        raise OptionError("--log-dir and --mlflow log one training; leave them out with --by")
    if job.output.suffix.lower() != ".parquet":
        raise OptionError(f"models by group are written as Parquet; give -o {job.output.with_suffix('.parquet')}")


def _reader(source: Path, names: Sequence[str], dialect: "Dialect") -> "TableReader":
    """The table, whose columns of keys are read literally if it is text, so that 007 is not 7."""
    from memae.data.dialects import Dialect, Reading
    from memae.data.table_files import table_chunks

    first = table_chunks(source, reading=Reading(dialect))
    if first.dialect == Dialect() and not first.text:
        return first  # values have types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MemaeWarning)  # it was said
        return table_chunks(source, text=first.text | set(names), reading=Reading(dialect, first.dialect))


def _identity(source: Path, names: Sequence[str], recipe: "Recipe") -> str:
    """What the models are made of: a stopped run continues if it is the same."""
    from memae.kinds.pieces import Piece

    files = sorted(each for each in source.rglob("*") if each.is_file()) if source.is_dir() else [source]
    chosen = (dict(recipe.settings), recipe.fewest, recipe.shared, asdict(recipe.dialect), sorted(recipe.text))
    return json.dumps([Piece(str(source), source, files).stamp(), names, chosen], default=str)


def _fit(partition: "Partition", recipe: "Recipe", spool: "Spool", workers: int) -> None:
    """Fits the groups, and shows how far it is."""
    from rich.console import Console
    from rich.progress import track

    from memae.parallel.many import fitted

    total, kept = len(partition.rows), sum(key in spool for key in partition.rows)
    if kept:
        sys.stderr.write(f"{kept:,} of {total:,} groups were fitted before\n")
    console = Console(stderr=True)
    groups = track(
        fitted(partition, recipe, spool, workers),
        "fitting",
        total - kept,
        console=console,
        disable=not console.is_terminal,
    )
    try:
        for number, _ in enumerate(groups):
            if not console.is_terminal and (number + 1) % max((total - kept) // 10, MANY) == 0:
                sys.stderr.write(f"{kept + number + 1:,} of {total:,} groups are fitted\n")
    except KeyboardInterrupt:
        if len(spool):
            told = f"{len(spool):,} groups are kept in {spool.path}; the same command with --resume continues"
            sys.stderr.write(f"memae: {told}\n")
        raise


def _tell(job: Any, groups: "list[Group]", names: Sequence[str], seconds: float) -> None:
    """Says what was fitted and what was not; raises Exit if that is something."""
    from memae.shelves.keys import counted

    of_groups = [group for group in groups if group.key is not None]
    own = [group for group in of_groups if group.error is None and not group.shared]
    borrowing = sum(group.shared for group in of_groups)
    bad = [group for group in groups if group.error is not None]
    for line in _remarks(groups):
        sys.stderr.write(f"memae: warning: {line}\n")
    for group in bad[:LISTED]:
        sys.stderr.write(f"memae: error: {_named(group)}: {group.error}\n")
    if len(bad) > LISTED:
        sys.stderr.write(f"memae: error: … and {len(bad) - LISTED:,} more; see memae inspect {job.output}\n")
    facts = {
        "models": str(job.output),
        "by": list(names),
        "groups": len(of_groups),
        "fitted": len(own),
        "shared": borrowing,
        "training_samples": sum(group.rows for group in of_groups),
        "errors": {_named(group): group.error for group in bad},
        "seconds": seconds,
    }
    if job.as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        told = f"{job.output}: {counted(len(own), 'model')} for {counted(len(of_groups), 'group')} in {seconds:.0f} s"
        told += f"; {borrowing:,} {'has' if borrowing == 1 else 'have'} the shared one" * (borrowing > 0)
        sys.stdout.write(f"{told}; {promised(own)}\n")
    if bad:
        raise typer.Exit(1)


def promised(groups: "Sequence[Group]") -> str:
    """What models promise, in words."""
    rates = sorted({group.false_alarm_rate for group in groups if group.false_alarm_rate is not None})
    least = sorted({group.lowest_false_alarm_rate for group in groups if group.lowest_false_alarm_rate is not None})
    if not rates:
        return "no model of a group's own"

    def span(values: list[float]) -> str:
        return " to ".join(dict.fromkeys(f"{value:.2g}" for value in (values[0], values[-1])))

    return f"false-alarm rate {span(rates)}; at best they can promise {span(least)}"


def _remarks(groups: "Sequence[Group]") -> Iterator[str]:
    """What was to be said of several groups, once, with the first of them; numbers may differ."""
    first: dict[str, tuple[Group, str]] = {}
    counts: Counter[str] = Counter()
    for group in groups:
        for remark in (group.remarks or "").splitlines():
            shape = re.sub(r"[\d.,]+", "#", remark)
            first.setdefault(shape, (group, remark))
            counts[shape] += 1
    for shape, count in counts.most_common(LISTED):
        group, remark = first[shape]
        more = f" and {count - 1:,} more" * (count > 1)
        yield f"{_named(group)}{more}: {remark}"
    if len(counts) > LISTED:
        yield f"{len(counts) - LISTED:,} further remarks on some groups; see memae inspect"


def _named(group: "Group") -> str:
    from memae.shelves.keys import shown

    return "the shared model" if group.is_shared_model else shown(group.key)
