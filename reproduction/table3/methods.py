"""Every method of Table 3, the controls and ours, and the table that they make."""

from collections.abc import Callable
from pathlib import Path

from recording.jobs import Job
from reproduction.baselines.dagmm import DeepAutoencodingGaussianMixture
from reproduction.baselines.dcn import DeepClusteringNetwork
from reproduction.baselines.neighbours import NearestNeighbour
from reproduction.baselines.ocsvm import OneClassSVM
from reproduction.baselines.pca import PrincipalComponents
from reproduction.recipe import Recipe
from reproduction.table3 import recipes, runs
from reproduction.table3.runs import (
    Problem,
    Scored,
    energies,
    fitted,
    forest,
    learned,
    ours,
    untrained,
    untrained_mixture,
)
from reproduction.tables import AnyMethod, Method, Run, Table

TableMethod = Method[Problem, Scored]
Score = Callable[[Problem, int, Path], Scored]

MOST_ROWS = {"ocsvm": 5_000, "neighbours": 20_000}
"""Maximum number of training rows for methods of quadratic cost, the first of the sample."""
TWENTY = {"120": 20}
"""Runs with the paper's 120 columns; as many as in the paper."""
ENCODED = {**TWENTY, "118": 3, "119": 3, "121": 3}
"""The same, and runs with other encodings."""
FEWER = {"120": 5}
"""Runs of controls that the paper does not have."""


def _printed(precision: float, recall: float, f1: float) -> dict[str, float]:
    """Figures of Table 3 of the paper."""
    return {"precision": precision, "recall": recall, "f1": f1}


def _variant(
    key: str,
    title: str,
    recipe: Callable[[int, int], Recipe],
    seeds: dict[str, int],
    published: dict[str, float],
    figure: str,
) -> TableMethod:
    """A variant of MemAE that the paper has."""
    return Method(key, title, learned(recipe), seeds, published, figure)


def _longest(key: str, title: str, recipe: Callable[[int, int], Recipe], short: str) -> TableMethod:
    """A variant that is trained to the end."""
    return Method(key, title, learned(recipe, longest=True), {"120": 3}, short=short)


def _control(key: str, title: str, run: Score) -> TableMethod:
    return Method(key, title, run, FEWER, control=True)


def _dcn(seed: int) -> DeepClusteringNetwork:
    return DeepClusteringNetwork(epochs=runs.EPOCHS["dcn"], seed=seed)


def _dagmm(seed: int) -> DeepAutoencodingGaussianMixture:
    return DeepAutoencodingGaussianMixture(epochs=runs.EPOCHS["dagmm"], seed=seed)


OCSVM: TableMethod = Method(
    "ocsvm",
    "OC-SVM",
    fitted(lambda _: OneClassSVM(), MOST_ROWS["ocsvm"]),
    TWENTY,
    _printed(0.7457, 0.8523, 0.7954),
    "ocsvm",
)
DCN: TableMethod = Method("dcn", "DCN", fitted(_dcn), TWENTY, _printed(0.7696, 0.7829, 0.7762), "dcn")
DSEBM: TableMethod = Method("dsebm", "DSEBM (energy)", energies, TWENTY, _printed(0.8619, 0.6446, 0.7399), "dsebm")
DAGMM: TableMethod = Method("dagmm", "DAGMM", fitted(_dagmm), TWENTY, _printed(0.9297, 0.9442, 0.9369), "dagmm")
AE = _variant("ae", "AE", recipes.autoencoder, ENCODED, _printed(0.9328, 0.9356, 0.9342), "ae")
NONSPAR = _variant(
    "memae_nonspar",
    "MemAE-nonSpar",
    recipes.without_sparsity,
    TWENTY,
    _printed(0.9341, 0.9368, 0.9355),
    "memae_nonspar",
)
PAPER = _variant("memae_paper", "MemAE, as printed", recipes.paper, ENCODED, _printed(0.9627, 0.9655, 0.9641), "memae")
AUTHORS = _variant(
    "memae_authors",
    "MemAE, as the authors' code",
    recipes.authors,
    TWENTY,
    _printed(0.9627, 0.9655, 0.9641),
    "memae",
)
AE_LONGEST = _longest("ae_longest", "AE, lowest held-out error of 60 epochs", recipes.autoencoder, "AE")
MEMAE_LONGEST = _longest("memae_longest", "MemAE as printed, the same", recipes.paper, "MemAE")
OURS: TableMethod = Method("ours", "**ours**: `TabularMemAE()`", ours, TWENTY, figure="ours")
METHODS: tuple[AnyMethod, ...] = (
    OCSVM,
    DCN,
    DSEBM,
    DAGMM,
    AE,
    NONSPAR,
    PAPER,
    AUTHORS,
    _control("untrained_memae", "MemAE, untrained", untrained(recipes.paper)),
    _control("untrained_dagmm", "DAGMM, untrained", untrained_mixture),
    AE_LONGEST,
    MEMAE_LONGEST,
    _control("pca_2", "PCA, 2 components", fitted(lambda _: PrincipalComponents(2))),
    _control("pca_20", "PCA, 20 components", fitted(lambda _: PrincipalComponents(20))),
    _control("iforest", "isolation forest", forest),
    _control("neighbours", "nearest neighbour", fitted(lambda _: NearestNeighbour(), MOST_ROWS["neighbours"])),
    OURS,
)
"""In the order of the page."""


def job(method: AnyMethod, columns: str, seed: int, _: int = 0) -> Job:
    """One run."""
    arguments = {"method": method.key, "seed": seed, "columns": int(columns)}
    folder = method.key if columns == PAPERS_COLUMNS else f"{method.key}_{columns}"
    return Job(f"table3/{folder}/{seed}", measure, arguments, resumes=True)


def measure(method: str, seed: int, columns: int, checkpoint: Path) -> Run:
    """All figures of one method on one drawing.

    Args:
        method: key of one of `METHODS`.
        seed: of drawing, weights and order.
        columns: of the encoding; see `datasets.kddcup_features`.
        checkpoint: from which a training goes on.
    """
    rows, checksum = runs.load(columns)
    problem = Problem.draw(rows, seed)
    scored: Scored = TABLE.method(method).run(problem, seed, checkpoint)
    sets = {
        name: runs.figures(problem.labels[index], scored.test[index], scored.held_out)
        for name, index in problem.sets().items()
    }
    return {"data": checksum, "sets": sets, **scored.more}


PAPERS_COLUMNS = "120"
TABLE = Table(
    "table3",
    "The paper's Table 3: KDDCUP99.",
    {each: f"{each} columns" for each in (PAPERS_COLUMNS, "118", "119", "121")},
    "columns",
    METHODS,
    job,
    more_seeds=False,
)
