"""Encoded rows of a table → those for training and those held out, in memory or as a stream."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn.utils.random import sample_without_replacement
from torch import Tensor

from memae.data.cleaning import distinct
from memae.data.samples import Indexed, InMemory, Samples, Selection, Streamed, digest

Blocks = Callable[[], Iterator[Tensor]]
"""Starts a new pass over encoded rows, some `(k, width)` at a time, float64."""
Split = tuple[Samples, Samples, str]
"""Rows for training, held-out ones, and the checksum of the data."""

BUFFER = 2**26
"""Bytes of features that a streamed file takes for shuffling, and again for what is held out."""


def in_memory(blocks: Blocks, rows: int, width: int, split: Callable[[Indexed], tuple[Selection, Selection]]) -> Split:
    """Splits rows that fit into memory by `split`; those for training are each there once."""
    features = filled(blocks(), rows, width)
    training, held_out = split(InMemory(features))
    checksum = digest(training.batches(8192))
    first = distinct(features[training.index])
    return Selection(training.samples, training.index[first]), held_out, checksum


def streamed(blocks: Blocks, rows: int, width: int, held_out_count: Callable[[int], int], seed: Any) -> Split:
    """The same in constant memory; the held-out rows, which are few, are kept, and all rows are in the checksum.

    Args:
        blocks: a new pass.
        rows: of a pass.
        width: features of a row.
        held_out_count: how many of so many rows are wanted.
        seed: scikit-learn's `random_state`, which draws them.
    """
    fitting = BUFFER // (8 * width)
    count = min(held_out_count(rows), max(min(fitting, 100_000), 1000))
    drawn = sample_without_replacement(rows, count, method="tracking_selection", random_state=seed)
    keep = torch.ones(rows, dtype=torch.bool)
    keep[torch.from_numpy(drawn)] = False
    found: list[Tensor] = []

    def seen() -> Iterator[Tensor]:
        start = 0
        for block in blocks():
            found.append(block[~keep[start : start + len(block)]])
            start += len(block)
            yield block

    checksum = digest(seen())
    held_out = Selection(InMemory(filled(iter(found), count, width)))
    return Streamed(blocks, rows - count, min(max(fitting, 1), 65_536), keep), held_out, checksum


def sampled(training: Streamed, count: int, seed: int) -> Selection:
    """Distinct ones of `count` rows drawn from a whole pass: the shuffle buffer gives the head of the file first."""
    count = min(count, len(training))
    wanted = np.sort(sample_without_replacement(len(training), count, random_state=seed))
    found: list[Tensor] = []
    start = 0
    for batch in training.batches(8192):
        inside = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, start + len(batch))]
        found.append(batch[torch.from_numpy(inside - start)])
        start += len(batch)
    rows = torch.cat(found)
    return Selection(InMemory(rows), distinct(rows))


def row_name(training: Samples, origin: Tensor | None, place: int) -> str:
    """How the user knows a row for training: by its number in the table, from 0.

    Args:
        training: of a `Split`.
        origin: number in the table of each row that was split; None where none had been left out.
        place: of the row in `training`.
    """
    number = place
    if isinstance(training, Selection):
        number = int(training.index[place])
    elif isinstance(training, Streamed) and training.keep is not None:
        gone = (~training.keep).nonzero().flatten()  # few: they are held out
        number += int(torch.searchsorted(gone - torch.arange(len(gone)), place, right=True))
    return f"row {number if origin is None else int(origin[number])}"


def filled(blocks: Iterator[Tensor], rows: int, width: int) -> Tensor:
    """All blocks as one tensor `(rows, width)`, float64; `torch.cat` would hold them twice."""
    out = torch.empty(rows, width, dtype=torch.float64)
    start = 0
    for block in blocks:
        out[start : start + len(block)] = block
        start += len(block)
    return out
