"""Every method of Tables 2 and 4 and of Figures 5 to 7, the controls and ours, and the table that they make."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recording.jobs import Job
from reproduction.baselines.conv2d import StackedFrames
from reproduction.baselines.conv3d import SpatioTemporal
from reproduction.recipe import Recipe
from reproduction.table2 import recipes, runs
from reproduction.table2.recipes import LENGTH
from reproduction.table2.runs import Problem, compared, difference, learned, ours
from reproduction.table2.systems import FRAMES, SYSTEMS
from reproduction.tables import AnyMethod, Method, Run, Table

VideoMethod = Method[Problem, Run]

ABLATION = "ablation"
"""Name of a published figure: frame AUC on Ped2 in Table 4 of the paper."""


def _seeds(cpu: int, *, full: bool = True) -> dict[str, int]:
    """Seeds at the size for two cores, and at the paper's if the method runs there."""
    return {"cpu": cpu, **(dict.fromkeys(("256", "256_authors"), 5) if full else {})}


def _variant(
    key: str,
    title: str,
    recipe: Callable[[str, int], Recipe],
    cpu: int,
    published: dict[str, float],
    figure: str = "",
    short: str = "",
) -> VideoMethod:
    """A variant of MemAE that the paper has."""
    return Method(key, title, learned(recipe), _seeds(cpu), published, figure, short=short, recipe=recipe)


def _of_size(items: int) -> VideoMethod:
    """MemAE as the authors' code with a given number of items, for Figure 7."""
    recipe = functools.partial(recipes.authors, items=items)
    return Method(f"memae_{items}", f"MemAE, {items} items", learned(recipe), _seeds(1, full=False), recipe=recipe)


def _ours(key: str, title: str, seeds: int, **options: Any) -> VideoMethod:
    """Ours, trained from pixels, without one component."""
    return Method(key, title, ours(features="none", **options), _seeds(seeds, full=False))


AE = _variant("ae", "AE", recipes.autoencoder, 2, {FRAMES: 0.917, ABLATION: 0.9170}, "ae")
AUTHORS = _variant(
    "memae_authors",
    "MemAE, as the authors' code",
    recipes.authors,
    2,
    {FRAMES: 0.941, ABLATION: 0.9410},
    "memae",
    short="MemAE",
)
PAPER = _variant("memae_paper", "MemAE, as printed", recipes.paper, 2, {FRAMES: 0.941}, "memae")
OURS: VideoMethod = Method(
    "ours", "**ours**: `VideoMemAE()`", ours(), _seeds(3, full=False), figure="ours", short="VideoMemAE()"
)
LEARNED: VideoMethod = Method(
    "ours_learned",
    'ours, trained from pixels: `features="none"`',
    ours(features="none"),
    _seeds(3, full=False),
    short="trained from pixels",
)
WITHOUT_MEMORY: VideoMethod = Method(
    "ours_without_memory",
    "ours without memory: one item, the most usual position",
    ours(runs.WithoutMemory, kept_samples=1),
    _seeds(3, full=False),
)
RANDOM: VideoMethod = Method("ours_random", "ours, items drawn at random", ours(runs.AtRandom), _seeds(1, full=False))
DEGRADED: VideoMethod = Method(
    "ours_degraded", "ours on films of another day", runs.degraded, _seeds(1, full=False), short="VideoMemAE()"
)
AE_L1 = _variant("ae_l1", "AE-ℓ1", recipes.sparse_autoencoder, 1, {ABLATION: 0.9286})
NONSPAR = _variant(
    "memae_nonspar",
    "MemAE-nonSpar",
    recipes.without_sparsity,
    1,
    {FRAMES: 0.929, ABLATION: 0.9293},
    "memae_nonspar",
)
NO_SHRINKAGE = _variant(
    "memae_no_shrinkage", "MemAE without shrinkage", recipes.without_shrinkage, 1, {ABLATION: 0.9324}
)
NO_ENTROPY = _variant("memae_no_entropy", "MemAE without entropy", recipes.without_entropy, 1, {ABLATION: 0.9372})
CONV2D: VideoMethod = Method(
    "conv2d",
    "AE-Conv2D",
    compared(lambda seed: StackedFrames(epochs=40, width=0.25, seed=seed), 10),
    _seeds(1, full=False),
    {FRAMES: 0.850},
)
CONV3D: VideoMethod = Method(
    "conv3d",
    "AE-Conv3D",
    compared(lambda seed: SpatioTemporal(epochs=10, seed=seed), 2 * LENGTH),
    _seeds(1, full=False),
    {FRAMES: 0.912},
)
DIFFERENCE: VideoMethod = Method(
    "difference",
    "control: squared difference of two frames, its peak",
    difference,
    _seeds(1, full=False),
    control=True,
)
WITHOUT = (
    _ours("ours_learned_without_memory", "the same without memory: `n_items=0`", 2, n_items=0, warmup=0),
    _ours("ours_learned_without_speeds", "the same without speeds: `speeds=False`", 1, speeds=False),
    _ours("ours_learned_without_kept", "the same without kept samples: `kept_samples=0`", 1, kept_samples=0),
    _ours("ours_learned_unsmoothed", "the same, not smoothed: `smooth=1`", 1, smooth=1),
)
"""Ours, trained from pixels, with one thing left out."""
SIZES = {items: _of_size(items) for items in (50, 200, 1000, 4000)} | {recipes.ITEMS: AUTHORS}
"""Figure 7: number of items → method."""
PICTURED = (AE, AUTHORS, OURS)
"""Figures 5 and 6."""
ROWS = (
    *SYSTEMS,
    CONV2D,
    CONV3D,
    AE,
    NONSPAR,
    AUTHORS,
    PAPER,
    DIFFERENCE,
    LEARNED,
    *WITHOUT,
    WITHOUT_MEMORY,
    RANDOM,
    OURS,
)
"""Table 2."""
ABLATED = (AE, AE_L1, NONSPAR, NO_SHRINKAGE, NO_ENTROPY, AUTHORS)
"""Table 4."""
METHODS: tuple[AnyMethod, ...] = (
    AE,
    AUTHORS,
    PAPER,
    OURS,
    AE_L1,
    NONSPAR,
    NO_SHRINKAGE,
    NO_ENTROPY,
    CONV2D,
    CONV3D,
    DIFFERENCE,
    LEARNED,
    *WITHOUT,
    WITHOUT_MEMORY,
    RANDOM,
    DEGRADED,
    *SYSTEMS,
    *(method for method in SIZES.values() if method is not AUTHORS),
)


def job(method: AnyMethod, scale: str, seed: int, _: int = 0) -> Job:
    """One run."""
    arguments = {"scale": scale, "method": method.key, "seed": seed}
    return Job(f"table2/ped2_{scale}/{method.key}/{seed}", measure, arguments, resumes=True)


def measure(scale: str, method: str, seed: int, checkpoint: Path) -> Run:
    """Frame AUROC of one method under every protocol.

    Args:
        scale: one of `recipes.SCALES`.
        method: key of one of `METHODS`.
        seed: of weights and order.
        checkpoint: from which a training goes on.
    """
    problem, checksum = runs.load(recipes.SCALES[scale].size)
    return {"data": checksum, **TABLE.method(method).run(problem._replace(scale=scale), seed, checkpoint)}


TABLE = Table(
    "table2",
    "The paper's Tables 2 and 4: frames of UCSD Ped2.",
    {
        "cpu": "Frames of 128 × 128, halved widths, the paper's 16 × 16 positions, every fourth clip: for two cores",
        "256": "The paper's size, 16 × 256 × 256, and its strides",
        "256_authors": "The paper's size, with the strides of the authors' code",
    },
    "scale",
    METHODS,
    job,
    default=("cpu",),
)
