"""The detectors compared on ADBench: ours, and ten of PyOD with their defaults."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import torch

from memae import TabularMemAE


class Given(NamedTuple):
    """What a detector may depend on."""

    rows: int  # of training
    columns: int  # features, for detectors that take numbers alone
    seed: int
    share: float = 0.0  # of anomalies among the training rows


@dataclass(frozen=True, eq=False)
class Detector:
    """One detector.

    Args:
        key: names it in records, on the command line and in the page.
        make: an unfitted one.
        title: names it in the first table; empty for `key`.
        neural: whether it is a network, and so a peer of ours.
        unclean: names it where training rows are not clean; empty if it is not run there.
    """

    key: str
    make: Callable[[Given], Any]
    title: str = ""
    neural: bool = False
    unclean: str = ""

    @property
    def name(self) -> str:
        """As the first table shows it."""
        return self.title or self.key


def _of_pyod(key: str, module: str, *, neural: bool = False, unclean: str = "") -> Detector:
    """A detector of PyOD, from a module of `pyod.models`."""

    def make(given: Given) -> Any:
        made = getattr(import_module(f"pyod.models.{module}"), key)
        detector = made(n_features=given.columns) if key == "DeepSVDD" else made()
        torch.manual_seed(given.seed)  # some sample through torch, others take the seed as a parameter
        known = detector.get_params()
        options = {"random_state": given.seed, "verbose": 0}
        if given.rows < known.get("batch_size", 0):
            options["batch_size"] = given.rows  # a network learns from whole batches only
        return detector.set_params(**{name: value for name, value in options.items() if name in known})

    return Detector(key, make, neural=neural, unclean=unclean)


def _learned(given: Given) -> TabularMemAE:
    """The default before rows were the memory, whose items grew with the rows."""
    return TabularMemAE(n_items=min(max(given.rows // 2, 10), 200), random_state=given.seed)


OURS = Detector(
    "ours",
    lambda given: TabularMemAE(random_state=given.seed),
    "**ours**: `TabularMemAE()`",
    unclean="ours",
)
OURS_TOLD = Detector(
    "ours told",
    lambda given: TabularMemAE(random_state=given.seed, contamination=given.share),
    unclean="ours, share given",
)
"""Ours, given the share of anomalies among its training rows."""
LEARNED = Detector("learned", _learned, "learned memory and kept rows: `TabularMemAE(n_items=200)`")
LEARNED_ALONE = Detector(
    "learned alone",
    lambda given: TabularMemAE(kept_samples=0, random_state=given.seed),
    "learned memory alone: `TabularMemAE(kept_samples=0)`",
)
KNN = _of_pyod("KNN", "knn", unclean="KNN")
LOF = _of_pyod("LOF", "lof")
IFOREST = _of_pyod("IForest", "iforest")
ECOD = _of_pyod("ECOD", "ecod")
AUTOENCODER = _of_pyod("AutoEncoder", "auto_encoder", neural=True, unclean="AutoEncoder")
DETECTORS = (
    OURS,
    IFOREST,
    ECOD,
    _of_pyod("COPOD", "copod"),
    KNN,
    LOF,
    _of_pyod("OCSVM", "ocsvm"),
    _of_pyod("PCA", "pca"),
    AUTOENCODER,
    _of_pyod("DeepSVDD", "deep_svdd", neural=True),
    _of_pyod("VAE", "vae", neural=True),
)
"""The detectors that are ranked."""
LEARNING = (LEARNED, LEARNED_ALONE)
"""Ours with a learned memory, for the ablation."""
UNCLEAN = (OURS, OURS_TOLD, AUTOENCODER, KNN)
"""The detectors that are also trained with anomalies among the rows."""
MIXED = (OURS, LEARNED, KNN, LOF, IFOREST, AUTOENCODER, ECOD)
"""The detectors that are compared on mixed tables."""
TIMED = (OURS, KNN, AUTOENCODER)
"""The detectors whose time to fit is compared."""
BY_KEY = {detector.key: detector for detector in (*DETECTORS, *LEARNING, OURS_TOLD)}
"""What a record or a command line names."""
