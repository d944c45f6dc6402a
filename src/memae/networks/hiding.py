"""Columns of a table that are hidden from the encoder, and restored from the others.

Who knows normal rows knows what one column says of another. An autoencoder that sees a column can copy it, and copies
what is anomalous too; one that does not see it must remember. Masked autoencoders do so (He et al., CVPR 2022; for
tables MCM, Yin et al., ICLR 2024). Not in the MemAE paper.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

GROUPS = 4
"""Into how many groups the columns are divided, at most, that are hidden one after the other."""
ROUNDS = 2
"""How often they are divided anew; a restored value is the mean over the rounds."""
SHARE = 0.6
"""Highest chance of a column to be hidden in training; that of a row's columns is drawn from 0 up to it."""


class Hiding(nn.Module):
    """Which features are hidden together.

    Args:
        columns: number of features of each column, in their order; a column is hidden as a whole.
    """

    owner: Tensor
    views: Tensor

    def __init__(self, columns: Sequence[int]) -> None:
        super().__init__()
        cpu: dict[str, Any] = {"device": "cpu"}  # wherever the weights are: these are no weights, but known numbers
        owner = torch.repeat_interleave(torch.arange(len(columns), **cpu), torch.tensor(columns, **cpu))
        order = torch.Generator().manual_seed(0)
        drawn = [torch.randperm(len(columns), generator=order, **cpu) for _ in range(ROUNDS)]
        groups = [group for each in drawn for group in each.chunk(GROUPS)]
        self.register_buffer("owner", owner)  # (d,)
        self.register_buffer("views", torch.stack([torch.isin(owner, group) for group in groups]))  # (v, d), bool

    def drawn(self, rows: int, generator: torch.Generator) -> Tensor:
        """What is hidden from so many rows of training: `(rows, d)`, bool."""
        columns = int(self.owner[-1]) + 1
        share = SHARE * torch.rand(rows, 1, generator=generator)
        hidden = torch.rand(rows, columns, generator=generator) < share
        return hidden.to(self.owner.device)[:, self.owner]

    def every(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows `(b, d)` once for each view, one view after the other, and what it hides: twice `(v · b, d)`."""
        return x.repeat(len(self.views), 1), self.views[:, None].expand(-1, x.shape[0], -1).flatten(0, 1)

    def restored(self, x_hat: Tensor) -> Tensor:
        """Each feature from the views that hid it, `(v · b, d)` → `(b, d)`."""
        views = self.views.to(x_hat.dtype)
        return (x_hat.reshape(len(views), -1, views.shape[1]) * views[:, None]).sum(0) / views.sum(0)


def shown(x: Tensor, hidden: Tensor) -> Tensor:
    """What the encoder sees of rows: the features that are not hidden, and which are, `(b, d)` → `(b, 2 d)`.

    Args:
        x: rows `(b, d)`.
        hidden: the same shape, bool.

    Example:
        >>> shown(torch.tensor([[2.0, 3.0]]), torch.tensor([[True, False]]))
        tensor([[0., 3., 1., 0.]])
    """
    return torch.cat([x.masked_fill(hidden, 0.0), hidden.to(x.dtype)], 1)
