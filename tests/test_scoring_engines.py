"""`memae.parallel`: one function gives engines the scores of one process, and refuses what they would fill silently."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memae.errors import InputError, MemaeWarning, ModelFileError, OptionError, SchemaError
from memae.estimators import ImageMemAE, TabularMemAE, VideoMemAE, load
from memae.modelfile.artifact import dumped
from memae.parallel import Films, Pictures, Scoring

RNG = np.random.default_rng(0)


def again(pickled: bytes) -> Any:
    """What another process makes of it."""
    return pickle.loads(pickled)  # noqa: S301 (our own)


def rows(count: int) -> pd.DataFrame:
    numbers = pd.DataFrame(RNG.normal(size=(count, 4)), columns=[f"n{index}" for index in range(4)])
    numbers.loc[RNG.random(count) < 0.1, "n3"] = np.nan
    return numbers.assign(kind=RNG.choice(["x", "y"], count), id=[f"r{row}" for row in range(count)])


@pytest.fixture(scope="module")
def detector() -> TabularMemAE:
    return TabularMemAE(ignore=["id"]).fit(rows(300))


@pytest.fixture(scope="module")
def model(detector: TabularMemAE) -> bytes:
    return dumped(detector.to_artifact())


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return rows(200)


def test_a_model_is_loaded_from_its_content(detector, model, tmp_path, table):
    path = tmp_path / "m.memae"
    detector.save(path)
    assert path.read_bytes() == model
    assert (load(model).anomaly_score(table) == load(path).anomaly_score(table)).all()
    for damaged in (b"", b"x" * 100, model[:-9], model[:300] + b"x" + model[301:]):
        with pytest.raises(ModelFileError, match=r"the model of \d+ bytes"):
            load(damaged)


def test_scores_of_parts_sent_to_other_processes_are_those_of_the_whole(detector, model, table):
    score = again(pickle.dumps(Scoring(model, keep="id")))
    found = pd.concat(score.each(iter([table[:70], table[70:70], table[70:71], table[71:]])))
    assert list(found.columns) == ["id", "score", "p_value", "is_anomaly"]
    assert (found["id"] == table["id"]).all()
    np.testing.assert_allclose(found["score"], detector.anomaly_score(table), rtol=1e-13)
    assert (found["p_value"] == detector.p_value(table)).all()
    assert (found["is_anomaly"] == (detector.predict(table) == -1)).all()
    assert (score(table)["score"] == detector.anomaly_score(table)).all(), "bit-equal where batches are the same"


def test_a_result_has_the_columns_that_engines_are_told(model, table):
    for on_bad in ("raise", "row"):
        score = Scoring(model, keep=["id", "n0"], on_bad=on_bad)
        empty = score(table[:0])
        assert (empty.dtypes == score(table).dtypes).all()
        spark = type("Frame", (), {"dtypes": [("n0", "double"), ("id", "string"), ("n1", "double")]})()
        more = ", `reason` string" if on_bad == "row" else ""
        columns = "`id` string, `n0` double, `score` double, `p_value` double, `is_anomaly` boolean"
        assert score.schema(spark) == columns + more
        assert list(empty.columns) == [part.split("`")[1] for part in score.schema(spark).split(", ")]


def test_a_column_that_engines_filled_is_refused(model, table):
    score = Scoring(model, keep=["id"])
    with pytest.raises(SchemaError, match=r"'n1' is missing in all 200 rows \(id = 'r0' to id = 'r199'\)"):
        score(table.assign(n1=np.nan))
    with pytest.raises(SchemaError, match="'kind' is missing in all"):
        score(table.assign(kind=None))
    with pytest.raises(SchemaError, match="'n1' missing"):
        score(table.drop(columns="n1"))
    files = table.assign(n1=table["n1"].where(~table.index.isin(range(30, 140))))
    with pytest.raises(SchemaError, match=r"'n1' is missing in all 110 rows \(id = 'r30' to id = 'r139'\)"):
        score(files)  # several files in one batch
    assert len(score(files.assign(n1=files["n1"].where(files.index % 50 > 0, 1.0)))) == 200, "some may be missing"
    assert len(score(table.assign(n3=np.nan))) == 200, "it was missing in training too"
    assert len(Scoring(model, may_lack=["n1"])(table.assign(n1=np.nan))) == 200
    assert (score(table[list(table.columns[::-1])])["score"] == score(table)["score"]).all(), "another order"


@pytest.mark.parametrize("bad", [np.inf, "?"])
def test_a_bad_row_is_named_by_its_id_or_becomes_a_reason(model, table, bad):
    broken = table.assign(n1=table["n1"].astype(object))
    broken.loc[[33, 150], "n1"] = bad
    with pytest.raises(InputError, match=r"the first such row is number 33 of 200 handed over \(id = 'r33'\)"):
        Scoring(model, keep=["id"])(broken)
    found = Scoring(model, keep=["id"], on_bad="row")(broken)
    unread = found["reason"].notna()
    assert list(found["id"][unread]) == ["r33", "r150"]
    assert found["score"].isna().equals(unread)
    assert found["is_anomaly"].isna().equals(unread)
    good = Scoring(model)(table.drop(index=[33, 150]))
    np.testing.assert_allclose(found["score"][~unread], good["score"], rtol=1e-13)
    assert Scoring(model, on_bad="row")(broken.iloc[[33]])["score"].isna().all()


def test_what_cannot_be_is_refused_where_the_function_is_made(detector, model, table, tmp_path):
    with pytest.raises(ModelFileError, match="is not a file"):
        Scoring(tmp_path / "none")
    with pytest.raises(OptionError, match="Pictures takes a model of image data, not table"):
        Pictures(model)
    with pytest.raises(SchemaError, match="no column 'key' to keep"):
        Scoring(model, keep=["key"])(table)
    with pytest.raises(OptionError, match="'score' cannot be kept"):
        Scoring(model, keep=["score"])(table.assign(score=1.0))


def test_times_since_the_row_before_are_told_to_depend_on_batches():
    times = pd.date_range("2026-01-01", periods=60, freq="7min")
    frame = pd.DataFrame({"at": times, "a": RNG.normal(size=60), "b": RNG.normal(size=60)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = dumped(TabularMemAE().fit(frame).to_artifact())
    with pytest.warns(MemaeWarning, match=r"time since the row before \('at'\)"):
        Scoring(content)


def test_pictures_by_their_paths(tmp_path):
    pictures = RNG.integers(0, 255, (40, 8, 8)).astype(np.uint8)
    net = {"widths": (4,), "strides": ((2, 2),), "n_items": 4, "epochs": 1, "warmup": 0, "size": (8, 8)}
    fitted = ImageMemAE(**net, batch_size=8, rotations=False, init="uniform", false_alarm_rate=0.2).fit(pictures)
    for number in range(6):
        Image.fromarray(pictures[number]).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"no picture")
    paths = [str(tmp_path / f"{number}.png") for number in range(6)]
    score = again(pickle.dumps(Pictures(dumped(fitted.to_artifact()), keep=["camera"])))
    found = score(pd.DataFrame({"path": paths, "camera": range(6)}))
    assert list(found["path"]) == paths
    assert list(found["camera"]) == list(range(6))
    assert list(found["score"].isna()) == [number == 3 for number in range(6)]
    assert "3.png" in found["reason"][3]
    good = [Path(path) for number, path in enumerate(paths) if number != 3]
    assert (found["score"].dropna().to_numpy() == fitted.anomaly_score(good)).all()
    bad = score(pd.DataFrame({"path": paths[3:4], "camera": [0]}))
    assert bad["reason"].notna().all()
    assert score(pd.DataFrame({"path": [], "camera": []}).astype({"path": str, "camera": int})).dtypes.equals(
        found.dtypes
    )


def test_films_by_their_paths(watcher: VideoMemAE, squares, tmp_path):
    paths = []
    for name, frames in (("a", 12), ("b", 9)):
        (tmp_path / name).mkdir()
        paths.append(str(tmp_path / name))
        for number, frame in enumerate(squares(frames)):
            Image.fromarray(frame).save(tmp_path / name / f"{number}.png")
    (tmp_path / "c.mp4").write_bytes(b"no film")
    score = Films(dumped(watcher.to_artifact()), path="film")
    found = score(pd.DataFrame({"film": [*paths, str(tmp_path / "c.mp4")]}))
    assert list(found.columns) == ["film", "frame", "time", "score", "p_value", "is_anomaly", "reason"]
    assert list(found["frame"].dropna()) == [*range(12), *range(9)]
    assert (found["score"].dropna() == np.concatenate([watcher.anomaly_score([Path(path)]) for path in paths])).all()
    assert found["reason"].notna().sum() == 1


def test_dask_gives_the_scores_of_one_process(model, detector, table, tmp_path):
    pytest.importorskip("dask.dataframe", reason="Dask is not installed: pip install 'dask[distributed]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import dask
        import dask.dataframe as dd

        for number in range(4):
            table[50 * number : 50 * number + 50].to_parquet(tmp_path / f"{number}.parquet")
        score = Scoring(model, keep=["id"])
        frame = dd.read_parquet(sorted(map(str, tmp_path.glob("*.parquet"))))
        with dask.config.set(scheduler="synchronous"):
            found = frame.map_partitions(score, meta=score.meta(frame)).compute()
    assert sorted(found["id"]) == sorted(table["id"])
    both = found.merge(score(table), on="id")
    np.testing.assert_allclose(both["score_x"], both["score_y"], rtol=1e-13)
    assert (both["p_value_x"] == both["p_value_y"]).all()
    assert (both["is_anomaly_x"] == both["is_anomaly_y"]).all()
