"""The settings of MemAE and of its variants in Tables 2 and 4, at the paper's size and at one for two cores.

Network, clips, batch, learning rate and epochs are the same for all, and all learn as the authors' code does, from
pixels in [−1, 1] and mean errors. The memory alone makes the difference.
"""

from dataclasses import dataclass, replace

from memae.networks.convolutional import VIDEO, VIDEO_AUTHORS, Layout
from memae.options import Options
from memae.spec import MemorySpec, Spec
from reproduction import recipe
from reproduction.recipe import Recipe

LENGTH = 16
"""Frames a clip."""
ITEMS = 2000


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Args:
        size: height and width of frames.
        layout: of the network.
        step: frames from one training clip to the next.
        epochs: NOTE[DIFF] epochs: undisclosed in the paper, 100 in the authors' code.
        batch: clips a step.
        rate: of Adam.
        decay: whether it falls to 0.
        every: epochs from one look at the test to the next, for the curve.
    """

    size: tuple[int, int]
    layout: Layout
    step: int
    epochs: int
    batch: int
    rate: float
    decay: bool
    every: int


HALVED = Layout(tuple(width // 2 for width in VIDEO.widths), (*VIDEO.strides[:-1], (2, 1, 1)))
"""For frames of 128 × 128: half the channels, and a last layer that strides over time alone.

The code keeps the 16 × 16 positions that the paper's has, so that an item stands for as much of the scene. With the
paper's last stride it has 8 × 8, an item four times the area, and N items cannot hold what is normal.
"""
SCALES = {
    "cpu": Scale((128, 128), HALVED, 4, 30, 4, 1e-3, True, 5),
    "256": Scale((256, 256), VIDEO, 1, 100, 12, 1e-4, False, 10),
    "256_authors": Scale((256, 256), VIDEO_AUTHORS, 1, 100, 12, 1e-4, False, 10),
}

L1 = 1e-6
"""Weight of ‖z‖₁ (NOTE[DIFF] l1: undisclosed in the paper): at the start, about a tenth of the error."""


def autoencoder(scale: str, seed: int) -> Recipe:
    """AE: no memory."""
    about = SCALES[scale]
    options = Options(
        epochs=about.epochs,
        batch_size=about.batch,
        learning_rate=about.rate,
        decay=about.decay,
        reduction="mean",
        seed=seed,
    )
    return Recipe(Spec((1, LENGTH, *about.size), *about.layout), options, signed=True)


def sparse_autoencoder(scale: str, seed: int) -> Recipe:
    """AE-ℓ1: AE with an ℓ1 penalty on its codes."""
    plain = autoencoder(scale, seed)
    return replace(plain, options=replace(plain.options, l1=L1))


def authors(scale: str, seed: int, items: int = ITEMS) -> Recipe:
    """MemAE as the authors' code: dot product, λ = 0.0025 = 5/N for their N (D1, D2 of the notes)."""
    return _remembering(scale, seed, items, shrinkage=0.0025 * ITEMS)


def without_shrinkage(scale: str, seed: int) -> Recipe:
    """MemAE without shrinkage."""
    return _remembering(scale, seed, ITEMS, shrinkage=0.0)


def without_entropy(scale: str, seed: int) -> Recipe:
    """MemAE without the entropy in its objective."""
    full = authors(scale, seed)
    return replace(full, options=replace(full.options, alpha=0.0))


def without_sparsity(scale: str, seed: int) -> Recipe:
    """MemAE-nonSpar: neither."""
    full = without_shrinkage(scale, seed)
    return replace(full, options=replace(full.options, alpha=0.0))


def paper(scale: str, seed: int) -> Recipe:
    """MemAE as printed: cosine similarity without temperature, λ = 1/N, sums of squares on pixels in [0, 1]."""
    plain = autoencoder(scale, seed)
    plain = replace(plain, options=replace(plain.options, reduction="sum"), signed=False)
    return recipe.as_printed(plain, ITEMS, per_position=True)


def _remembering(scale: str, seed: int, items: int, shrinkage: float) -> Recipe:
    """AE with a memory of the features of single positions, addressed by dot products."""
    plain = autoencoder(scale, seed)
    memory = MemorySpec(items, similarity="dot", shrinkage=shrinkage, per_position=True)
    return replace(plain, spec=replace(plain.spec, memory=memory))
