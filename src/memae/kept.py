"""A memory whose items are kept normal samples: a query reads the few that are nearest to it, and nothing else.

The paper's memory learns its items and addresses all of them. Here an item is a real training sample, so that nothing
is learned: what is read was normal, and the reading is sparse by construction. A sample could still be read as itself
where it resembles one of the items in all but a few values. Therefore its fields are restored group by group: the group
is hidden, the nearest items are weighed by their distance in all other fields, and their weighted mean restores it.

NOTE[DIFF] kept-items: the paper has no such memory.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from memae.memory import Recall, Shrunk
from memae.nearest import Finder, Near, Prepared, measured

NEAREST = 8
"""Number of items that a query reads."""
GROUPS = 4
"""Maximum number of groups of fields; one group is hidden at a time."""
SHARPNESS = 3.0
"""1 / τ of the addressing weights, for distances in units of their mean."""
NEIGHBOURS = 5
"""Number of nearest items in a mean distance: fewer depend on single items, more blur small groups of samples."""

TOGETHER = 1024
"""Number of items whose neighbours are found at once."""


class KeptMemory(nn.Module):
    """N kept samples as items, of which a query reads its `NEAREST`; the query is a whole sample, not a code.

    Args:
        n: number of items N.
        fields: number of features of each field of a sample, in order; a field is hidden as a whole.

    Attributes:
        items: kept normal samples `(n, d)`, normalised.
        isolation: mean distance of each item to its `NEIGHBOURS` nearest others `(n,)`.
        use: share of each item in the reads of the training samples `(n,)`.
    """

    hidden: Tensor
    isolation: Tensor
    use: Tensor

    def __init__(self, n: int, fields: tuple[int, ...]) -> None:
        super().__init__()
        self.items = nn.Parameter(torch.zeros(n, sum(fields)), requires_grad=False)
        self.register_buffer("hidden", hidden_groups(fields))  # (v, d), bool
        self.register_buffer("isolation", torch.zeros(n))
        self.register_buffer("use", torch.zeros(n))
        self.nearest = Prepared()
        self._others: Tensor | None = None  # see `others`
        self.parts: Tensor | None = None  # while it is calibrated, see `remember`

    def forward(self, z: Tensor, apart: Tensor | None = None) -> Recall:
        """Restores each group of fields of samples z `(b, d)` from the others.

        Args:
            z: normalised samples, in the precision of the items.
            apart: index of the item that each sample is, which it then does not read, −1 for none `(b,)`; None for none
                at all. With `parts`, the part of each sample, whose items it does not read.
        """
        near, weights = self._addressed(z, apart)
        groups = self.hidden.to(z.dtype)
        read = ((weights @ groups) * near.samples).sum(1)  # the groups do not overlap
        whole = weights.mean(2)
        statistics = self.training
        return Recall(
            read,
            torch.zeros(z.shape[:1], dtype=torch.bool, device=z.device),
            -(whole * whole.clamp_min(torch.finfo(z.dtype).tiny).log()).sum(1) if statistics else z[:0, 0],
            (whole > 0).sum(1) if statistics else z[:0, 0],
            self._use(near.which, whole) if statistics else z[:0, 0],
            near.distance,
            self.isolation[near.which],
            near.samples,
        )

    def weights(self, z: Tensor) -> Shrunk:
        """Addressing weights `(b, n)` of samples z `(b, d)`, mean over the groups; all but `NEAREST` are 0."""
        near, weights = self._addressed(z, None)
        found = z.new_zeros(len(z), len(self.items)).scatter_(1, near.which, weights.mean(2))
        return Shrunk(found, torch.zeros(len(z), dtype=torch.bool, device=z.device))

    def _addressed(self, z: Tensor, apart: Tensor | None) -> tuple[Near, Tensor]:
        """The nearest items of each sample, and their weights in each group's reading `(b, k, v)`."""
        near = self.nearest(z, self.items, self._few) if apart is None else self._apart(z, apart)
        distance = (near.squares @ (~self.hidden).to(z.dtype).T).sqrt()  # in the fields shown
        mean = distance.mean(1, keepdim=True)
        return near, torch.softmax(-SHARPNESS * distance / (mean + (mean == 0)), 1)

    def _use(self, index: Tensor, weights: Tensor) -> Tensor:
        return weights.new_zeros(len(self.items)).index_add_(0, index.flatten(), weights.flatten())

    def _apart(self, z: Tensor, apart: Tensor) -> Near:
        """The nearest items of samples, some of which are items and do not find themselves."""
        if self.parts is not None:
            return measured(z, self.items, self._of_other_parts(z, apart, self.parts))
        which = self.others()[apart.clamp_min(0)]
        strangers = (apart < 0).nonzero().flatten()
        if len(strangers):
            which[strangers] = self.nearest(z[strangers], self.items, self._few).which
        return measured(z, self.items, which)

    def _of_other_parts(self, z: Tensor, own: Tensor, parts: Tensor) -> Tensor:
        """Indices of the nearest items that are of another part than each sample `(b, k)`."""
        which = torch.zeros(len(z), self._few, dtype=torch.int64, device=z.device)
        for part in set(own.tolist()):
            rows, others = (own == part).nonzero().flatten(), (parts != part).nonzero().flatten()
            found = others[Finder(self.items.detach()[others])(z[rows], self._few).which]
            which[rows] = found[:, torch.arange(self._few).clamp_max(found.shape[1] - 1)]  # if there are fewer
        return which

    def others(self) -> Tensor:
        """Indices of the items nearest to each item, without itself or those of its part `(n, k)`; computed once."""
        if self._others is None and self.parts is not None:
            self._others = self._of_other_parts(self.items.detach(), self.parts, self.parts)
        if self._others is None:
            items = self.items.detach()
            itself = torch.arange(len(items), device=items.device)
            parts = zip(torch.split(items, TOGETHER), torch.split(itself, TOGETHER), strict=True)
            self._others = torch.cat([self.nearest(part, items, self._few, at).which for part, at in parts])
        return self._others

    @torch.no_grad()
    def remember(self, samples: Tensor, parts: Tensor | None = None) -> None:
        """Takes distinct samples `(n, d)` as items; a single one has an isolation of 0.

        Args:
            samples: to keep.
            parts: of at least two parts, that of each sample: those of one part are too alike to tell what is usual
                `(n,)`; it is not saved.
        """
        self.items.copy_(samples)
        self.parts = parts
        self._others = None
        if len(samples) > 1:
            near = torch.split(self.others()[:, :NEIGHBOURS], TOGETHER)
            each = zip(torch.split(samples, TOGETHER), near, strict=True)
            self.isolation.copy_(torch.cat([measured(part, samples, at).distance.mean(1) for part, at in each]))

    def about(self) -> dict[str, float]:
        """Facts for users, JSON-ready."""
        return {"nearest": self._few}

    @property
    def _few(self) -> int:
        """Number of items that a query reads: as many for samples that are left out as for all others."""
        return max(min(NEAREST, len(self.items) - 1), 1)

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Refuses groups other than those of the fields.

        Args:
            tensors: by their names in this module's state.

        Raises:
            ValueError: they do not fit.
        """
        if not torch.equal(tensors["hidden"].cpu(), self.hidden):
            raise ValueError("the hidden groups do not fit the fields")


def hidden_groups(fields: tuple[int, ...]) -> Tensor:
    """Features that each view hides `(v, d)`: a random division of the fields into up to `GROUPS` groups."""
    cpu = torch.device("cpu")  # also under the device "meta": these are constants, not weights
    owner = torch.repeat_interleave(torch.arange(len(fields), device=cpu), torch.tensor(fields, device=cpu))
    order = torch.randperm(len(fields), generator=torch.Generator().manual_seed(0), device=cpu)
    return torch.stack([torch.isin(owner, group) for group in order.chunk(GROUPS)])
