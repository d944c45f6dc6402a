"""PatchCore: the distance of each patch's features to the nearest of a coreset of normal ones.

Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022.
"""

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from memae.nearest import Finder
from reproduction.baselines.photos import Batches, Features, Located, joined, smoothed

SHARE = 0.1
"""Of the patches, kept in the coreset; that of PatchCore-10 % there."""
PATCH = 3
"""Side of the neighbourhood whose mean is a patch's feature, in positions."""
PROJECTED = 128
"""Dimensions of the random projection in which the coreset is chosen."""
NEIGHBOURS = 9
"""b there: the items next to the nearest one, by which the score of a photo is weighted."""


class PatchCore:
    """Distance to the nearest kept patch; the score is that of the most anomalous one, weighted by its neighbourhood.

    NOTE: the features are those that are compared here, instead of the paper's WideResNet50 at an eighth of the size.

    Args:
        features: of a frozen network.
        share: of the patches that is kept.
        seed: of the projection, and of the first patch.
    """

    def __init__(self, features: Features, share: float = SHARE, seed: int = 0) -> None:
        self.features, self.share, self.seed = features, share, seed

    @torch.no_grad()
    def fit(self, batches: Batches) -> Self:
        """Learns normal photos."""
        patches = torch.cat([_rows(self._patches(tiles)) for tiles in batches])
        self.items = patches[coreset(patches, max(round(self.share * len(patches)), 1), self.seed)]
        self.finder = Finder(self.items)
        return self

    @torch.no_grad()
    def located(self, tiles: Tensor) -> Located:
        """Scores and maps."""
        patches = self._patches(tiles)
        rows = _rows(patches)
        near = self.finder(rows, 1)
        distance, which = near.distance.reshape(len(tiles), -1), near.which.reshape(len(tiles), -1)
        most, at = distance.max(1)
        highest = rows.reshape(len(tiles), -1, rows.shape[1])[torch.arange(len(tiles)), at]
        score = most * self._weight(highest, which.gather(1, at[:, None])[:, 0])
        size = (tiles.shape[2], tiles.shape[3])
        return Located(score.double().numpy(), smoothed(distance.reshape(-1, *patches.shape[2:]), size))

    def _weight(self, patches: Tensor, nearest: Tensor) -> Tensor:
        """Eq. 7 there: small where the nearest items of a patch lie in a crowd `(b,)`.

        Args:
            patches: `(b, c)`.
            nearest: index of the nearest item of each `(b,)`.
        """
        around = self.finder(self.items[nearest], NEIGHBOURS).samples  # the item itself and those next to it
        apart = (patches[:, None] - around).square().sum(2).sqrt()
        if apart.shape[1] == 1:
            return torch.ones(len(patches))
        return 1 - apart.softmax(1)[:, 0]

    def _patches(self, tiles: Tensor) -> Tensor:
        """Features `(b, c, h, w)`, each the mean of a neighbourhood (of zeros beyond the border, as their code has)."""
        return joined(tuple(functional.avg_pool2d(each, PATCH, 1, PATCH // 2) for each in self.features(tiles)))


def _rows(maps: Tensor) -> Tensor:
    """Maps `(b, c, h, w)` → `(b · h · w, c)`."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def coreset(rows: Tensor, count: int, seed: int) -> Tensor:
    """Indices `(count,)` of rows `(n, c)` that are spread out: each is the farthest from those before it.

    Distances are those after a random projection to `PROJECTED` dimensions.
    """
    random = torch.Generator().manual_seed(seed)
    if rows.shape[1] > PROJECTED:
        rows = rows @ torch.randn(rows.shape[1], PROJECTED, generator=random) / PROJECTED**0.5
    squares = rows.square().sum(1)
    at = int(torch.randint(len(rows), (), generator=random))
    chosen, nearest = [at], torch.full((len(rows),), torch.inf)
    for _ in range(count - 1):
        torch.minimum(nearest, torch.addmv(squares, rows, rows[at], alpha=-2).add_(squares[at]), out=nearest)
        nearest[at] = -torch.inf
        at = int(nearest.argmax())
        chosen.append(at)
    return torch.tensor(chosen)
