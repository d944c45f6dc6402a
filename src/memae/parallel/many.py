"""Fits a detector for each group of a table in processes of this machine, and writes a shelf of them."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from memae.parallel.workers import done
from memae.shelves.fitting import SHARED_ROWS, Recipe
from memae.shelves.groups import Group, ordered, unkeyed
from memae.shelves.partition import Partition, Rows
from memae.shelves.spool import Spool
from memae.shelves.writing import write


def fitted(partition: Partition, recipe: Recipe, spool: Spool, workers: int = 1) -> Iterator[Group]:
    """Fits the groups that are not in the spool, and adds them; yields each when it is there, without its model.

    The models are the same, to the last bit, whatever the number of workers.

    Args:
        partition: the rows of each group.
        recipe: how they are fitted.
        spool: receives the groups, and then the shared model, if one is wanted.
        workers: number of processes; 1 for this process itself.
    """
    tasks = (rows for rows in partition if rows.key not in spool)
    for each in done(partial(_fitted, recipe), tasks, workers):
        group = each.result or Group(key=each.task.key, rows=len(each.task.frame), error=each.error)
        spool.add(group)
        yield replace(group, model=None)
    if recipe.shared and None not in spool:
        usable = partition.rows.keys() - spool.failed(partition.rows)
        spool.add(recipe.shared_model(*partition.sample(SHARED_ROWS, recipe.seed, usable)))


def _fitted(recipe: Recipe, rows: Rows) -> Group:
    return recipe.fitted(rows.key, rows.frame)


def shelve(partition: Partition, spool: Spool, path: Path) -> list[Group]:
    """Writes a shelf, whole or not at all, and gives its groups without their models.

    Args:
        partition: the rows of each group.
        spool: with all groups.
        path: of the shelf.

    Raises:
        OutputError: the file cannot be written; an existing one is kept.
    """
    names = partition.by.names
    lost = [unkeyed(names, partition.without_key)] * (partition.without_key > 0)
    known: list[Group] = []

    def noted() -> Iterator[Group]:
        for group in chain(lost, spool.groups(ordered([None, *partition.rows]))):
            known.append(replace(group, model=None))
            yield group

    write(path, partition.by, noted())
    return known
