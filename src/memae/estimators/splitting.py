"""Splits encoded rows of a table into training and held-out rows, in memory or as a stream."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.utils.random import sample_without_replacement
from torch import Tensor

from memae.data.cleaning import distinct, typical
from memae.data.samples import Indexed, InMemory, Samples, Selection, Streamed, digest
from memae.data.tables import TableEncoder

Blocks = Callable[[], Iterator[Tensor]]
"""Starts a new pass over encoded rows, in blocks `(k, width)`, float64."""


class Parts(NamedTuple):
    """Windows in some parts of the table. A window is compared with those of other parts to calibrate."""

    label: Tensor  # (m,): the part of each window
    inside: Tensor  # (m,), bool: whether the window overlaps none of another part

    def at(self, index: Tensor) -> "Parts":
        """Those of some of the windows."""
        return Parts(self.label[index], self.inside[index])


class ReadTable(NamedTuple):
    """A table as it was read."""

    blocks: Blocks
    rows: int
    streams: bool  # whether it is too large for memory
    origin: Tensor | None = None  # number in the table of each row; None if none was left out
    parts: Parts | None = None  # of rows that are windows
    names: list[str] | None = None  # of rows that are windows

    def name(self, index: int) -> str:
        """Names a row for users."""
        if self.names is not None:
            return self.names[index]
        return f"row {index if self.origin is None else int(self.origin[index])}"


Split = tuple[Samples, Samples, str]
"""Training rows, held-out rows, and the checksum of the data."""

BUFFER = 2**26
"""Size in bytes of a streamed file's shuffle buffer, and again of its held-out rows."""


def cleaned(
    frame: pd.DataFrame, encoder: TableEncoder, share: float, seed: int
) -> tuple[pd.DataFrame, Tensor, TableEncoder]:
    """The rows that are not left out as anomalous, their indices, and the encoder fitted on them alone.

    Args:
        frame: rows in the columns that are encoded.
        encoder: fitted on all rows.
        share: of the rows to leave out.
        seed: samples the rows that distances are measured to.
    """
    keep = typical(encoder.encode(frame), share, torch.Generator().manual_seed(seed))
    clean = frame.iloc[keep.numpy()]
    kinds = {column.name: column.kind for column in encoder.columns}
    return clean, keep, TableEncoder.fit([clean], kinds)[0]


def in_memory(blocks: Blocks, rows: int, width: int, split: Callable[[Indexed], tuple[Selection, Selection]]) -> Split:
    """Splits rows that fit into memory by `split`, and removes duplicate training rows."""
    features = filled(blocks(), rows, width)
    training, held_out = split(InMemory(features))
    checksum = digest(training.batches(8192))
    first = distinct(features[training.index])
    return Selection(training.samples, training.index[first]), held_out, checksum


def streamed(blocks: Blocks, rows: int, width: int, held_out_count: Callable[[int], int], seed: Any) -> Split:
    """Splits rows in constant memory: only the held-out rows, which are few, are kept. The checksum covers all rows.

    Args:
        blocks: starts a new pass.
        rows: number of rows of a pass.
        width: features of a row.
        held_out_count: number of rows → number of held-out rows.
        seed: scikit-learn's `random_state`, which samples the held-out rows.
    """
    fitting = BUFFER // (8 * width)
    count = min(held_out_count(rows), max(min(fitting, 100_000), 1000))
    held_out_rows = sample_without_replacement(rows, count, method="tracking_selection", random_state=seed)
    keep = torch.ones(rows, dtype=torch.bool)
    keep[torch.from_numpy(held_out_rows)] = False
    held_out_blocks: list[Tensor] = []

    def seen() -> Iterator[Tensor]:
        start = 0
        for block in blocks():
            held_out_blocks.append(block[~keep[start : start + len(block)]])
            start += len(block)
            yield block

    checksum = digest(seen())
    held_out = Selection(InMemory(filled(iter(held_out_blocks), count, width)))
    return Streamed(blocks, rows - count, min(max(fitting, 1), 65_536), keep), held_out, checksum


def random_rows(blocks: Blocks, rows: int, width: int, most: int, seed: int) -> tuple[Tensor, Tensor, str]:
    """Up to `most` rows in random order, their indices, and the checksum of all rows, in one pass.

    Args:
        blocks: starts the pass.
        rows: number of rows of a pass.
        width: features of a row.
        most: maximum number of rows.
        seed: chooses and orders them.
    """
    wanted = np.sort(sample_without_replacement(rows, min(most, rows), random_state=seed))
    chosen = torch.from_numpy(wanted)
    found = torch.empty(len(wanted), width, dtype=torch.float64)

    def seen() -> Iterator[Tensor]:
        start = 0
        for block in blocks():
            first, last = np.searchsorted(wanted, [start, start + len(block)])
            found[first:last] = block[chosen[first:last] - start]
            start += len(block)
            yield block

    checksum = digest(seen())
    order = torch.randperm(len(wanted), generator=torch.Generator().manual_seed(seed))
    return found[order], chosen[order], checksum


def sampled(training: Streamed, count: int, seed: int) -> Selection:
    """Samples `count` rows of a whole pass and drops duplicates; the first shuffled rows would be the file's head."""
    count = min(count, len(training))
    wanted = np.sort(sample_without_replacement(len(training), count, random_state=seed))
    blocks: list[Tensor] = []
    start = 0
    for batch in training.batches(8192):
        inside = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, start + len(batch))]
        blocks.append(batch[torch.from_numpy(inside - start)])
        start += len(batch)
    rows = torch.cat(blocks)
    return Selection(InMemory(rows), distinct(rows))


def row_name(training: Samples, origin: Tensor | None, index: int) -> str:
    """Names a training row by its number in the table, from 0.

    Args:
        training: of a `Split`.
        origin: number in the table of each row that was split; None if no rows were left out before.
        index: of the row in `training`.
    """
    number = index
    if isinstance(training, Selection):
        number = int(training.index[index])
    elif isinstance(training, Streamed) and training.keep is not None:
        held_out = (~training.keep).nonzero().flatten()  # few
        number += int(torch.searchsorted(held_out - torch.arange(len(held_out)), index, right=True))
    return f"row {number if origin is None else int(origin[number])}"


def filled(blocks: Iterator[Tensor], rows: int, width: int) -> Tensor:
    """Joins blocks to one tensor `(rows, width)`, float64; `torch.cat` would need the memory twice."""
    out = torch.empty(rows, width, dtype=torch.float64)
    start = 0
    for block in blocks:
        out[start : start + len(block)] = block
        start += len(block)
    return out
