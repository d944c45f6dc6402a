"""Sets of training samples: the interface through which training reads any kind of data."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from memae.data.ahead import ahead


class Samples(Protocol):
    """A finite set of samples of one shape that can be iterated repeatedly."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def batches(self, size: int, order: torch.Generator | None = None) -> Iterator[Tensor]:
        """All samples once, in batches `(size, *shape)`; the last batch may be smaller or one sample larger.

        Args:
            size: samples per batch.
            order: samples a random order; None keeps the order of the source. The same generator state gives the
                same batches.
        """
        ...


class Indexed(Protocol):
    """Samples that can be fetched by their index, in any order."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def take(self, index: Tensor) -> Tensor:
        """The samples at the indices `index` (k,), as `(k, *shape)`."""
        ...


class InMemory:
    """Samples stored as the rows of one tensor."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Tensor) -> Tensor:
        """The rows at `index`."""
        return self.rows[index]


Rows = Callable[[int], slice]
"""Number of samples of a batch → those of them that are wanted."""


def all_rows(samples: int) -> slice:
    """All samples of a batch."""
    return slice(0, samples)


class Selection:
    """The subset `index` of indexed samples, iterated in batches; only one batch is copied at a time.

    Args:
        samples: from which it selects.
        index: of the selected ones; None for all.
        rows: the part of each batch that is fetched; see `divided`.
    """

    def __init__(self, samples: Indexed, index: Tensor | None = None, rows: Rows = all_rows) -> None:
        self.samples = samples
        self.index = torch.arange(len(samples)) if index is None else index
        self.rows = rows

    def __len__(self) -> int:
        return len(self.index)

    def batches(self, size: int, order: torch.Generator | None = None) -> Iterator[Tensor]:
        """All selected samples once; see `Samples.batches`."""
        index = self.index
        if order is not None:
            index = index[torch.randperm(len(index), generator=order)]
        for part in parts(index, size):
            yield self.samples.take(part[self.rows(len(part))])


class ReadAhead:
    """Samples whose next batches are prefetched in a thread, for samples that must be decoded."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def batches(self, size: int, order: torch.Generator | None = None) -> Iterator[Tensor]:
        """All samples once; see `Samples.batches`."""
        return ahead(self.samples.batches(size, order))


class Mapped:
    """Samples with a function applied to each batch."""

    def __init__(self, samples: Samples, function: Callable[[Tensor], Tensor]) -> None:
        self.samples = samples
        self.function = function

    def __len__(self) -> int:
        return len(self.samples)

    def batches(self, size: int, order: torch.Generator | None = None) -> Iterator[Tensor]:
        """All samples once; see `Samples.batches`."""
        for batch in self.samples.batches(size, order):
            yield self.function(batch)


def divided(samples: Samples, rows: Rows) -> Samples:
    """The same batches, of each of which only a part is given; the rest is not even fetched where that can be.

    Their length stays that of all samples.
    """
    if isinstance(samples, Selection):
        return Selection(samples.samples, samples.index, rows)
    if isinstance(samples, ReadAhead):
        return ReadAhead(divided(samples.samples, rows))
    if isinstance(samples, Mapped):
        return Mapped(divided(samples.samples, rows), samples.function)
    return Mapped(samples, lambda batch: batch[rows(len(batch))])


def mapped(samples: Samples, function: Callable[[Tensor], Tensor]) -> Samples:
    """Samples with `function` applied: once, up front, to float rows in memory, else batch by batch."""
    if isinstance(samples, Selection) and isinstance(samples.samples, InMemory):
        rows = samples.samples.rows
        if rows.is_floating_point():
            return Selection(InMemory(_computed(rows, samples.index, function)))
    return Mapped(samples, function)


def _computed(rows: Tensor, index: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """`function` of the rows at `index`, in parts, to bound the memory that its intermediate results take."""
    out = torch.empty(0)
    for start in range(0, len(index), 8192):
        part = function(rows[index[start : start + 8192]])
        if start == 0:
            out = part.new_empty(len(index), *part.shape[1:])
        out[start : start + len(part)] = part
    return out


def parts(rows: Tensor, size: int) -> list[Tensor]:
    """Rows in parts of `size`; a single row left over joins the part before it, since BatchNorm needs at least two.

    Example:
        >>> [len(part) for part in parts(torch.arange(9), 4)]
        [4, 5]
    """
    split = list(torch.split(rows, size))
    if len(split) > 1 and len(split[-1]) == 1:
        split[-2:] = [rows[-size - 1 :]]
    return split


def batch_sizes(samples: int, size: int) -> list[int]:
    """The number of samples of each batch.

    Example:
        >>> batch_sizes(9, 4)
        [4, 5]
    """
    return [len(part) for part in parts(torch.empty(samples, 0), size)]


class Streamed:
    """Samples that come in blocks from a source larger than memory, shuffled through a buffer.

    A buffer as large as the source gives a full shuffle; see `shuffled`.

    Args:
        blocks: starts a new pass over the source and gives `(k, *shape)` tensors in its order.
        length: number of samples per pass, after `keep`.
        buffer: number of samples held for shuffling.
        keep: `(total,)` bool, which samples of the source belong to this set; None for all.
    """

    def __init__(
        self, blocks: Callable[[], Iterator[Tensor]], length: int, buffer: int = 65_536, keep: Tensor | None = None
    ) -> None:
        self.blocks = blocks
        self.length = length
        self.buffer = buffer
        self.keep = keep

    def __len__(self) -> int:
        return self.length

    def _kept(self) -> Iterator[Tensor]:
        start = 0
        for block in self.blocks():
            kept = block if self.keep is None else block[self.keep[start : start + len(block)]]
            start += len(block)
            if len(kept):
                yield kept

    def batches(self, size: int, order: torch.Generator | None = None) -> Iterator[Tensor]:
        """All samples once; see `Samples.batches`."""
        return batched(self._kept() if order is None else shuffled(self._kept(), max(size, self.buffer), order), size)


def shuffled(blocks: Iterable[Tensor], hold: int, order: torch.Generator) -> Iterator[Tensor]:
    """Samples of blocks `(k, *shape)` in random order, in constant memory.

    A buffer of `hold` samples is filled first. Each further sample then replaces a random one of the buffer, which is
    yielded. At the end the buffer is yielded in random order.
    """
    pool = torch.empty(0)
    filled = 0
    for block in blocks:
        if not filled:  # an empty tensor takes no memory until its pages are written
            pool = block.new_empty(hold, *block.shape[1:])
        room = min(hold - filled, len(block))
        pool[filled : filled + room] = block[:room]
        filled += room
        for part in torch.split(block[room:], hold) if room < len(block) else ():
            index = torch.randperm(hold, generator=order)[: len(part)]
            replaced = pool[index]
            pool[index] = part
            yield replaced
    for index in torch.split(torch.randperm(filled, generator=order), 4096):
        yield pool[index]


def batched(blocks: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Samples of blocks `(k, *shape)` in batches of `size`, cut as `parts` cuts one tensor of all samples."""
    waiting: list[Tensor] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += len(block)
        ready = (count - 2) // size * size  # holds two back, so that a single last sample has a batch to join
        if ready > 0:
            rows = torch.cat(waiting)
            yield from torch.split(rows[:ready], size)
            waiting = [rows[ready:].clone()]
            count -= ready
    if count:
        yield from parts(torch.cat(waiting), size)


def digest(parts: Iterable[bytes | Tensor]) -> str:
    """The SHA-256 of the concatenation of bytes and tensors."""
    checksum = hashlib.sha256()
    for part in parts:
        checksum.update(part if isinstance(part, bytes) else np.ascontiguousarray(part.numpy()).data)
    return checksum.hexdigest()
