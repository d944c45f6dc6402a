"""The nearest of N kept samples for each query, exactly, in blocks that stay in the cache.

A matrix product gives the squared distances of a block of queries to all samples; a partial sort over groups of samples
finds the smallest. The product is computed in float32, since it is a matter of speed, and serves only to choose: the
distances returned are sums of squared differences, computed anew in the precision of the samples. Where the rounding of
the product could have decided the choice, the query is searched again in float64, where the earlier of two equally
distant samples wins. So neither the other queries of a batch nor its size change a result beyond 1e-12.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

CACHED = 2**20
"""Scores of a block, queries × samples: 4 MiB in float32."""
GROUP = 16
"""Samples per group. The k nearest lie in the k groups with the smallest minima; sorting those, and then the samples of
k groups, costs a tenth of sorting all samples."""
FEW = 512
"""Number of samples below which groups do not pay."""
DOUBT = 1e-6
"""Relative error that a squared distance from a float32 product is trusted to, a multiple of what was ever seen."""
SPREAD_OUT = 8
"""Number of features below which float64 is searched at once: many samples on few axes lie closer to each other than
float32 resolves."""


class Near(NamedTuple):
    """The k nearest samples of b queries, nearest first."""

    which: Tensor  # (b, k), int64, indices of the samples
    distance: Tensor  # (b, k), Euclidean
    samples: Tensor  # (b, k, d)
    squares: Tensor  # (b, k, d): squared differences of query and sample


class Finder:
    """Finds the nearest of N samples.

    Args:
        samples: `(n, d)`, float32 or float64. They must not change afterwards.

    Example:
        >>> near = Finder(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))(torch.tensor([[0.0, 1.0]]), 1)
        >>> near.which.tolist(), near.distance.tolist()
        ([[0]], [[1.0]])
    """

    def __init__(self, samples: Tensor) -> None:
        self.samples = samples
        n, d = samples.shape
        self.grouped = n >= FEW
        self.coarse = samples.dtype == torch.float32 or d >= SPREAD_OUT
        dtype = torch.float32 if self.coarse else samples.dtype
        missing = -n % GROUP if self.grouped else 0
        squares = samples.to(dtype).square().sum(1)
        self.columns = torch.cat([samples.to(dtype), samples.new_zeros(missing, d, dtype=dtype)]).T.contiguous()
        self.squares = torch.cat([squares, squares.new_full((missing,), torch.inf)])
        self.largest = float(squares.max())
        if not self.coarse:
            self.squares = self.squares + _order(self.squares, self.largest)
        self.block = max(CACHED // len(self.squares) // GROUP * GROUP, GROUP)

    def __call__(self, queries: Tensor, k: int, apart: Tensor | None = None) -> Near:
        """The k nearest samples of queries `(b, d)`, or all if there are fewer.

        Args:
            queries: in the precision of the samples.
            k: number of samples.
            apart: index of a sample that each query must not find, −1 for none `(b,)`; None for none at all.
        """
        k = min(k, max(len(self.samples) - (apart is not None), 1))
        blocks = torch.split(queries, self.block)
        skipped = torch.split(apart, self.block) if apart is not None else [None] * len(blocks)
        space = self.squares.new_empty(len(blocks[0]), len(self.squares))  # fresh memory for each block costs as much
        found = [self._block(part, k, skip, space[: len(part)]) for part, skip in zip(blocks, skipped, strict=True)]
        return _sorted(queries, self.samples, torch.cat(found) if len(found) != 1 else found[0])

    def _block(self, queries: Tensor, k: int, apart: Tensor | None, space: Tensor) -> Tensor:
        """Indices of the k nearest samples `(b, k)`, in any order; `space` `(b, n)` takes the scores."""
        scores = torch.addmm(self.squares, queries.to(self.columns.dtype), self.columns, alpha=-2, out=space)
        _skip(scores, apart)
        if not self.coarse or self.samples.dtype == torch.float32:
            return self._smallest(scores, k).indices
        more = min(k + 1, max(len(self.samples) - (apart is not None), 1))
        value, index = self._smallest(scores, more)
        if more == k:
            return index
        length = queries.square().sum(1).to(value.dtype) + self.largest
        doubtful = (value[:, k] - value[:, k - 1] <= DOUBT * length).nonzero().flatten()
        index = index[:, :k]
        if len(doubtful):
            skip = None if apart is None else apart[doubtful]
            index[doubtful] = _plain(queries[doubtful], self.samples, k, skip)
        return index

    def _smallest(self, scores: Tensor, k: int) -> torch.return_types.topk:
        """The k smallest of each row of scores `(b, n)`, ascending."""
        groups = scores.shape[1] // GROUP
        if not self.grouped or 4 * k >= groups:
            return scores.topk(k, largest=False)
        by_group = scores.view(len(scores), GROUP, groups)
        chosen = by_group.amin(1).topk(k, largest=False, sorted=False).indices
        members = by_group.gather(2, chosen[:, None].expand(-1, GROUP, -1)).flatten(1)
        value, at = members.topk(k, largest=False)
        index = at // k * groups + chosen.gather(1, at % k)
        return torch.return_types.topk((value, index))


class Prepared:
    """Finders of samples that may be replaced; one is made anew when they were. Copies begin without any."""

    def __init__(self) -> None:
        self._made: tuple[object, Finder] | None = None

    def __call__(self, queries: Tensor, samples: Tensor, k: int, apart: Tensor | None = None) -> Near:
        """The k nearest of the samples `(n, d)`; see `Finder`."""
        samples = samples.detach()
        if torch.compiler.is_exporting():
            return _sorted(queries, samples, _plain(queries, samples, min(k, len(samples))))
        now = samples.data_ptr(), samples._version, samples.dtype, samples.device, samples.shape
        if self._made is None or self._made[0] != now:
            self._made = now, Finder(samples)
        return self._made[1](queries, k, apart)

    def __getstate__(self) -> dict[str, Any]:
        return {"_made": None}


def _sorted(queries: Tensor, samples: Tensor, index: Tensor) -> Near:
    """The samples found for each query, by their exact distance."""
    found = samples[index]
    squares = (queries[:, None] - found).square()
    distance = squares.sum(2).sqrt()
    order = distance.topk(distance.shape[1], largest=False).indices  # a sort, but exporters know no other
    wide = order[..., None].expand(-1, -1, squares.shape[2])
    return Near(index.gather(1, order), distance.gather(1, order), found.gather(1, wide), squares.gather(1, wide))


def _plain(queries: Tensor, samples: Tensor, k: int, apart: Tensor | None = None) -> Tensor:
    """Indices of the k nearest samples, without blocks and in the precision of the samples."""
    squares = samples.square().sum(1)
    scores = torch.addmm(squares + _order(squares, squares.max()), queries, samples.T, alpha=-2)
    _skip(scores, apart)
    return scores.topk(k, largest=False).indices


def _order(squares: Tensor, largest: float | Tensor) -> Tensor:
    """Tiny additions in the order of samples `(n,)`, above the rounding of a product: the earlier wins a tie."""
    step = 4 * torch.finfo(squares.dtype).eps * largest
    return torch.arange(len(squares), dtype=squares.dtype, device=squares.device) * step


def _skip(scores: Tensor, apart: Tensor | None) -> None:
    if apart is not None:
        rows = (apart >= 0).nonzero().flatten()
        scores[rows, apart[rows]] = torch.inf
