"""The nearest of N kept samples for each query, exactly, in blocks that stay in the cache.

A matrix product gives the squared distances of a block of queries to all samples; a partial sort over groups of samples
finds the smallest. The product is computed in float32, since it is a matter of speed, and serves only to choose: the
distances returned are sums of squared differences, computed anew in the precision of the samples. Where the rounding of
the product could have decided the choice, the query is searched again in float64, where the earlier of two equally
distant samples wins. So neither the other queries of a batch nor its size change a result beyond 1e-12. Samples whose
squared distances differ by less than some 1e-12 of the largest squared length, times their number, count as equally
distant.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

CACHED = 2**19
"""Minimum number of scores in a block, queries × samples: 2 MiB in float32, which stay in the cache."""
WIDE = 2**22
"""Maximum number of scores in a block, for samples with many features: each block copies all samples once into the
layout of the product, which is little work only beside twice as many queries as there are features."""
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
        samples = samples.to(dtype)
        squares = samples.square().sum(1)
        self.largest = float(squares.max())
        if not self.coarse:
            squares = squares + _order(squares, self.largest)
        missing = -n % GROUP if self.grouped else 0
        # The last row meets a 1 in each query: a bias of the product would first be copied to each row of the result.
        self.columns = torch.cat(
            [
                torch.cat([-2 * samples, samples.new_zeros(missing, d)]).T,
                torch.cat([squares, squares.new_full((missing,), torch.inf)])[None],
            ]
        )
        self.block = max(min(2 * d, WIDE // (n + missing)), CACHED // (n + missing), GROUP)

    def __call__(self, queries: Tensor, k: int, apart: Tensor | None = None) -> Near:
        """The k nearest samples of queries `(b, d)`, or all if there are fewer.

        Args:
            queries: in the precision of the samples.
            k: number of samples.
            apart: index of a sample that each query must not find, −1 for none `(b,)`; None for none at all.
        """
        found = max(len(self.samples) - (apart is not None), 1)  # how many can be found
        return _ordered(queries, self.samples, self._search(queries, min(k, found), found, apart))

    def _search(self, queries: Tensor, k: int, found: int, apart: Tensor | None) -> Tensor:
        """Indices of the k nearest of `found` samples `(b, k)`, in any order."""
        if not self.coarse:
            return self._smallest(queries, k, apart)[1]
        more = min(k + 1, found)
        value, index = self._smallest(queries, more, apart)
        if more == k:
            return index
        length = queries.square().sum(1).to(value.dtype) + self.largest
        doubtful = (value[:, k] - value[:, k - 1] <= DOUBT * length).nonzero().flatten()
        index = index[:, :k]
        if len(doubtful):
            skip = None if apart is None else apart[doubtful]
            index[doubtful] = _plain(queries[doubtful], self.samples, k, skip)
        return index

    def _smallest(self, queries: Tensor, k: int, apart: Tensor | None) -> tuple[Tensor, Tensor]:
        """The k smallest scores of each query, ascending, and their samples, both `(b, k)`."""
        n = self.columns.shape[1]
        grouped = self.grouped and 4 * k * GROUP < n
        queries = queries.to(self.columns.dtype)
        queries = torch.cat([queries, queries.new_ones(len(queries), 1)], 1)
        space = queries.new_empty(min(self.block, len(queries)), n)  # fresh memory for each block costs as much
        values, places = [], []
        for start in range(0, max(len(queries), 1), self.block):
            part = queries[start : start + self.block]
            scores = torch.mm(part, self.columns, out=space[: len(part)])
            _skip(scores, None if apart is None else apart[start : start + self.block])
            value, place = _among_groups(scores, k) if grouped else scores.topk(k, largest=False)
            values.append(value)
            places.append(place)
        value, place = torch.cat(values), torch.cat(places)
        if not grouped:
            return value, place
        value, at = value.topk(k, largest=False)
        return value, at // k * (n // GROUP) + place.gather(1, at % k)


def _among_groups(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Scores `(b, GROUP · k)` of the k groups with the smallest minima, and these groups `(b, k)`."""
    by_group = scores.view(len(scores), GROUP, -1)
    chosen = by_group.amin(1).topk(k, largest=False, sorted=False).indices
    return by_group.gather(2, chosen[:, None].expand(-1, GROUP, -1)).flatten(1), chosen


def _ordered(queries: Tensor, samples: Tensor, index: Tensor) -> Near:
    """The samples found, sorted by their exact distance; among equally distant ones, the earlier first."""
    found = measured(queries, samples, index)
    if torch.compiler.is_exporting():
        # a sort, but exporters know no other
        order = found.distance.topk(index.shape[1], largest=False).indices
        return measured(queries, samples, index.gather(1, order))
    further = found.distance.diff(dim=1)
    swapped = (further < 0) | ((further == 0) & (found.which.diff(dim=1) < 0))
    rows = swapped.any(1).nonzero().flatten()
    if len(rows):  # few: the scores have nearly sorted them
        which = index[rows].sort(1).values
        order = measured(queries[rows], samples, which).distance.sort(dim=1, stable=True).indices
        again = measured(queries[rows], samples, which.gather(1, order))
        for whole, part in zip(found, again, strict=True):
            whole[rows] = part
    return found


def measured(queries: Tensor, samples: Tensor, index: Tensor) -> Near:
    """The samples of these indices, in their order."""
    found = samples[index]
    squares = (queries[:, None] - found).square_()
    return Near(index, squares.sum(2).sqrt_(), found, squares)


class Prepared:
    """Finders of samples that may be replaced; one is made anew when they were. Copies begin without any."""

    def __init__(self) -> None:
        self._made: tuple[object, Finder] | None = None

    def __call__(self, queries: Tensor, samples: Tensor, k: int, apart: Tensor | None = None) -> Near:
        """The k nearest of the samples `(n, d)`; see `Finder`."""
        samples = samples.detach()
        if torch.compiler.is_exporting():
            return _ordered(queries, samples, _plain(queries, samples, min(k, len(samples))))
        now = samples.data_ptr(), samples._version, samples.dtype, samples.device, samples.shape
        if self._made is None or self._made[0] != now:
            self._made = now, Finder(samples)
        return self._made[1](queries, k, apart)

    def __getstate__(self) -> dict[str, Any]:
        return {"_made": None}


def _plain(queries: Tensor, samples: Tensor, k: int, apart: Tensor | None = None) -> Tensor:
    """Indices of the k nearest samples, without blocks and in float64."""
    queries, samples = queries.double(), samples.double()
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
