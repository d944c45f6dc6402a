"""TensorBoard and MLflow: what a training tells them, and that neither can spoil it."""

import importlib.util
import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memae.cli.logs import QUIET, MLflow, figures, located, opened
from memae.errors import MemaeWarning, MissingExtraError
from memae.estimators import TabularMemAE, load

RNG = np.random.default_rng(0)
SMALL = ["--epochs", 4, "--warmup", 1, "--n-items", 8, "--false-alarm-rate", 0.1]
missing = not all(map(importlib.util.find_spec, ("mlflow", "sqlalchemy", "alembic")))
needs_mlflow = pytest.mark.skipif(missing, reason="needs the extra mlflow")

Run = Callable[..., Any]  # the fixture of conftest.py: gives code, out, err


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "normal.csv"
    pd.DataFrame(RNG.normal(size=(120, 3)), columns=list("abc")).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of MLflow, whose database takes seconds to make."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow") / "of the team"
    with warnings.catch_warnings(action="ignore"):  # SQLAlchemy's, of MLflow
        MlflowClient(tracking_uri=located(str(folder))[0])
    return folder


def runs(store: Path, experiment: str = "memae") -> list[Any]:
    """The runs that a folder holds, the newest first, with a client to look into them."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=located(str(store))[0])
    found = client.get_experiment_by_name(experiment)
    return [(client, run) for run in client.search_runs([found.experiment_id])]


@needs_mlflow
def test_mlflow_has_all_of_a_training(run: Run, table: Path, store: Path, tmp_path: Path) -> None:
    model = tmp_path / "tiny.memae"
    ran = run("fit", "table", table, "-o", model, *SMALL, "--mlflow", store, "--json")
    assert json.loads(ran.out)["model"] == str(model)  # nothing else on stdout
    fitted = load(model)
    [(client, told)] = runs(store)
    assert (told.info.run_name, told.info.status) == ("tiny", "FINISHED")
    assert told.data.params["n_items"] == "8"
    assert told.data.params.keys() == fitted.get_params().keys() | {"kind", "source"}
    assert told.data.params["source"] == str(table)
    for name in figures(fitted.history_[-1]):
        history = client.get_metric_history(told.info.run_id, name)
        known = [(epoch.epoch, figures(epoch).get(name)) for epoch in fitted.history_]
        assert [(each.step, each.value) for each in history] == [pair for pair in known if pair[1] is not None]
    assert told.data.metrics["memory/in_use"] == fitted.history_[-1].health.in_use  # type: ignore[union-attr]
    assert told.data.metrics["threshold"] == fitted.threshold_
    assert told.data.metrics["held_out_samples"] == 12
    assert told.data.metrics["best_epoch"] == fitted.best_epoch_.epoch
    assert told.data.tags["data_sha256"] == fitted.checksum_
    assert told.data.tags["version.memae"] == fitted.versions_["memae"]
    kept = Path(client.download_artifacts(told.info.run_id, "tiny.memae", str(tmp_path / "..")))
    assert kept.read_bytes() == model.read_bytes()
    from mlflow import pyfunc

    folder = client.download_artifacts(told.info.run_id, "detector", str(tmp_path / ".."))
    rows = pd.read_csv(table)
    assert (pyfunc.load_model(folder).predict(rows)["score"] == fitted.anomaly_score(rows)).all()
    assert next(store.rglob("tiny.memae.md")).read_text() == run("inspect", model, "--card").out
    assert told.data.tags["mlflow.note.content"].startswith("# Model card: tiny.memae")


@needs_mlflow
def test_a_training_that_fails_or_is_stopped_says_so(
    run: Run, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "trials")
    (tmp_path / "bad.csv").write_text("a,b\n1,inf\n2,3\n")
    ran = run("fit", "table", tmp_path / "bad.csv", "-o", tmp_path / "m", "--mlflow", store)
    assert ran.code == 1
    assert "infinite" in ran.err
    detector = TabularMemAE()
    with pytest.raises(KeyboardInterrupt), opened(None, str(store), detector, tmp_path, tmp_path / "stopped"):
        raise KeyboardInterrupt
    assert [(each.info.run_name, each.info.status) for _, each in runs(store, "trials")] == [
        ("stopped", "KILLED"),
        ("m", "FAILED"),
    ]


@needs_mlflow
@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "ftp://nowhere", "{file}/folder"])
def test_an_address_that_cannot_be_told_is_refused_before_the_training(
    run: Run, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ran = run("fit", "table", table, "-o", tmp_path / "m", *SMALL, "--mlflow", address.format(file=table))
    assert ran.code == 1
    assert ran.err.startswith(f"memae: error: cannot log to MLflow at {address.format(file=table)}: ")
    assert ran.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@needs_mlflow
def test_mlflow_that_is_lost_is_warned_of_once_and_the_training_goes_on(
    table: Path, store: Path, tmp_path: Path
) -> None:
    detector = TabularMemAE(n_items=8, epochs=4).fit(table)
    folder = shutil.copytree(store, tmp_path / "lost")
    log = MLflow(str(folder), detector, table, "tiny")
    log.add(detector.history_[0])
    shutil.rmtree(folder)
    with pytest.warns(MemaeWarning, match="is lost .*; the training goes on without it"):
        log.add(detector.history_[1])
    log.add(detector.history_[2])  # a warning would be an error
    log.finish(detector, tmp_path / "none")
    log.close(None)


@pytest.mark.parametrize(
    ("option", "module", "extra"), [("--mlflow", "mlflow.tracking", "mlflow"), ("--log-dir", "tensorboard", "log")]
)
def test_without_the_extra_a_sentence_says_what_is_missing(
    run: Run, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    ran = run("fit", "table", table, "-o", tmp_path / "m", *SMALL, option, tmp_path / "log")
    assert ran.code == 1
    assert f"{option} needs the \"{extra}\" extra: pip install 'memae[{extra}]'" in ran.err
    assert not (tmp_path / "m").exists()
    assert issubclass(MissingExtraError, ImportError)


def test_tensorboard_has_the_card(table: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    detector = TabularMemAE(n_items=8, epochs=4).fit(table)
    with opened(tmp_path / "log", None, detector, table, tmp_path / "m") as logs:
        for log in logs:
            log.add(detector.history_[-1])
            log.finish(detector, tmp_path / "m")
    events = accumulator.EventAccumulator(str(tmp_path / "log")).Reload()
    assert events.Scalars("memory/in_use")[0].value == detector.history_[-1].health.in_use  # type: ignore[union-attr]
    text = events.Tensors("model card/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text.startswith("# Model card: m\n")


def test_where_mlflow_logs(tmp_path: Path) -> None:
    assert located("sqlite:////srv/mlflow.db") == ("sqlite:////srv/mlflow.db", None)
    assert located("databricks") == ("databricks", None)
    assert located(str(tmp_path / "a b")) == (
        f"sqlite:///{tmp_path}/a b/mlflow.db",
        (tmp_path / "a b" / "artifacts").as_uri(),
    )
    assert (tmp_path / "a b").is_dir()
