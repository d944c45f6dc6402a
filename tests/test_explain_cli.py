"""`memae explain`, `memae drift` and `memae score --fdr`, as a user calls them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from memae.demo import street
from memae.estimators import ImageMemAE, TabularMemAE, VideoMemAE, load
from memae.scoring.calibration import discoveries

RNG = np.random.default_rng(0)
FAST: dict[str, Any] = {"epochs": 2, "warmup": 1, "n_items": 8, "false_alarm_rate": 0.1}


def write(folder: Path, pixels: Any) -> Path:
    folder.mkdir(parents=True)
    for place, frame in enumerate(pixels):
        Image.fromarray(frame).save(folder / f"{place:03d}.png")
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of each kind and data for it: t and t.csv, i and images, v and films."""
    here = tmp_path_factory.mktemp("here")
    rows = pd.DataFrame(RNG.normal(size=(200, 3)) @ RNG.normal(size=(3, 12)), columns=[f"c{n}" for n in range(12)])
    TabularMemAE(**FAST, widths=(16, 8), keep_examples=True).fit(rows.assign(shop=RNG.choice(["a", "b"], 200))).save(
        here / "t"
    )
    new = rows.head(60).assign(shop="a")
    new.loc[7, "shop"], new.loc[40, "c3"] = "[red]z", 77.0
    new.to_csv(here / "t.csv", index=False)
    new.assign(id=range(60)).to_parquet(here / "more.parquet")
    images = (RNG.integers(0, 40, (48, 12, 14)) + 8 * np.arange(12)[:, None]).astype(np.uint8)
    images[5] = 255 - images[5]
    ImageMemAE(**FAST, widths=(4, 6), strides=((2, 2), (2, 2)), batch_size=16).fit(
        write(here / "parts" / "good", images[6:])
    ).save(here / "i")
    write(here / "images", images[:10])
    net: dict[str, Any] = {"size": "native", "length": 4, "widths": (4, 6), "smooth": 3}
    VideoMemAE(**(FAST | net)).fit(write(here / "film" / "Train1", street(60, 1)[:, ::4, ::4])).save(here / "v")
    for name, seed in (("one", 2), ("two", 3)):
        write(here / "films" / name, street(60, seed)[:, ::4, ::4])
    return here


SOURCES = {"t": "t.csv", "i": "images", "v": "films"}


@pytest.mark.parametrize("model", SOURCES)
def test_the_most_anomalous_come_first_as_json_lines(run: Any, here: Path, tmp_path: Path, model: str) -> None:
    source = here / SOURCES[model]
    ran = run("explain", here / model, source, "--top", 3, "--items", 2, "--json", "-o", tmp_path / "reasons.jsonl")
    assert ran.code == 0
    assert (tmp_path / "reasons.jsonl").read_text() == ran.out
    assert "3 explained" in ran.err
    found = [json.loads(line) for line in ran.out.splitlines()]
    detector = load(here / model)
    scores = detector.anomaly_score(source)
    order = np.argsort(-scores, kind="stable")[:3]
    if model == "v":
        order = a_second_apart(scores.reshape(2, 60), 3)
    everything = list(detector.explain(source, items=2))
    assert [each["name"] for each in found] == [everything[place].name for place in order]
    assert [each["score"] for each in found] == pytest.approx(scores[order].tolist(), rel=1e-9)
    assert all(len(each["items"]) <= 2 for each in found)
    assert found[0]["items"][0]["neighbours"]


def a_second_apart(scores: Any, count: int) -> Any:
    """The highest scores of videos `(videos, frames)` of which no two lie within 25 frames, and where they are."""
    left, found = scores.copy(), []
    for _ in range(count):
        video, frame = np.unravel_index(left.argmax(), left.shape)
        left[video, max(frame - 24, 0) : frame + 25] = -np.inf
        found.append(video * left.shape[1] + frame)
    return np.array(found)


def test_a_row_is_explained_in_words(run: Any, here: Path) -> None:
    ran = run("explain", here / "t", here / "t.csv", "--top", 2)
    assert ran.code == 0
    text = " ".join(ran.out.split())
    assert text.index("row 7: score") < text.index("row 40: score") or text.index("row 40: score") < text.index("row 7")
    assert "[red]z" in text  # as given, not as markup
    assert "77 " in text
    assert "share of the score" in text
    assert "5 more columns add" in text
    assert "nearest training samples" in text
    assert text.count("p-value") == 2


def test_a_row_is_explained_by_the_training_rows_that_it_is_restored_from(run: Any, here: Path, tmp_path: Path) -> None:
    normal = pd.read_csv(here / "t.csv").drop(index=[7, 40]).reset_index(drop=True)
    TabularMemAE().fit(normal).save(tmp_path / "m")
    told = json.loads(run("explain", tmp_path / "m", here / "t.csv", "--top", 1, "--json").out)
    text = run("explain", tmp_path / "m", here / "t.csv", "--top", 1).out
    assert "restored from training" in " ".join(text.split())
    for item in told["items"]:
        row = normal.iloc[int(item["sample"].removeprefix("row "))].to_dict()
        assert item["decoded"].pop("shop") == row.pop("shop")
        assert item["decoded"] == pytest.approx(row, rel=1e-9)
        assert item["sample"] in text
    assert "1 − cosine" not in text


def test_columns_that_the_model_does_not_know_can_be_ignored(run: Any, here: Path) -> None:
    ran = run("explain", here / "t", here / "more.parquet", "--ignore", "id", "--json")
    assert ran.code == 0
    assert ran.out == run("explain", here / "t", here / "t.csv", "--json").out
    told = run("explain", here / "t", here / "more.parquet", "--json")
    assert told.out == ran.out
    assert "'id' left out" in told.err
    refused = run("explain", here / "t", here / "more.parquet", "--strict")
    assert refused.code == 1
    assert "'id' not known" in refused.err


@pytest.mark.parametrize(("model", "rows"), [("i", 3), ("v", 3)])
def test_pictures_show_the_sample_and_what_the_memory_answered(
    run: Any, here: Path, tmp_path: Path, model: str, rows: int
) -> None:
    ran = run("explain", here / model, here / SOURCES[model], "--top", 2, "--items", 2, "--pictures", tmp_path / "p")
    assert ran.code == 0
    assert "nearest training samples" in ran.out
    names = sorted(path.name for path in (tmp_path / "p").iterdir())
    assert [name[:3] for name in names] == ["01-", "02-"]
    if model == "i":
        assert names[0] == "01-005.png"
    with Image.open(tmp_path / "p" / names[0]) as picture:
        assert picture.mode == "RGB"
        assert (picture.height - 12) % (128 + 18 + 12) == 0
        assert 1 < (picture.height - 12) // (128 + 18 + 12) <= rows
        tile = np.asarray(picture)[12 : 12 + 128, 12 : 12 + 128]
    if model == "i":  # the sample, enlarged, pixel by pixel
        pixels = np.asarray(Image.open(here / "images" / "005.png"))
        assert tile[5, 5].tolist() == [pixels[0, 0]] * 3


def test_what_cannot_be_asked_is_refused_in_a_sentence(run: Any, here: Path, tmp_path: Path) -> None:
    assert "no picture" in run("explain", here / "t", here / "t.csv", "--pictures", tmp_path / "p").err
    assert run("explain", here / "t", here / "t.csv", "--top", 0).code == 2
    ran = run("explain", here / "t", here / "t.csv", "-o", tmp_path / "none" / "r.jsonl")
    assert (ran.code, "does not exist" in ran.err) == (1, True)
    assert not (tmp_path / "p").exists()


# ------------------------------------------------------------------------------------------------------ drift and fdr


@pytest.mark.parametrize("model", SOURCES)
def test_drift_prints_a_verdict(run: Any, here: Path, model: str) -> None:
    source = here / SOURCES[model]
    wanted = load(here / model).drift(source)
    ran = run("drift", here / model, source)
    assert (ran.code, ran.out) == (0, wanted.sentence + "\n")
    told = json.loads(run("drift", here / model, source, "--json").out)
    assert told["verdict"] == wanted.verdict
    assert told["p_value"] == pytest.approx(wanted.p_value)
    assert set(told) == {"verdict", "p_value", "realised", "promised", "low", "high", "samples", "independent"}


def test_drift_is_no_failure(run: Any, here: Path, tmp_path: Path) -> None:
    pd.read_csv(here / "t.csv").assign(c1=50.0).to_csv(tmp_path / "moved.csv", index=False)
    ran = run("drift", here / "t", tmp_path / "moved.csv")
    assert ran.code == 0
    assert "higher than at calibration" in ran.out


@pytest.mark.parametrize("kept", [[], ["--keep"]])
def test_discoveries_are_a_column(run: Any, here: Path, tmp_path: Path, kept: list[str]) -> None:
    table = pd.read_csv(here / "t.csv").assign(is_discovery="mine")
    table.loc[40:, "c5"] = 60.0
    table.to_csv(tmp_path / "t.csv", index=False)
    ignored = ["--ignore", "is_discovery", *kept]
    ran = run("score", here / "t", tmp_path / "t.csv", "--fdr", 0.3, "-o", tmp_path / "s.csv", "--json", *ignored)
    assert ran.code == 0
    found = pd.read_csv(tmp_path / "s.csv")
    assert list(found.columns[:5]) == ["row", "score", "p_value", "is_anomaly", "is_discovery"]
    detector = load(here / "t")
    wanted = detector.discoveries(table.drop(columns="is_discovery"), 0.3)
    assert found["is_discovery"].tolist() == wanted.astype(int).tolist()
    assert json.loads(ran.out)["discoveries"] == wanted.sum() >= 20
    assert f"{wanted.sum()} discoveries" in ran.err
    assert ("is_discovery_input" in found.columns) == bool(kept)


def test_why_there_can_be_no_discovery_is_said(run: Any, here: Path) -> None:
    ran = run("score", here / "t", here / "t.csv", "--fdr", 0.01)
    assert ran.code == 0
    held_out = len(load(here / "t").calibration_.scores)
    assert f"no discovery at a false-discovery rate of 0.01: with {held_out} scores of normal samples" in ran.err
    assert ran.out.splitlines()[0] == "row,score,p_value,is_anomaly,is_discovery"
    assert "must lie between 0 and 1" in run("score", here / "t", here / "t.csv", "--fdr", 2).err
    assert not discoveries(torch.from_numpy(load(here / "t").p_value(here / "t.csv")), 0.01).any()
