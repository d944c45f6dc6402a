"""Sets of training samples: what training needs to know of any data, whatever its kind."""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor


class Samples(Protocol):
    """A finite set of samples of one shape that can be passed over again and again."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def batches(self, size: int, order: torch.Generator | None = None) -> Iterator[Tensor]:
        """All samples once, `size` at a time `(size, *shape)`; the last batch may be smaller.

        Args:
            size: samples a batch.
            order: draws the order; None passes in the order of the source. The same generator state
                gives the same batches.
        """
        ...


class Indexed(Protocol):
    """Samples that can be fetched by their position, in any order."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def take(self, index: Tensor) -> Tensor:
        """The samples at the positions `index` (k,), as `(k, *shape)`."""
        ...


class InMemory:
    """Samples that are rows of one tensor."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Tensor) -> Tensor:
        """The rows at `index`."""
        return self.rows[index]


class Selection:
    """The part of indexed samples that `index` names, passed over in batches; only one batch is ever copied."""

    def __init__(self, samples: Indexed, index: Tensor | None = None) -> None:
        self.samples = samples
        self.index = torch.arange(len(samples)) if index is None else index

    def __len__(self) -> int:
        return len(self.index)

    def batches(self, size: int, order: torch.Generator | None = None) -> Iterator[Tensor]:
        """All selected samples once; see `Samples.batches`."""
        index = self.index
        if order is not None:
            index = index[torch.randperm(len(index), generator=order)]
        for part in parts(index, size):
            yield self.samples.take(part)


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


def mapped(samples: Samples, function: Callable[[Tensor], Tensor]) -> Samples:
    """Samples with `function` applied: once and for all to rows of numbers in memory, else batch by batch."""
    if isinstance(samples, Selection) and isinstance(samples.samples, InMemory):
        rows = samples.samples.rows
        if rows.is_floating_point():
            return Selection(InMemory(function(rows[samples.index])))
    return Mapped(samples, function)


def parts(rows: Tensor, size: int) -> list[Tensor]:
    """Rows in parts of `size`; a single one left over joins the part before it, for BatchNorm cannot learn from one.

    Example:
        >>> [len(part) for part in parts(torch.arange(9), 4)]
        [4, 5]
    """
    split = list(torch.split(rows, size))
    if len(split) > 1 and len(split[-1]) == 1:
        split[-2:] = [rows[-size - 1 :]]
    return split


class Streamed:
    """Samples that come in blocks from a source larger than memory, shuffled through a buffer.

    The buffer holds `buffer` samples; a batch is drawn from a full buffer at random, and the next block refills
    it. A buffer of the whole source is a full shuffle.

    Args:
        blocks: starts a new pass over the source and gives `(k, *shape)` tensors in its order.
        length: number of samples that a pass gives, after `keep`.
        buffer: samples held for shuffling.
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
        hold = max(size, self.buffer)
        pool: list[Tensor] = []
        count = 0
        for block in self._kept():
            pool.append(block)
            count += len(block)
            if count >= 2 * hold:
                rows = _shuffled(torch.cat(pool), order)
                ready = (count - hold) // size * size
                yield from torch.split(rows[:ready], size)
                pool = [rows[ready:].clone()]
                count = len(pool[0])
        if count:
            yield from parts(_shuffled(torch.cat(pool), order), size)


def _shuffled(rows: Tensor, order: torch.Generator | None) -> Tensor:
    return rows if order is None else rows[torch.randperm(len(rows), generator=order)]
