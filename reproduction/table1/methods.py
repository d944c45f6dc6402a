"""Every method of Table 1, the controls and ours, and the table that they make."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from memae.scoring import Floats
from recording.jobs import Job
from reproduction.baselines import Detector
from reproduction.baselines.dsebm import DeepStructuredEnergy
from reproduction.baselines.kde import KernelDensity
from reproduction.baselines.neighbours import NearestNeighbour
from reproduction.baselines.ocsvm import OneClassSVM
from reproduction.baselines.pca import PrincipalComponents
from reproduction.baselines.pixelcnn import PixelCNN
from reproduction.baselines.vae import VariationalAutoencoder
from reproduction.protocol import one_class
from reproduction.recipe import Recipe
from reproduction.table1 import recipes, runs
from reproduction.table1.recipes import SETS
from reproduction.table1.runs import Problem, alone, fitted, learned, ours
from reproduction.tables import AnyMethod, Method, Run, Table

ImageMethod = Method[Problem, Run]

EPOCHS = {
    "vae": {"mnist": 20, "cifar10": 15},
    "dsebm": {"mnist": 15, "cifar10": 10},
    "pixelcnn": {"mnist": 3, "cifar10": 3},
}
"""Passes of the deep baselines, as many as two to four minutes of a core allow."""
THREE = {"mnist": 3, "cifar10": 3}
SLOW = {"mnist": 3, "cifar10": 1}
"""Seeds of a row."""


def _both(mnist: float, cifar10: float) -> dict[str, float]:
    """AUROC in the paper's Table 1."""
    return {"mnist": mnist, "cifar10": cifar10}


def _variant(
    key: str, title: str, recipe: Callable[[str, int], Recipe], published: dict[str, float], figure: str
) -> ImageMethod:
    """A variant of MemAE."""
    return Method(key, title, learned(recipe), THREE, published, figure, recipe=recipe)


def _control(key: str, title: str, make: Callable[[], Detector]) -> ImageMethod:
    """A simple method on pixels."""
    return Method(key, title, fitted(lambda *_: make()), THREE, control=True)


def _energies(detector: DeepStructuredEnergy, test: Tensor) -> dict[str, Floats]:
    return {name: detector.scores(test, name) for name in ("reconstruction", "energy")}


def _widths(detector: OneClassSVM, test: Tensor) -> dict[str, Floats]:
    """Its score, and what the choice of γ makes of it."""
    return alone(detector, test) | {f"γ × {width:g}": each for width, each in detector.scores(test).items()}


def _vae(dataset: str, seed: int) -> Detector:
    return VariationalAutoencoder(SETS[dataset].layout, epochs=EPOCHS["vae"][dataset], seed=seed)


def _pixelcnn(dataset: str, seed: int) -> Detector:
    return PixelCNN(epochs=EPOCHS["pixelcnn"][dataset], seed=seed)


def _dsebm(dataset: str, seed: int) -> Detector:
    return DeepStructuredEnergy(SETS[dataset].layout, epochs=EPOCHS["dsebm"][dataset], seed=seed)


OCSVM: ImageMethod = Method(
    "ocsvm", "OC-SVM", fitted(lambda *_: OneClassSVM(), _widths), THREE, _both(0.9499, 0.5619), "ocsvm"
)
KDE: ImageMethod = Method("kde", "KDE", fitted(lambda *_: KernelDensity()), THREE, _both(0.8116, 0.5756), "kde")
VAE: ImageMethod = Method("vae", "VAE", fitted(_vae), SLOW, _both(0.9643, 0.5725), "vae")
PIXELCNN: ImageMethod = Method("pixelcnn", "PixelCNN", fitted(_pixelcnn), SLOW, _both(0.6141, 0.5450), "pixelcnn")
DSEBM: ImageMethod = Method(
    "dsebm", "DSEBM (reconstruction)", fitted(_dsebm, _energies), SLOW, _both(0.9554, 0.5725), "dsebm"
)
AE = _variant("ae", "AE", recipes.autoencoder, _both(0.9619, 0.5706), "ae")
NONSPAR = _variant("memae_nonspar", "MemAE-nonSpar", recipes.without_sparsity, _both(0.9725, 0.6058), "memae_nonspar")
PAPER = _variant("memae_paper", "MemAE, as printed", recipes.paper, _both(0.9751, 0.6088), "memae")
AUTHORS = _variant("memae_authors", "MemAE, as the authors' code", recipes.authors, _both(0.9751, 0.6088), "memae")
NEIGHBOUR = _control("neighbour", "nearest neighbour", NearestNeighbour)
OURS_WITHOUT_MEMORY: ImageMethod = Method(
    "ours_without_memory",
    "ours without memory: `ImageMemAE(n_items=0)`",
    ours(n_items=0, warmup=0),
    SLOW,
    control=True,
)
OURS: ImageMethod = Method("ours", "**ours**: `ImageMemAE()`", ours(), THREE, figure="ours", short="`ImageMemAE()`")
OURS_FEATURES: ImageMethod = Method(
    "ours_features",
    '**ours** over features pretrained on ImageNet: `ImageMemAE(features="efficientnet-lite0")`',
    ours(engine="onnxruntime", features="efficientnet-lite0"),
    {"cifar10": 3},
    figure="ours",
    short="ours, pretrained features",
)
"""The default from 64 pixels a side on; smaller images are enlarged three times."""
METHODS: tuple[AnyMethod, ...] = (
    OCSVM,
    KDE,
    VAE,
    PIXELCNN,
    DSEBM,
    AE,
    NONSPAR,
    PAPER,
    AUTHORS,
    _control("pca_8", "PCA, 8 components", lambda: PrincipalComponents(8)),
    _control("pca_32", "PCA, 32 components", lambda: PrincipalComponents(32)),
    _control("pca_128", "PCA, 128 components", lambda: PrincipalComponents(128)),
    NEIGHBOUR,
    OURS_WITHOUT_MEMORY,
    OURS,
    OURS_FEATURES,
)
"""In the order of the page."""


def job(method: AnyMethod, dataset: str, seed: int, normal: int) -> Job:
    """One run: `normal` is the class that is normal."""
    arguments = {"dataset": dataset, "method": method.key, "normal": normal, "seed": seed}
    return Job(f"table1/{dataset}/{method.key}/{normal}-{seed}", measure, arguments, resumes=True)


def measure(dataset: str, method: str, normal: int, seed: int, checkpoint: Path) -> dict[str, Any]:
    """AUROC and average precision of one method on one problem.

    Args:
        dataset: "mnist" or "cifar10".
        method: key of one of `METHODS`.
        normal: the class that is normal.
        seed: of drawing, weights and order.
        checkpoint: from which a training goes on.
    """
    images, checksum = runs.load(dataset)
    problem = Problem(dataset, one_class(images, normal, seed))
    return {"data": checksum, **TABLE.method(method).run(problem, seed, checkpoint)}


TABLE = Table(
    "table1",
    "The paper's Table 1: images of MNIST and CIFAR-10, each class in turn normal.",
    {"mnist": "MNIST", "cifar10": "CIFAR-10 (JPEG copies)"},
    "dataset",
    METHODS,
    job,
    parts=range(10),
    part="classes",
)
