"""`explain` of each detector, the training samples that models keep for it, discoveries and drift."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from memae.data.pixels import resize
from memae.demo import street
from memae.errors import OptionError
from memae.estimators import Estimator, ImageMemAE, TabularMemAE, VideoMemAE, load
from memae.estimators import tabular as tabular_module
from memae.estimators import video as video_module
from memae.evidence import Evidence, likeness
from memae.kinds import tables as tables_module
from memae.kinds import videos
from memae.scoring.calibration import discoveries

RNG = np.random.default_rng(0)
FAST: dict[str, Any] = {"epochs": 2, "warmup": 1, "n_items": 8, "false_alarm_rate": 0.1}


def rows(n: int, seed: int) -> pd.DataFrame:
    drawn = np.random.default_rng(seed)
    amount = drawn.normal(10, 2, n)
    table = pd.DataFrame({"amount": amount, "tax": amount / 5 + drawn.normal(0, 0.02, n), "n": drawn.integers(0, 9, n)})
    return table.assign(shop=drawn.choice(["a", "b"], n), code=pd.Series(drawn.choice(["u", "v"], n)).mask(table.n < 2))


TABLE = rows(200, 0)
TABLE.loc[TABLE.index % 5 == 0, "tax"] = np.nan
IMAGES = (RNG.integers(0, 40, (48, 60, 14)) + 3 * np.arange(60)[:, None]).astype(np.uint8)
VIDEO = [street(40, 1)[:, ::4, ::4].copy(), street(30, 2)[:, ::4, ::4].copy()]


def table(**more: Any) -> TabularMemAE:
    return TabularMemAE(**(FAST | {"epochs": 3, "widths": (16, 8), "keep_examples": True} | more))


def image(**more: Any) -> ImageMemAE:
    return ImageMemAE(**(FAST | {"widths": (4, 6), "strides": ((2, 2), (2, 2)), "batch_size": 16} | more))


def video(**more: Any) -> VideoMemAE:
    return VideoMemAE(**(FAST | {"size": "native", "length": 4, "widths": (4, 6), "smooth": 5} | more))


IN_TIME: dict[str, Any] = {"strides": ((1, 2, 2), (2, 2, 2)), "score_step": 3, "false_alarm_rate": 0.2}
CASES: dict[str, tuple[Any, Any]] = {
    "table": (TabularMemAE(false_alarm_rate=0.1, keep_examples=True), TABLE),
    "learned table": (table(), TABLE),
    "table without rows": (table(kept_samples=0, masked_columns=False, keep_examples=False), TABLE),
    "image": (image(), IMAGES),
    "positions": (image(per_position=True, keep_examples=False), IMAGES),
    "plain": (image(n_items=0), IMAGES),
    "video": (video(), VIDEO),
    "video in time": (video(**IN_TIME), VIDEO),
}
KEEPING = ["table", "learned table", "image", "video", "video in time"]
each_case = pytest.mark.parametrize("case", CASES)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Estimator]:
    return {name: detector.fit(data) for name, (detector, data) in CASES.items()}


# ------------------------------------------------------------------------------------------------------------- parity


@each_case
def test_the_score_explained_is_the_score(fitted: dict[str, Estimator], case: str) -> None:
    detector, data = fitted[case], CASES[case][1]
    found = list(detector.explain(data))
    assert [each.score for each in found] == detector.anomaly_score(data).tolist()
    assert [each.p_value for each in found] == detector.p_value(data).tolist()
    assert [each.is_anomaly for each in found] == (detector.predict(data) == -1).tolist()
    assert {each.threshold for each in found} == {detector.threshold_}
    json.dumps(found[0].as_json(), allow_nan=False)


@each_case
def test_only_those_asked_for_are_explained(fitted: dict[str, Estimator], case: str) -> None:
    detector, data = fitted[case], CASES[case][1]
    found = list(detector.explain(data, only={41, 3, 7000}))
    everything = list(detector.explain(data))
    assert [each.name for each in found] == [everything[3].name, everything[41].name]
    assert [each.score for each in found] == pytest.approx([everything[3].score, everything[41].score], rel=1e-12)
    assert list(detector.explain(data, only=set())) == []


def layout(detector: Estimator) -> dict[str, tuple[int, ...]]:
    """How the numbers of the model lie in memory."""
    return {name: value.stride() for name, value in detector.scorer_.model.state_dict().items()}


@pytest.mark.parametrize("case", KEEPING)
def test_a_loaded_or_copied_detector_explains_the_same(fitted: dict[str, Estimator], case: str, tmp_path: Path) -> None:
    detector, data = fitted[case], CASES[case][1]
    detector.save(tmp_path / "m")
    wanted = [each.as_json() for each in detector.explain(data, only={5})]
    assert wanted[0]["items"][0]["neighbours"]
    for other in (load(tmp_path / "m"), pickle.loads(pickle.dumps(detector))):  # noqa: S301
        assert layout(other) == layout(detector)  # or sums would differ in their last bits, on some machines
        assert [each.as_json() for each in other.explain(data, only={5})] == wanted
        other.save(tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


def test_explain_is_lazy_and_refuses_a_negative_number_at_once(fitted: dict[str, Estimator]) -> None:
    detector = fitted["table"]
    with pytest.raises(OptionError, match="items must be 0 or more"):
        detector.explain(TABLE, items=-1)
    found = detector.explain(TABLE, items=0)
    assert isinstance(found, Iterator)
    assert next(found).items == ()


def test_frames_are_explained_before_the_video_ends(fitted: dict[str, Estimator], tmp_path: Path) -> None:
    detector = fitted["video"]
    assert isinstance(detector, VideoMemAE)
    seen = 0

    def frames(path: Path, **_: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        nonlocal seen
        for frame in torch.from_numpy(VIDEO[0]).repeat(10, 1, 1):
            seen += 1
            yield frame[None, None], torch.tensor([seen / 25], dtype=torch.float64)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(videos, "frame_blocks", frames)
        patch.setattr(videos, "find_videos", lambda _: [tmp_path])
        patch.setattr(videos, "ahead", iter)
        next(detector.explain(tmp_path))
    assert seen <= detector.delay + detector.scorer_.chunk < 10 * len(VIDEO[0])


# ------------------------------------------------------------------------------------------------------------- tables


def test_contributions_are_told_in_the_users_columns(fitted: dict[str, Estimator]) -> None:
    detector = fitted["table"]
    assert isinstance(detector, TabularMemAE)
    odd = TABLE.head(4).copy()
    odd["n"] = odd["n"].astype(float)
    odd.loc[0, "shop"], odd.loc[1, "tax"], odd.loc[2, "n"] = "elsewhere", 40.0, np.nan
    found = list(detector.explain(odd))
    sums = detector.contributions(odd)
    for place, each in enumerate(found):
        assert each.name == f"row {place}"
        assert sorted(part.column for part in each.contributions) == sorted(TABLE.columns)
        shares = {part.column: part.share for part in each.contributions}
        total = sums.iloc[place].sum()
        assert shares == pytest.approx((sums.iloc[place] / total).to_dict())
        assert sum(shares.values()) == pytest.approx(1)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
        np.testing.assert_allclose(each.error_map, sums.iloc[place])
    first, second, third = (each.contributions for each in found[:3])
    assert (first[0].column, first[0].value) == ("shop", "elsewhere")
    assert first[0].expected in ("a", "b")
    assert (second[0].column, second[0].value) == ("tax", 40.0)
    assert isinstance(second[0].expected, float)
    given = {part.column: part.value for part in third}
    assert given["n"] is None
    assert given["amount"] == odd.loc[2, "amount"]
    assert isinstance({part.column: part.value for part in next(detector.explain(TABLE)).contributions}["n"], int)


@pytest.mark.parametrize(("n_items", "off"), [(200, 0.25), (None, 1.5)])
def test_a_value_is_expected_as_the_others_say(n_items: int | None, off: float) -> None:
    """Tax is a fifth of the amount: given another, that is what is restored; of kept rows, those that are near both."""
    detector = TabularMemAE(n_items).fit(rows(500, 1).drop(columns=["shop", "code", "n"]))
    for amount in (8.0, 12.0):
        (found,) = detector.explain(pd.DataFrame({"amount": [amount], "tax": [4.9]}))
        tax = next(part for part in found.contributions if part.column == "tax")
        assert tax.value == 4.9
        assert tax.expected == pytest.approx(amount / 5, abs=off)


def test_items_of_rows_are_rows(fitted: dict[str, Estimator]) -> None:
    for each in fitted["table"].explain(TABLE.head(20)):
        for item in each.items:
            told = dict(item.row)
            assert list(told) == list(TABLE.columns)
            assert told["shop"] in ("a", "b", "(other)")
            assert told["code"] in ("u", "v", "(other)", None)
            assert all(neighbour.thumbnail is None for neighbour in item.neighbours)


def test_rows_of_a_file_are_explained_chunk_by_chunk(
    fitted: dict[str, Estimator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    chunks = tables_module.table_chunks
    monkeypatch.setattr(tables_module, "table_chunks", lambda path, **more: chunks(path, 64, **more))
    found = list(fitted["table"].explain(tmp_path / "t.csv"))
    wanted = list(fitted["table"].explain(TABLE))
    assert [each.name for each in found] == [each.name for each in wanted]
    assert [each.score for each in found] == pytest.approx([each.score for each in wanted], rel=1e-12)
    assert [each.contributions[0].value for each in found] == [each.contributions[0].value for each in wanted]


# -------------------------------------------------------------------------------------------- the samples that are kept


def nearest(detector: Estimator, candidates: torch.Tensor) -> np.ndarray[Any, Any]:
    """Positions of the three candidates nearest to each item."""
    return likeness(detector.scorer_, candidates).T.argsort(1, descending=True)[:, :3].numpy()


def test_neighbours_of_an_item_are_the_nearest_training_rows() -> None:
    detector = table().fit(TABLE)
    assert detector.examples_ is not None
    index = np.array([int(name.removeprefix("row ")) for name in detector.examples_.names])
    drawn = index[detector.examples_.index.numpy()]
    cosines = likeness(detector.scorer_, detector.encode(TABLE)).numpy()
    for item, found in enumerate(drawn):
        np.testing.assert_allclose(detector.examples_.distance[item], 1 - cosines[found, item], atol=1e-6)
    held = set(range(200)) - set(detector._split(range(200))[0].index.tolist())
    assert not held & set(index.tolist())
    trained = np.array(sorted(set(range(200)) - held))
    best = trained[nearest(detector, detector.encode(TABLE.iloc[trained]))]
    np.testing.assert_allclose(
        np.take_along_axis(cosines.T, best, 1), np.take_along_axis(cosines.T, drawn, 1), atol=1e-6
    )


def test_rows_left_out_as_anomalous_do_not_shift_the_numbers() -> None:
    odd = pd.concat([TABLE.assign(amount=1e5).head(8), TABLE], ignore_index=True)
    detector = table(contamination=0.05).fit(odd)
    assert detector.examples_ is not None
    numbers = [int(name.removeprefix("row ")) for name in detector.examples_.names]
    assert min(numbers) >= 8
    codes = likeness(detector.scorer_, detector.encode(odd)).numpy()
    index = np.array(numbers)[detector.examples_.index.numpy()]
    np.testing.assert_allclose(
        1 - np.take_along_axis(codes.T, index, 1), detector.examples_.distance.numpy(), atol=1e-6
    )


def test_a_table_that_streams_keeps_its_own_row_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    monkeypatch.setattr(tabular_module, "IN_MEMORY", 0)
    detector = table().fit(tmp_path / "t.csv")
    assert detector.examples_ is not None
    index = np.array([int(name.removeprefix("row ")) for name in detector.examples_.names])
    cosines = likeness(detector.scorer_, next(iter(detector._raw(tmp_path / "t.csv")))).numpy()
    found = np.take_along_axis(cosines.T, index[detector.examples_.index.numpy()], 1)
    np.testing.assert_allclose(1 - found, detector.examples_.distance.numpy(), atol=1e-6)


def write_images(folder: Path) -> Path:
    for place, pixels in enumerate(IMAGES):
        path = folder / ("good" if place % 2 else "fine") / f"{place:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def test_thumbnails_are_small_pictures_of_the_images_that_are_named(tmp_path: Path) -> None:
    detector = image().fit(write_images(tmp_path / "parts"))
    kept = detector.examples_
    assert kept is not None
    assert kept.thumbnails is not None
    assert kept.thumbnails.shape[1:] == (1, 48, 11)
    assert kept.thumbnails.dtype == torch.uint8
    assert len(set(kept.names)) == len(kept.names) == len(kept.thumbnails)
    for name, thumbnail in zip(kept.names, kept.thumbnails, strict=True):
        folder, number = Path(name).parent.name, int(Path(name).stem)
        assert folder == ("good" if number % 2 else "fine")
        wanted = resize(torch.from_numpy(IMAGES[number])[None], (48, 11))
        assert (thumbnail.int() - wanted.int()).abs().max() <= 1
    listed = image(false_alarm_rate=0.2).fit(sorted((tmp_path / "parts" / "good").iterdir()))
    assert listed.examples_ is not None
    assert all(name.endswith(".png") and "/" not in name for name in listed.examples_.names)
    assert tmp_path.name not in str(kept.names)  # a model file does not tell where the images lay


def write_videos(folder: Path) -> Path:
    for name, frames in zip(("Train001", "Train002"), VIDEO, strict=True):
        (folder / name).mkdir(parents=True)
        for place, pixels in enumerate(frames):
            Image.fromarray(pixels).save(folder / name / f"{place:03d}.png")
    return folder


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("more", [{}, IN_TIME])
def test_thumbnails_of_video_are_the_frames_that_are_named(
    streams: bool, more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if streams:
        monkeypatch.setattr(video_module, "IN_MEMORY", 0)
    detector = video(**more).fit(write_videos(tmp_path))
    kept = detector.examples_
    assert kept is not None
    assert kept.thumbnails is not None
    videos = dict(zip(("Train001", "Train002"), VIDEO, strict=True))
    for name, thumbnail in zip(kept.names, kept.thumbnails, strict=True):
        video_name, _, number = name.split(" ")
        assert (thumbnail[0].numpy() == videos[video_name][int(number)]).all()
    assert {name.split()[0] for name in kept.names} == {"Train001", "Train002"}


def test_a_single_folder_of_frames_is_called_by_its_name(tmp_path: Path) -> None:
    folder = write_videos(tmp_path) / "Train001"
    detector = video().fit(folder)
    assert detector.examples_ is not None
    assert all(name.startswith("Train001 frame ") for name in detector.examples_.names)


@pytest.mark.parametrize(("make", "data"), [(table, TABLE), (image, IMAGES), (video, VIDEO)])
def test_keeping_samples_changes_nothing_else(make: Any, data: Any) -> None:
    one, other = make(keep_examples=True).fit(data), make(keep_examples=False).fit(data)
    assert one.examples_ is not None
    assert other.examples_ is None
    assert other.examples_ is None
    np.testing.assert_array_equal(one.anomaly_score(data), other.anomaly_score(data))
    for name, value in one.scorer_.state_dict().items():
        assert torch.equal(value, other.scorer_.state_dict()[name])


def test_tables_keep_no_sample_unless_asked(tmp_path: Path) -> None:
    assert TabularMemAE().keep_examples is False
    assert ImageMemAE().keep_examples is VideoMemAE().keep_examples is True
    detector = table(keep_examples=False).fit(TABLE)
    detector.save(tmp_path / "m")
    assert b"row 1" not in (tmp_path / "m").read_bytes()
    assert all(item.neighbours == () for each in detector.explain(TABLE.head(3)) for item in each.items)


def test_an_update_names_no_rows_of_another_table() -> None:
    detector = table().fit(TABLE)
    updated = detector.update(rows(200, 5).assign(tax=2.0))
    assert detector.examples_ is not None
    assert updated.examples_ is None
    assert next(updated.explain(TABLE)).items[0].neighbours == ()


# --------------------------------------------------------------------------------------------------- names and pictures


def test_samples_are_named_as_the_user_knows_them(fitted: dict[str, Estimator], tmp_path: Path) -> None:
    def first(found: Iterator[Evidence]) -> str:
        return next(found).name

    parts, films = write_images(tmp_path / "parts"), write_videos(tmp_path / "films")
    assert first(fitted["image"].explain(IMAGES)) == "image 0"
    assert first(fitted["image"].explain(parts)) == str(parts / "fine" / "000.png")
    assert first(fitted["video"].explain(VIDEO)) == "video 0 frame 0"
    assert first(fitted["video"].explain(films)) == f"{films / 'Train001'} frame 0"
    assert [each.name for each in fitted["video"].explain(VIDEO, only={39, 40})] == [
        "video 0 frame 39",
        "video 1 frame 0",
    ]


@pytest.mark.parametrize("case", ["video", "video in time"])
def test_the_sample_of_a_frame_is_the_frame(fitted: dict[str, Estimator], case: str) -> None:
    pixels = np.concatenate(VIDEO)
    for place, each in enumerate(fitted[case].explain(VIDEO)):
        assert (each.sample[0].numpy() == pixels[place]).all()
        assert each.error_map.shape == each.sample.shape == each.reconstruction.shape
        assert each.heat is not None
        assert (each.motion is None) == (case == "video in time")


# ------------------------------------------------------------------------------------------------ discoveries and drift


def test_discoveries_judge_the_whole_batch(fitted: dict[str, Estimator]) -> None:
    detector = fitted["table"]
    odd = pd.concat([TABLE.head(60), TABLE.assign(amount=500.0).tail(40)])
    found = detector.discoveries(odd, 0.2)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, discoveries(torch.from_numpy(detector.p_value(odd)), 0.2).numpy())
    assert found[60:].all()


def test_drift_tells_normal_rows_from_moved_ones(fitted: dict[str, Estimator]) -> None:
    detector = table(held_out=0.4).fit(rows(600, 1))
    assert detector.drift(rows(300, 2)).verdict == "like"
    moved = detector.drift(rows(300, 3).assign(amount=lambda table: table.amount + 3))
    assert moved.verdict == "higher"
    assert moved.samples == moved.independent == 300
    assert fitted["video"].drift(VIDEO).independent < 70
