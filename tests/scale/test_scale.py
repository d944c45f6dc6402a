"""Engines give the scores of one process, whatever is killed, and never other ones silently."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.scale.engines import ENGINES, Engine
from tests.scale.jobs import BAD, FILES, ROWS, Mortal, rows, written

from memae.estimators import ImageMemAE, TabularMemAE, VideoMemAE
from memae.modelfile.artifact import dumped
from memae.parallel import Films, Pictures, Scoring

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore")  # of the engines


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))  # for workers
        with ENGINES[request.param]() as started:
            yield started


@pytest.fixture(scope="module")
def detector() -> TabularMemAE:
    return TabularMemAE(ignore=["id"]).fit(rows(800, 0))


@pytest.fixture(scope="module")
def score(detector: TabularMemAE) -> Scoring:
    return Scoring(dumped(detector.to_artifact()), keep=["id"])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scale") / "in"
    written(folder)
    return folder


@pytest.fixture(scope="module")
def expected(source: Path, score: Scoring) -> pd.DataFrame:
    """Scores by one process, file by file."""
    return pd.concat([score(pd.read_parquet(path)) for path in sorted(source.glob("*.parquet"))], ignore_index=True)


TOLD = {
    "infinity": rf"infinite.*3-{ROWS - 1}",  # the id of the row
    "all missing": r"column 'n2' is missing in all \d+ rows",
}


def check_same(found: pd.DataFrame, expected: pd.DataFrame, *, exactly: bool = False) -> None:
    """Ids once each, p-values and flags equal, scores equal but for the last digits."""
    assert sorted(found["id"]) == sorted(expected["id"])
    both = found.merge(expected, on="id", suffixes=("", "_expected"))
    np.testing.assert_allclose(both["score"], both["score_expected"], rtol=0 if exactly else 1e-13, atol=0)
    assert (both["p_value"] == both["p_value_expected"]).all()
    assert (both["is_anomaly"] == both["is_anomaly_expected"]).all()


def test_scores_are_those_of_one_process(engine, source, score, expected, tmp_path):
    found = engine.scored(source, score, tmp_path / "out")
    check_same(found, expected, exactly=type(engine).__name__ == "Dask")  # whose partitions are the files


def test_a_killed_worker_loses_and_doubles_nothing(engine, source, score, expected, tmp_path):
    mortal = Mortal(score, f"{FILES // 2}-{ROWS // 2}", tmp_path / "killed")
    check_same(engine.scored(source, mortal, tmp_path / "out"), expected)
    assert mortal.mark.exists()


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_or_scored_right(engine, case, source, score, expected, tmp_path):
    shutil.copytree(source, tmp_path / "in")
    BAD[case](tmp_path / "in" / "2.parquet")
    if case == "another order":
        check_same(engine.scored(tmp_path / "in", score, tmp_path / "out"), expected)
        return
    with pytest.raises(Exception) as refused:  # noqa: PT011 (each engine has its own)
        engine.scored(tmp_path / "in", score, tmp_path / "out")
    assert re.search(TOLD.get(case, ""), str(refused.value))


def test_pictures_by_their_paths(engine, tmp_path):
    random = np.random.default_rng(0)
    net: dict[str, Any] = {"widths": (4,), "strides": ((2, 2),), "n_items": 4, "epochs": 1, "warmup": 0, "size": (8, 8)}
    normal = random.integers(0, 255, (40, 8, 8)).astype(np.uint8)
    fitted = ImageMemAE(**net, batch_size=8, rotations=False, init="uniform").fit(normal)
    paths = [tmp_path / f"{number}.png" for number in range(12)]
    for number, path in enumerate(paths):
        Image.fromarray(normal[number]).save(path)
    paths[5].write_bytes(b"no picture")
    found = _of_paths(engine, Pictures(dumped(fitted.to_artifact())), paths, tmp_path).set_index("path")
    assert sorted(found.index) == sorted(map(str, paths))
    assert list(found.index[found["score"].isna()]) == [str(paths[5])] == list(found.index[found["reason"].notna()])
    good = [path for path in paths if path != paths[5]]
    assert (found.loc[map(str, good), "score"].to_numpy(dtype=float) == fitted.anomaly_score(good)).all()


def test_films_by_their_paths(engine, watcher: VideoMemAE, squares, tmp_path):
    films = []
    for name, frames in (("a", 12), ("b", 9)):
        (tmp_path / name).mkdir()
        films.append(tmp_path / name)
        for number, frame in enumerate(squares(frames)):
            Image.fromarray(frame).save(tmp_path / name / f"{number}.png")
    found = _of_paths(engine, Films(dumped(watcher.to_artifact())), films, tmp_path)
    for film in films:
        own = found[found["path"] == str(film)].sort_values("frame")
        assert (own["score"].to_numpy(dtype=float) == watcher.anomaly_score([film])).all()
    assert len(found) == 21


def _of_paths(engine: Engine, score: Any, paths: list[Path], folder: Path) -> pd.DataFrame:
    """Scores files whose paths are in two tables."""
    (folder / "paths").mkdir()
    for number in range(2):
        names = list(map(str, paths[number::2]))
        pd.DataFrame({"path": names}).to_parquet(folder / "paths" / f"{number}.parquet")
    return engine.scored(folder / "paths", score, folder / "out")


def test_a_stream_whose_driver_is_killed_goes_on(detector, source, expected, tmp_path):
    with pytest.MonkeyPatch.context(), ENGINES["spark"]() as started:  # skipped where Spark is not there
        detector.save(tmp_path / "m.memae")
        output = tmp_path / "out"
        command = [sys.executable, str(ROOT / "examples" / "spark_stream.py"), str(tmp_path / "m.memae")]
        command += [str(source), str(output)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
        with (tmp_path / "log").open("w") as log:
            first = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            until = time.monotonic() + 240
            while not (output / "_spark_metadata" / "1").exists():
                assert first.poll() is None, (tmp_path / "log").read_text()[-3000:]
                assert time.monotonic() < until, (tmp_path / "log").read_text()[-3000:]
                time.sleep(0.05)
            os.killpg(first.pid, signal.SIGKILL)
            first.wait()
            done = len([path for path in (output / "_spark_metadata").iterdir() if path.name.isdecimal()])
            assert done < FILES, "killed too late to show anything"
            again = subprocess.run(command, env=environment, stdout=log, stderr=log, timeout=300, check=False)
        assert again.returncode == 0, (tmp_path / "log").read_text()[-3000:]
        found = started.session.read.parquet(str(output))  # what the stream has committed
        found.coalesce(1).write.parquet(str(tmp_path / "read"))
    check_same(pd.read_parquet(tmp_path / "read"), expected)
