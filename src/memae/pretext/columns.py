"""Masked columns of a table, which are restored from the others.

An autoencoder that sees a column can copy it, even if it is anomalous. One that does not see it must have learned how
columns depend on each other in normal rows. This is the idea of masked autoencoders (He et al., CVPR 2022; for tables
MCM, Yin et al., ICLR 2024). Not in the MemAE paper.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memae.pretext import Pretext, PretextSpec, Views
from memae.randomness import BatchRandom

GROUPS = 4
"""Maximum number of groups of columns; scoring masks one group at a time."""
ROUNDS = 2
"""Number of random divisions into groups; a restored value is the mean over them."""
SHARE = 0.6
"""Highest probability of masking a column in training; each row's probability is uniform in [0, SHARE]."""


@dataclass(frozen=True)
class ColumnSpec(PretextSpec):
    """Masks columns of a table.

    Args:
        columns: number of features of each column, in order; a column is masked as a whole.
    """

    columns: tuple[int, ...]

    @property
    def views(self) -> int:
        """One for each group of columns, in all rounds."""
        return ROUNDS * len(torch.arange(len(self.columns)).chunk(GROUPS))

    def presented(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The features and their mask: `(d,)` → `(2 d,)`."""
        return (2 * shape[0],)

    def build(self, code: tuple[int, ...], shape: tuple[int, ...]) -> Pretext:  # noqa: ARG002 (no weights)
        """The task; it has no weights."""
        return MaskedColumns(self.columns)

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuses samples that are not rows of these columns."""
        if not self.columns or min(self.columns) < 1 or (sum(self.columns),) != shape:
            raise ValueError("columns do not fit")


class MaskedColumns(Pretext):
    """Masks columns, at random in training and group by group in scoring, and restores each where it is masked.

    Args:
        columns: number of features of each column, in order.
    """

    owner: Tensor
    masks: Tensor

    def __init__(self, columns: Sequence[int]) -> None:
        super().__init__()
        cpu: dict[str, Any] = {"device": "cpu"}  # also under the device "meta": these are constants, not weights
        owner = torch.repeat_interleave(torch.arange(len(columns), **cpu), torch.tensor(columns, **cpu))
        order = torch.Generator().manual_seed(0)
        permutations = [torch.randperm(len(columns), generator=order, **cpu) for _ in range(ROUNDS)]
        groups = [group for each in permutations for group in each.chunk(GROUPS)]
        self.register_buffer("owner", owner)  # (d,), the column of each feature
        self.register_buffer("masks", torch.stack([torch.isin(owner, group) for group in groups]))  # (v, d), bool

    def views(self, x: Tensor, random: BatchRandom | None = None) -> Views:
        """Rows with random columns masked; with `random` None, all rows once for each mask, `(v · b, d)`."""
        if random is not None:
            return Views(x, self.sampled(random))
        masked = self.masks[:, None].expand(-1, x.shape[0], -1).flatten(0, 1)
        return Views(x.repeat(len(self.masks), 1), masked, len(self.masks))

    def all_views(self, x: Tensor) -> Views:
        """Rows without masks."""
        return Views(x)

    def sampled(self, random: BatchRandom) -> Tensor:
        """Random masks `(b, d)`, bool, for training."""
        columns = int(self.owner[-1]) + 1
        share = SHARE * random.rand(1)
        masked = random.rand(columns) < share
        return masked.to(self.owner.device)[:, self.owner]

    def presented(self, views: Views) -> Tensor:
        """The features, 0 where masked, and the mask: `(b, d)` → `(b, 2 d)`.

        Example:
            >>> mask = torch.tensor([[True, False]])
            >>> MaskedColumns([1, 1]).presented(Views(torch.tensor([[2.0, 3.0]]), mask))
            tensor([[0., 3., 1., 0.]])
        """
        x = views.samples
        masked = torch.zeros_like(x, dtype=torch.bool) if views.key is None else views.key
        return torch.cat([x.masked_fill(masked, 0.0), masked.to(x.dtype)], 1)

    def restored(self, decode: Callable[[Tensor], Tensor], read: Tensor, count: int, views: Views) -> Tensor:  # noqa: ARG002
        """The mean of each feature over the views that mask it, `(b, d)`; with random masks, x̂ as decoded."""
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
