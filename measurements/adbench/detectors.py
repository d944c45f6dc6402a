"""The detectors compared on ADBench: ours, and ten of PyOD with their defaults."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch

from memae import TabularMemAE


@dataclass(frozen=True, eq=False)
class Detector:
    """One detector.

    Args:
        key: names it in records, on the command line and in the page.
        make: an unfitted one, given the number of columns, the seed and the share of anomalies in training.
        title: names it in the first table; empty for `key`.
        neural: whether it is a network, and so a peer of ours.
        unclean: names it where training rows are not clean; empty if it is not run there.
    """

    key: str
    make: Callable[[int, int, float], Any]
    title: str = ""
    neural: bool = False
    unclean: str = ""

    @property
    def name(self) -> str:
        """As the first table shows it."""
        return self.title or self.key


def _of_pyod(key: str, module: str, *, neural: bool = False, unclean: str = "") -> Detector:
    """A detector of PyOD, from a module of `pyod.models`."""

    def make(columns: int, seed: int, _: float) -> Any:
        made = getattr(import_module(f"pyod.models.{module}"), key)
        detector = made(n_features=columns) if key == "DeepSVDD" else made()
        torch.manual_seed(seed)  # some sample through torch, others take the seed as a parameter
        known = detector.get_params()
        options = {"random_state": seed, "verbose": 0}
        return detector.set_params(**{name: value for name, value in options.items() if name in known})

    return Detector(key, make, neural=neural, unclean=unclean)


OURS = Detector(
    "ours",
    lambda _, seed, __: TabularMemAE(random_state=seed),
    "**ours**: `TabularMemAE()`",
    unclean="ours",
)
OURS_TOLD = Detector(
    "ours told",
    lambda _, seed, share: TabularMemAE(random_state=seed, contamination=share),
    unclean="ours, share given",
)
"""Ours, given the share of anomalies among its training rows."""
KNN = _of_pyod("KNN", "knn", unclean="KNN")
AUTOENCODER = _of_pyod("AutoEncoder", "auto_encoder", neural=True, unclean="AutoEncoder")
DETECTORS = (
    OURS,
    _of_pyod("IForest", "iforest"),
    _of_pyod("ECOD", "ecod"),
    _of_pyod("COPOD", "copod"),
    KNN,
    _of_pyod("LOF", "lof"),
    _of_pyod("OCSVM", "ocsvm"),
    _of_pyod("PCA", "pca"),
    AUTOENCODER,
    _of_pyod("DeepSVDD", "deep_svdd", neural=True),
    _of_pyod("VAE", "vae", neural=True),
)
UNCLEAN = (OURS, OURS_TOLD, AUTOENCODER, KNN)
"""The detectors that are also trained with anomalies among the rows."""
BY_KEY = {detector.key: detector for detector in (*DETECTORS, OURS_TOLD)}
"""What a record or a command line names."""
