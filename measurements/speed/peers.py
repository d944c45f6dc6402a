"""Tables: rows a second, compared with PyOD's autoencoder, isolation forest and ECOD on the same array."""

import warnings
from typing import Any

import numpy as np
from pyod.models.auto_encoder import AutoEncoder
from pyod.models.ecod import ECOD
from pyod.models.iforest import IForest

from measurements.timing import interleaved, ratio
from memae import TabularMemAE
from memae.data.tables import TableEncoder
from memae.networks.tabular import KDDCUP
from reproduction.datasets import kddcup

FITTED, SCORED, EPOCHS, BATCH = 50_000, 100_000, 5, 1024


def arrays() -> tuple[Any, Any]:
    """Attacks to learn, and rows of both classes to score, one-hot and standardised, float64."""
    frame = kddcup().sample(frac=1, random_state=0)
    label = frame.pop("label").to_numpy()
    encoder, _ = TableEncoder.fit([frame])
    center, scale = encoder.center_and_scale("standard")
    X = ((encoder.encode(frame) - center) / scale).numpy()
    return X[label == 0][:FITTED], X[:SCORED]


def alike() -> tuple[TabularMemAE, AutoEncoder]:
    """The paper's MemAE and PyOD's autoencoder with equal widths, epochs, batch and rate."""
    ours = TabularMemAE.paper(
        widths=KDDCUP, scaling="standard", epochs=EPOCHS, batch_size=BATCH, learning_rate=1e-3, on_empty="strongest"
    )
    theirs = AutoEncoder(
        hidden_neuron_list=list(KDDCUP),
        hidden_activation_name="tanh",
        epoch_num=EPOCHS,
        batch_size=BATCH,
        lr=1e-3,
        device="cpu",
        random_state=0,
        preprocessing=False,
        batch_norm=False,
        dropout_rate=0.0,
        verbose=0,
    )
    return ours, theirs


def measure() -> dict[str, Any]:
    """Fits like for like, see `alike`; scores with each as its users do."""
    warnings.simplefilter("ignore")
    normal, X = arrays()
    ours, theirs = alike()
    fits = interleaved({"memae": lambda: ours.fit(normal), "autoencoder": lambda: theirs.fit(normal)}, 5)
    forest, ecod = IForest(random_state=0).fit(normal), ECOD().fit(normal)
    scores = interleaved(
        {
            "memae": lambda: ours.anomaly_score(X),
            "autoencoder": lambda: theirs.decision_function(X),
            "iforest": lambda: forest.decision_function(X),
        },
        7,
    )
    slow = interleaved({"memae": lambda: ours.anomaly_score(X), "ecod": lambda: ecod.decision_function(X)}, 2)
    figures = {"speed/kddcup_rows/fit_vs_pyod_autoencoder": ratio(fits["autoencoder"], fits["memae"])}
    for name, times in (("autoencoder", scores), ("iforest", scores), ("ecod", slow)):
        figures[f"speed/kddcup_rows/score_vs_pyod_{name}"] = ratio(times[name], times["memae"])
    learned = {name: round(len(normal) * EPOCHS / timing.minimum) for name, timing in fits.items()}
    scored = {name: round(len(X) / timing.minimum) for name, timing in (scores | {"ecod": slow["ecod"]}).items()}
    return {
        "figures": figures,
        "rows": {"fitted": len(normal), "scored": len(X), "features": int(np.shape(X)[1]), "epochs": EPOCHS},
        "fit_rows_a_second": learned,
        "score_rows_a_second": scored,
        "note": f"ECOD looks at the {FITTED} rows of training again whenever it scores",
        "times": {
            "fit": {name: timing.as_json() for name, timing in fits.items()},
            "score": {name: timing.as_json() for name, timing in scores.items()},
        },
    }
