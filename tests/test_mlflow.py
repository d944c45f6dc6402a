"""A detector as MLflow's pyfunc: the scores of memae, and no pickle."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memae.estimators import TabularMemAE, VideoMemAE
from memae.mlflow import log_model, save_model

missing = not all(map(importlib.util.find_spec, ("mlflow", "sqlalchemy", "alembic")))
pytestmark = [
    pytest.mark.skipif(missing, reason="needs the extra mlflow"),
    pytest.mark.filterwarnings("ignore"),  # of MLflow
]
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    frame = pd.DataFrame(RNG.normal(size=(120, 2)), columns=["a", "b"])
    return frame.assign(count=RNG.integers(0, 50, 120), kind=RNG.choice(["x", "y"], 120))


@pytest.fixture(scope="module")
def detector(table: pd.DataFrame) -> TabularMemAE:
    return TabularMemAE().fit(table)


def test_a_saved_model_gives_the_scores_of_memae(detector, table, tmp_path):
    from mlflow import pyfunc

    detector.save(tmp_path / "m.memae")
    save_model(tmp_path / "m.memae", tmp_path / "model")
    assert not list((tmp_path / "model").rglob("*.pkl"))
    loaded = pyfunc.load_model(str(tmp_path / "model"))
    found = loaded.predict(table)
    assert list(found.columns) == ["score", "p_value", "is_anomaly"]
    assert (found["score"] == detector.anomaly_score(table)).all()
    assert (loaded.predict(table[table.columns[::-1]])["score"] == found["score"]).all()
    gap = table.assign(count=[np.nan, *table["count"][1:].astype(float)])
    assert (loaded.predict(gap)["score"] == detector.anomaly_score(gap)).all(), "whole numbers may be missing"
    with pytest.raises(Exception, match="missing inputs"):
        loaded.predict(table.drop(columns="count"))
    with pytest.raises(Exception, match="infinite"):
        loaded.predict(table.assign(a=np.inf))


def test_films_are_scored_by_their_paths(watcher: VideoMemAE, squares, tmp_path):
    from mlflow import pyfunc

    (tmp_path / "film").mkdir()
    for number, frame in enumerate(squares(9)):
        Image.fromarray(frame).save(tmp_path / "film" / f"{number}.png")
    save_model(watcher, tmp_path / "model")
    found = pyfunc.load_model(str(tmp_path / "model")).predict(pd.DataFrame({"path": [str(tmp_path / "film")]}))
    assert (found["score"].to_numpy(dtype=float) == watcher.anomaly_score([tmp_path / "film"])).all()


def test_it_is_logged_to_a_run(detector, table, tmp_path: Path):
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    try:
        number = mlflow.create_experiment("memae", (tmp_path / "artifacts").as_uri())
        with mlflow.start_run(experiment_id=number):
            info = log_model(detector)
        found = mlflow.pyfunc.load_model(info.model_uri).predict(table)
    finally:
        mlflow.set_tracking_uri(None)
    assert (found["score"] == detector.anomaly_score(table)).all()
