"""Masked columns of a table, which are restored from the others.

Who knows normal rows knows what one column says of another. An autoencoder that sees a column can copy it, and copies
what is anomalous too; one that does not see it must remember. Masked autoencoders do so (He et al., CVPR 2022; for
tables MCM, Yin et al., ICLR 2024). Not in the MemAE paper.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memae.pretext import Pretext, PretextSpec, Views

GROUPS = 4
"""Into how many groups the columns are divided, at most, that are masked one after the other."""
ROUNDS = 2
"""How often they are divided anew; a restored value is the mean over the rounds."""
SHARE = 0.6
"""Highest probability of a column to be masked in training; that of a row's columns is uniform from 0 up to it."""


@dataclass(frozen=True)
class ColumnSpec(PretextSpec):
    """Columns of a table are masked.

    Args:
        columns: number of features of each column, in their order; a column is masked as a whole.
    """

    columns: tuple[int, ...]

    @property
    def views(self) -> int:
        """One for each group of columns that is masked."""
        return ROUNDS * len(torch.arange(len(self.columns)).chunk(GROUPS))

    def presented(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The features, and which of them are masked."""
        return (2 * shape[0],)

    def build(self, code: tuple[int, ...], shape: tuple[int, ...]) -> Pretext:  # noqa: ARG002 (no weights)
        """The task; it has no weights."""
        return MaskedColumns(self.columns)

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuses what is no row of these columns."""
        if not self.columns or min(self.columns) < 1 or (sum(self.columns),) != shape:
            raise ValueError("columns do not fit")


class MaskedColumns(Pretext):
    """Masks columns, in training at random, in scoring group by group, and restores each from the views that mask it.

    Args:
        columns: number of features of each column, in their order.
    """

    owner: Tensor
    masks: Tensor

    def __init__(self, columns: Sequence[int]) -> None:
        super().__init__()
        cpu: dict[str, Any] = {"device": "cpu"}  # wherever the weights are: these are no weights, but known numbers
        owner = torch.repeat_interleave(torch.arange(len(columns), **cpu), torch.tensor(columns, **cpu))
        order = torch.Generator().manual_seed(0)
        permutations = [torch.randperm(len(columns), generator=order, **cpu) for _ in range(ROUNDS)]
        groups = [group for each in permutations for group in each.chunk(GROUPS)]
        self.register_buffer("owner", owner)  # (d,), the column of each feature
        self.register_buffer("masks", torch.stack([torch.isin(owner, group) for group in groups]))  # (v, d), bool

    def views(self, x: Tensor, random: torch.Generator | None = None) -> Views:
        """Rows with random columns masked; without chance each row once a mask, one mask after the other."""
        if random is not None:
            return Views(x, self.sampled(len(x), random))
        masked = self.masks[:, None].expand(-1, x.shape[0], -1).flatten(0, 1)
        return Views(x.repeat(len(self.masks), 1), masked, len(self.masks))

    def all_views(self, x: Tensor) -> Views:
        """Rows with nothing masked."""
        return Views(x)

    def sampled(self, rows: int, random: torch.Generator) -> Tensor:
        """Random masks for so many rows of training: `(rows, d)`, bool."""
        columns = int(self.owner[-1]) + 1
        share = SHARE * torch.rand(rows, 1, generator=random)
        masked = torch.rand(rows, columns, generator=random) < share
        return masked.to(self.owner.device)[:, self.owner]

    def presented(self, views: Views) -> Tensor:
        """The features that are not masked, and which are, `(b, d)` → `(b, 2 d)`.

        Example:
            >>> mask = torch.tensor([[True, False]])
            >>> MaskedColumns([1, 1]).presented(Views(torch.tensor([[2.0, 3.0]]), mask))
            tensor([[0., 3., 1., 0.]])
        """
        x = views.samples
        masked = torch.zeros_like(x, dtype=torch.bool) if views.key is None else views.key
        return torch.cat([x.masked_fill(masked, 0.0), masked.to(x.dtype)], 1)

    def restored(self, decode: Callable[[Tensor], Tensor], read: Tensor, count: int, views: Views) -> Tensor:  # noqa: ARG002
        """Each feature from the views that masked it, `(v · b, d)` → `(b, d)`; of random masks all features."""
        x_hat = decode(read)
        if views.per_sample == 1:
            return x_hat
        masks = self.masks.to(x_hat.dtype)
        return (x_hat.reshape(len(masks), -1, masks.shape[1]) * masks[:, None]).sum(0) / masks.sum(0)

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Refuses columns other than those of the spec, and masks that leave a column out."""
        if not torch.equal(tensors["owner"].cpu(), self.owner):
            raise ValueError("the columns of features do not fit")
        if not bool(tensors["masks"].bool().any(0).all()):
            raise ValueError("a column is masked by no view")
