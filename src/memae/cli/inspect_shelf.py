"""`memae inspect` of the models of many groups: the groups, what is promised, and what could not be fitted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from memae.cli.fit_shelf import promised
from memae.cli.paths import check_apart
from memae.estimators import TabularMemAE
from memae.shelves.groups import Group
from memae.shelves.keys import counted, plain_text
from memae.shelves.reading import Shelf

LISTED = 30
"""Maximum number of groups that are shown; JSON has all."""


def describe_shelf(shelf: Shelf) -> dict[str, Any]:
    """All facts about a shelf, JSON-ready."""
    groups = [*shelf.groups.values()]
    more = [each for each in (shelf.shared, shelf.without_key) if each is not None]
    return {
        "kind": "table",
        "by": list(shelf.keys_.names),
        "groups": len(groups),
        "fitted": sum(each.error is None and not each.shared for each in groups),
        "sharing": sum(each.shared for each in groups),
        "failed": sum(each.error is not None for each in [*groups, *more]),
        "shared_model": None if shelf.shared is None else _facts(shelf.shared),
        "without_key": 0 if shelf.without_key is None else shelf.without_key.rows,
        "training_samples": sum(each.rows for each in groups),
        "promise": promised([each for each in groups if not each.shared]),
        "models": [_facts(each) | {"key": [plain_text(value) for value in each.key or ()]} for each in groups],
    }


def _facts(group: Group) -> dict[str, Any]:
    names = ("error", "shared", "rows", "false_alarm_rate", "lowest_false_alarm_rate", "seconds", "remarks")
    return {name: getattr(group, name) for name in names}


def show_shelf(facts: dict[str, Any]) -> None:
    """Prints the facts of `describe_shelf`: the groups without a model first, then those that promise least."""
    console = Console()
    told = f"{counted(facts['fitted'], 'model')} for {counted(facts['groups'], 'group')} by {', '.join(facts['by'])}"
    if facts["shared_model"] is not None:
        have = "has" if facts["sharing"] == 1 else "have"
        told += f"; {facts['sharing']:,} {have} the shared one, of {counted(facts['shared_model']['rows'], 'row')}"
    console.print(told, highlight=False, soft_wrap=True)
    console.print(f"{counted(facts['training_samples'], 'row')}; {facts['promise']}", highlight=False, soft_wrap=True)
    if facts["without_key"]:
        console.print(f"{counted(facts['without_key'], 'row')} belong to no group", highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in (*facts["by"], "rows", "promises", ""):
        table.add_column(name, overflow="fold")
    ordered = sorted(facts["models"], key=lambda each: (each["error"] is None, not each["shared"], _least(each)))
    for each in ordered[:LISTED]:
        promise = "" if each["lowest_false_alarm_rate"] is None else f"{each['lowest_false_alarm_rate']:.2g}"
        said = each["error"] or ("has the shared model" if each["shared"] else each["remarks"] or "")
        table.add_row(*map(str, each["key"]), f"{each['rows']:,}", promise, said)
    console.print(table)
    if len(ordered) > LISTED:
        console.print(f"… and {len(ordered) - LISTED:,} more; --json lists all", highlight=False)


def _least(facts: dict[str, Any]) -> float:
    return -(facts["lowest_false_alarm_rate"] or 1.0)


def taken(shelf: Shelf, key: Sequence[str], output: Path | None) -> TabularMemAE:
    """The model of a group.

    Args:
        shelf: with the group.
        key: as text.
        output: model file to write; None for none.

    Raises:
        GroupError: it has no model.
    """
    detector = shelf[tuple(key)]
    if output is not None:
        check_apart(output, shelf.path)
        detector.save(output)
    return detector
