"""State of a memory: use of its items, items per query, dead and duplicate items, collapse."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from memae.memory import Recall


@dataclass(frozen=True)
class Health:
    """State of a memory over the queries of one pass."""

    items: int  # N
    in_use: int  # number of items that were read
    dead: int  # number of items that were not read
    duplicates: int  # items within 1 % of an earlier item, relative to its length
    effective: float  # effective number of items per query: mean of exp(entropy)
    survivors: float  # mean number of items per query with a weight above λ
    fallback_rate: float  # share of queries in which no weight exceeded λ
    top_share: float  # share of the reads of the most used item

    @property
    def collapse(self) -> str | None:
        """A sentence with a remedy if one item gives nearly all read-outs or none exceeds λ; otherwise None."""
        if self.fallback_rate > 0.5:
            return (
                f"no item exceeds the shrinkage threshold for {self.fallback_rate:.0%} of the queries; "
                "lower the shrinkage or the temperature"
            )
        if self.items > 1 and self.top_share > 0.95:
            return (
                f"one of {self.items} items gives {self.top_share:.0%} of all answers; start the items from k-means, "
                "revive dead items, or raise the temperature"
            )
        return None


class HealthMeter:
    """Accumulates statistics of a memory's read-outs, batch by batch, without keeping the weights."""

    def __init__(self, n: int) -> None:
        self.use = torch.zeros(n, dtype=torch.float64)
        self.sums = torch.zeros(4, dtype=torch.float64)  # queries, exp(entropy), survivors, fallbacks

    def add(self, recall: Recall, total: Callable[[Tensor], Tensor] = lambda part: part) -> None:
        """Adds the statistics of one batch.

        Args:
            recall: of the batch, or of a part of it.
            total: sums statistics over the parts.
        """
        self.use += total(recall.use.detach().double().cpu())
        parts = (recall.entropy.detach().exp(), recall.survivors, recall.fallback)
        sums = torch.stack([part.sum(dtype=torch.float64) for part in parts]).cpu()
        self.sums += total(torch.cat([torch.tensor([float(recall.fallback.numel())], dtype=torch.float64), sums]))

    def health(self, duplicates: int) -> Health:
        """The state of the memory over all batches added; `duplicates` is the number of its duplicate items."""
        queries, effective, survivors, fallbacks = self.sums.tolist()
        share = self.share
        return Health(
            items=len(share),
            in_use=int((share > 0).sum()),
            dead=int((share == 0).sum()),
            duplicates=duplicates,
            effective=effective / max(queries, 1),
            survivors=survivors / max(queries, 1),
            fallback_rate=fallbacks / max(queries, 1),
            top_share=float(share.max()),
        )

    @property
    def share(self) -> Tensor:
        """Share of each item in the reads `(n,)`; sums to 1, or to 0 if nothing was read."""
        return self.use / self.use.sum().clamp_min(torch.finfo(self.use.dtype).tiny)


def duplicates(items: Tensor) -> int:
    """Number of items `(n, c)` that lie within 1 % of an earlier item, relative to its length.

    Example:
        >>> duplicates(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.001]]))
        1
    """
    items = items.float()
    near = torch.cdist(items, items) <= 0.01 * items.norm(dim=1)[:, None]
    return int(near.triu(1).any(0).sum())
