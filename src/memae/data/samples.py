"""Sets of training samples: what training needs to know of any data, whatever its kind."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from memae.data.ahead import ahead


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


class ReadAhead:
    """Samples whose next batches are made in a thread, for those that must be decoded."""

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


def mapped(samples: Samples, function: Callable[[Tensor], Tensor]) -> Samples:
    """Samples with `function` applied: once and for all to rows of numbers in memory, else batch by batch."""
    if isinstance(samples, Selection) and isinstance(samples.samples, InMemory):
        rows = samples.samples.rows
        if rows.is_floating_point():
            return Selection(InMemory(_computed(rows, samples.index, function)))
    return Mapped(samples, function)


def _computed(rows: Tensor, index: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """`function` of the rows at `index`, some at a time: its intermediate results would take several times the rows."""
    out = torch.empty(0)
    for start in range(0, len(index), 8192):
        part = function(rows[index[start : start + 8192]])
        if start == 0:
            out = part.new_empty(len(index), *part.shape[1:])
        out[start : start + len(part)] = part
    return out


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

    A buffer of the whole source is a full shuffle; see `shuffled`.

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
        return batched(self._kept() if order is None else shuffled(self._kept(), max(size, self.buffer), order), size)


def shuffled(blocks: Iterable[Tensor], hold: int, order: torch.Generator) -> Iterator[Tensor]:
    """Samples of blocks `(k, *shape)` in another order, in constant memory.

    A buffer of `hold` samples fills up first. From then on each sample that comes takes the place of one drawn at
    random, which goes on; at the end the rest follows.
    """
    pool = torch.empty(0)
    filled = 0
    for block in blocks:
        if not filled:  # untouched pages of an empty tensor take no memory
            pool = block.new_empty(hold, *block.shape[1:])
        room = min(hold - filled, len(block))
        pool[filled : filled + room] = block[:room]
        filled += room
        for part in torch.split(block[room:], hold) if room < len(block) else ():
            places = torch.randperm(hold, generator=order)[: len(part)]
            drawn = pool[places]
            pool[places] = part
            yield drawn
    for places in torch.split(torch.randperm(filled, generator=order), 4096):
        yield pool[places]


def batched(blocks: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Samples of blocks `(k, *shape)` as batches of `size`, cut as `parts` would cut all of them in one tensor."""
    waiting: list[Tensor] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += len(block)
        ready = (count - 2) // size * size  # two stay, for a single one left over must find a batch to join
        if ready > 0:
            rows = torch.cat(waiting)
            yield from torch.split(rows[:ready], size)
            waiting = [rows[ready:].clone()]
            count -= ready
    if count:
        yield from parts(torch.cat(waiting), size)


def digest(parts: Iterable[bytes | Tensor]) -> str:
    """The sha256 of bytes and tensors, one after another."""
    seal = hashlib.sha256()
    for part in parts:
        seal.update(part if isinstance(part, bytes) else np.ascontiguousarray(part.numpy()).data)
    return seal.hexdigest()
