"""A memory whose items are kept features of patches of normal photos: each position reads its nearest item.

Photos are described by a frozen network, so that nothing is learned, and what is read was seen on a normal photo. The
items are spread out over all normal patches: random ones would repeat what is frequent and miss what is rare.

References:
    Roth et al., Towards total recall in industrial anomaly detection, CVPR 2022 (PatchCore)

NOTE[DIFF] kept-patches: the paper has no such memory.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from memae.kept import NEIGHBOURS
from memae.memory import Recall, Shrunk
from memae.nearest import Prepared

TOGETHER = 4096
"""Number of patches whose neighbours are found at once."""
PROJECTED = 48
"""Dimensions of the random projection in which items are chosen; distances there are right to some 15 %."""
CANDIDATES = 60_000
"""Maximum number of patches among which items are chosen."""


class PatchMemory(nn.Module):
    """N kept patches as items; each position of a feature map reads its nearest.

    Args:
        n: number of items N.
        channels: size of items and features.

    Attributes:
        items: features of normal patches `(n, c)`, normalised.
        isolation: mean distance of each item to its `NEIGHBOURS` nearest others `(n,)`.
        use: share of each item in the reads of held-out photos `(n,)`.
    """

    isolation: Tensor
    use: Tensor

    def __init__(self, n: int, channels: int) -> None:
        super().__init__()
        self.items = nn.Parameter(torch.zeros(n, channels), requires_grad=False)
        self.register_buffer("isolation", torch.zeros(n))
        self.register_buffer("use", torch.zeros(n))
        self.nearest = Prepared()

    def forward(self, z: Tensor) -> Recall:
        """Reads the nearest item at each position of feature maps z `(b, c, h, w)`."""
        which, distance, read = nearest_patches(z, self.items, self.nearest)
        statistics, nothing = self.training, z.new_zeros(0)
        return Recall(
            read.movedim(-1, 1),
            torch.zeros_like(which, dtype=torch.bool),
            torch.zeros_like(distance) if statistics else nothing,
            torch.ones_like(distance) if statistics else nothing,
            torch.bincount(which.flatten(), minlength=len(self.items)).to(z) if statistics else nothing,
            distance[:, None],
            self.isolation[which][:, None],
        )

    def weights(self, z: Tensor) -> Shrunk:
        """Addressing weights `(b, n, h, w)` of feature maps z `(b, c, h, w)`: 1 for the nearest item, else 0."""
        which = nearest_patches(z, self.items, self.nearest).which[:, None]
        found = z.new_zeros(len(z), len(self.items), *z.shape[2:]).scatter_(1, which, 1.0)
        return Shrunk(found, torch.zeros(len(z), *z.shape[2:], dtype=torch.bool, device=z.device))

    @torch.no_grad()
    def remember(self, patches: Tensor) -> None:
        """Takes patches `(n, c)` as items; a single one has an isolation of 0."""
        self.items.copy_(patches)
        self.isolation.copy_(isolation(patches))

    def about(self) -> dict[str, float]:
        """Facts for users, JSON-ready."""
        return {"nearest": 1}


class NearestPatches(NamedTuple):
    """The item nearest to each position of feature maps."""

    which: Tensor  # (b, h, w), its index
    distance: Tensor  # (b, h, w), Euclidean
    patch: Tensor  # (b, h, w, c)


def nearest_patches(z: Tensor, items: Tensor, nearest: Prepared) -> NearestPatches:
    """The item nearest to each position of maps z `(b, c, h, w)`.

    Args:
        z: normalised features.
        items: `(n, c)`.
        nearest: finds it.
    """
    queries = z.movedim(1, -1)
    near = nearest(queries.flatten(0, -2), items, 1)
    which, distance = (each.reshape(queries.shape[:-1]) for each in (near.which, near.distance))
    return NearestPatches(which, distance, near.samples.reshape(queries.shape))


@torch.no_grad()
def isolation(patches: Tensor) -> Tensor:
    """Mean distance of each of n patches `(n, c)` to its `NEIGHBOURS` nearest others `(n,)`; 0 for a single one."""
    if len(patches) < 2:
        return patches.new_zeros(len(patches))
    nearest, numbers = Prepared(), torch.arange(len(patches), device=patches.device)
    parts = zip(torch.split(patches, TOGETHER), torch.split(numbers, TOGETHER), strict=True)
    return torch.cat([nearest(part, patches, NEIGHBOURS, at).distance.mean(1) for part, at in parts])


class Leading(nn.Module):
    """The first `channels` of feature maps `(b, c, h, w)`: those that describe patches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(b, c, h, w)` → `(b, channels, h, w)`."""
        return x[:, : self.channels]


def spread_out(patches: Tensor, most: int, random: torch.Generator) -> Tensor:
    """Indices of `most` patches that cover all: `farthest_first` among random candidates.

    Args:
        patches: normalised features `(n, c)`.
        most: number of patches to choose; all if there are no more.
        random: chooses candidates, projection and the first item.
    """
    pool = torch.randperm(len(patches), generator=random)[: max(CANDIDATES, most)].to(patches.device)
    if len(pool) <= most:
        return pool.sort().values
    return pool[farthest_first(patches[pool], most, random)]


def farthest_first(patches: Tensor, most: int, random: torch.Generator) -> Tensor:
    """Indices of `most` patches: the first, then always the one farthest from those chosen before (Gonzalez 1985).

    Distances are those after a random projection.

    Args:
        patches: normalised features `(n, c)`.
        most: number of patches to choose, at most n.
        random: chooses the projection.
    """
    x = patches
    if x.shape[1] > PROJECTED:
        x = x @ torch.randn(x.shape[1], PROJECTED, generator=random).to(x) / PROJECTED**0.5
    squares = x.square().sum(1)
    apart = torch.full_like(squares, torch.inf)
    chosen = torch.zeros(most, dtype=torch.int64, device=x.device)
    for step in range(1, most):
        last = x[chosen[step - 1]]
        apart = torch.minimum(apart, torch.addmv(squares, x, last, alpha=-2).add_(last.square().sum()))
        chosen[step] = apart.argmax()
    return chosen
