"""The settings of MemAE and of its variants in Table 3: as printed, and as the authors' code has them.

The same network, batch, learning rate and number of epochs for all, so that the memory alone makes the difference.
"""

from dataclasses import replace

from benchmarks.recipe import Recipe
from memae.model import MemorySpec, Spec
from memae.networks import tabular
from memae.training import Options

ITEMS = 50
EPOCHS = 60
BATCH = 1024
"""NOTE[DIFF] batch: undisclosed for MemAE; DAGMM's, whose protocol the paper follows."""


def autoencoder(columns: int, seed: int) -> Recipe:
    """AE: no memory; the paper's network and learning rate, Eq. 8 as score."""
    options = Options(epochs=EPOCHS, batch_size=BATCH, learning_rate=1e-4, seed=seed)
    return Recipe(Spec((columns,), tabular.KDDCUP), options)


def paper(columns: int, seed: int) -> Recipe:
    """MemAE as printed: cosine similarity, λ = 1/N, Eq. 8 as score; see `table1.recipes.paper`."""
    plain = autoencoder(columns, seed)
    return replace(plain, spec=replace(plain.spec, memory=MemorySpec(ITEMS, on_empty="zero")))


def without_sparsity(columns: int, seed: int) -> Recipe:
    """MemAE-nonSpar: `paper` without shrinkage and entropy."""
    full = paper(columns, seed)
    memory = MemorySpec(ITEMS, shrinkage=0.0)
    return replace(full, spec=replace(full.spec, memory=memory), options=replace(full.options, alpha=0.0))


def authors(columns: int, seed: int) -> Recipe:
    """MemAE as the authors' code for video: dot product, λ = 0.0025, inputs in [−1, 1], means, absolute error as score.

    0.0025 is an eighth of 1/N here, so that hardly a weight is shrunk away.
    """
    plain = autoencoder(columns, seed)
    memory = MemorySpec(ITEMS, similarity="dot", shrinkage=0.0025 * ITEMS)
    options = replace(plain.options, reduction="mean")
    return Recipe(replace(plain.spec, memory=memory), options, signed=True, score="absolute")
