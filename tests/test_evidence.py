"""Evidence of one scorer: items, decoded, nearest samples, p-value, maps, and all of it as JSON and pictures."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from tests.scorers import untrained

from memae import pictures
from memae.evidence import Cell, Contribution, Evidence, Examples, Explainer, Item, Neighbour, heat, likeness, plain
from memae.kinds.following import FrameScore, ScoredClip, Seen
from memae.kinds.videos import frame_evidence
from memae.pretext.speeds import SpeedSpec
from memae.scoring import decoded_items
from memae.scoring.calibration import Calibration
from memae.spec import MemorySpec, Spec

SPECS = {
    "table": Spec((5,), (4, 3), memory=MemorySpec(6, temperature=0.2)),
    "image": Spec((1, 8, 8), (4, 2), ((2, 2), (2, 2)), memory=MemorySpec(6, temperature=0.2)),
    "positions": Spec((1, 8, 8), (4, 2), ((2, 2), (2, 2)), memory=MemorySpec(6, temperature=0.2, per_position=True)),
    "paced": Spec(
        (1, 3, 8, 8),
        (4, 5),
        ((2, 2), (2, 2)),
        MemorySpec(6, temperature=0.2, per_position=True),
        pretext=SpeedSpec((1, 2)),
    ),
    "in_time": Spec((1, 4, 8, 8), (4, 5), ((2, 2, 2), (2, 2, 2)), MemorySpec(6, temperature=0.2, per_position=True)),
    "plain": Spec((5,), (3,)),
}
WITH_ITEMS = [kind for kind in SPECS if kind != "plain"]


def scorer_of(kind, chunk=4, **more):
    torch.manual_seed(1)
    spec = SPECS[kind]
    shape = spec.shape if len(spec.shape) == 1 else ()
    calibration = Calibration(torch.linspace(0, 100, 99), 0.1)
    center, scale = torch.full(shape, 3.0), torch.full(shape, 2.0)
    return untrained(spec, center, scale, calibration=calibration, chunk=chunk, **more).eval()


def raw_of(kind, count=3, seed=0):
    return 3 + 2 * torch.rand(count, *SPECS[kind].shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", SPECS)
def test_score_p_value_and_map_are_those_of_the_scorer(kind):
    scorer, raw = scorer_of(kind), raw_of(kind)
    (scores,) = scorer.batched([raw])
    found = Explainer(scorer).batch(raw, ["a", "b", "c"])
    assert [each.name for each in found] == ["a", "b", "c"]
    for place, each in enumerate(found):
        assert each.score == float(scores.score[place])
        assert each.p_value == float(scorer.calibration.p_value(scores.score[place]))
        assert each.threshold == scorer.calibration.threshold()
        assert each.is_anomaly == (each.score > each.threshold)
        assert torch.equal(each.sample, raw[place])
        assert torch.equal(each.error_map, scores.error_map[place])
        assert torch.equal(each.reconstruction, scores.x_hat[place])


@pytest.mark.parametrize("kind", WITH_ITEMS)
def test_items_are_the_heaviest_ones_mean_over_positions(kind):
    scorer, raw = scorer_of(kind), raw_of(kind)
    weights = scorer.addressed(raw).weights
    wanted = weights.reshape(3, 6, -1).mean(2)
    for each, row in zip(Explainer(scorer, items=2).batch(raw, "abc"), wanted, strict=True):
        assert len(each.items) <= 2
        order = row.argsort(descending=True)[: len(each.items)]
        assert [item.number for item in each.items] == order.tolist()
        assert [item.weight for item in each.items] == pytest.approx(row[order].tolist())
        assert all(item.neighbours == () for item in each.items)
    for each in Explainer(scorer, items=99).batch(raw, "abc"):
        assert sum(item.weight for item in each.items) == pytest.approx(1, abs=1e-5)
        assert all(item.weight > 0 for item in each.items)


@pytest.mark.parametrize("kind", ["table", "image"])
def test_whole_codes_are_decoded_and_those_of_positions_are_not(kind):
    scorer = scorer_of(kind)
    everything = decoded_items(scorer)
    (each,) = Explainer(scorer).batch(raw_of(kind, 1), ["a"])
    assert each.items
    for item in each.items:
        assert torch.allclose(item.decoded, everything[item.number])
    assert torch.equal(decoded_items(scorer, torch.tensor([4, 1])), everything[[4, 1]])
    (other,) = Explainer(scorer_of("positions")).batch(raw_of("positions", 1), ["a"])
    assert all(item.decoded is None for item in other.items)


def test_without_memory_or_interest_there_are_no_items():
    assert all(each.items == () for each in Explainer(scorer_of("plain")).batch(raw_of("plain"), "abc"))
    assert all(each.items == () for each in Explainer(scorer_of("image"), items=0).batch(raw_of("image"), "abc"))


@pytest.mark.parametrize("kind", WITH_ITEMS)
def test_likeness_is_the_highest_cosine_of_any_position(kind):
    scorer, raw = scorer_of(kind), raw_of(kind)
    with torch.no_grad():
        codes = scorer.model.encode(scorer.normalise(raw)).reshape(3, scorer.model.memory.items.shape[1], -1).numpy()
        items = scorer.model.memory.items.detach().numpy()
    wanted = np.full((3, 6), -np.inf)
    for sample, code in enumerate(codes):
        for number, item in enumerate(items):
            for position in code.T:
                cosine = position @ item / np.linalg.norm(position) / np.linalg.norm(item)
                wanted[sample, number] = max(wanted[sample, number], cosine)
    np.testing.assert_allclose(likeness(scorer, raw).numpy(), wanted, atol=1e-5)


def test_of_films_longer_than_a_clip_the_middle_counts():
    scorer, film = scorer_of("paced"), 3 + torch.rand(2, 1, 7, 8, 8)
    assert torch.equal(likeness(scorer, film), likeness(scorer, film[:, :, 2:5]))


def test_neighbours_are_those_of_the_item():
    examples = Examples(
        torch.tensor([[1, 0], [0, 2]]), torch.tensor([[0.1, 0.2], [0.3, 0.4]]), ("a", "b", "c"), torch.ones(3, 1, 2, 2)
    )
    first, second = examples.of(1)
    assert (first.sample, second.sample) == ("a", "c")
    assert second.distance == pytest.approx(0.4)
    assert first.thumbnail.shape == (1, 2, 2)
    assert Examples(torch.tensor([[0]]), torch.tensor([[0.5]]), ("row 3",)).of(0) == (Neighbour("row 3", 0.5, None),)


# --------------------------------------------------------------------------------------------------- frames and maps


def seen_in(clip, scores, place):
    """A frame of a clip as `memae.kinds.following` has it."""
    shown = scores.error_map[0][:, min(place, scores.error_map.shape[2] - 1)]
    if scores.error_map.ndim == 4:  # a map of places, for all frames of the clip
        shown = scores.error_map[0]
    judged = ScoredClip(clip, 7.0, scores.error_map[0], scores.x_hat[0], None)
    return Seen(FrameScore("f", place, place / 25, 7.0, shown), clip[:, place], place, judged)


def test_a_frame_of_a_paced_clip_shows_motion_in_grey_levels():
    scorer = scorer_of("paced")
    clip = raw_of("paced", 1)[0]
    (scores,) = scorer.batched([clip[None]])
    found = frame_evidence(Explainer(scorer), "film frame 1", 7.0, seen_in(clip, scores, 1), ())
    torch.testing.assert_close(found.motion, clip[:, 2] - clip[:, 1])
    # what the network restores is the motion of normalised frames, four times as large
    torch.testing.assert_close(found.reconstruction, scores.x_hat[0, -1:] * 2 / 4)
    last = frame_evidence(Explainer(scorer), "film frame 2", 7.0, seen_in(clip, scores, 2), ())
    torch.testing.assert_close(last.motion, found.motion)  # the last frame has no next one
    assert torch.equal(last.sample, clip[:, 2])
    assert [name for name, _ in found.shown] == ["sample", "motion", "reconstruction", "error_map"]


def test_a_frame_of_a_clip_in_time_shows_its_own_reconstruction():
    scorer = scorer_of("in_time")
    clip = raw_of("in_time", 1)[0]
    (scores,) = scorer.batched([clip[None]])
    found = frame_evidence(Explainer(scorer), "f", 7.0, seen_in(clip, scores, 3), ())
    assert found.motion is None
    assert torch.equal(found.reconstruction, scores.x_hat[0][:, 3])


@pytest.mark.parametrize("reduction", ["sum", "absolute"])
def test_heat_is_half_of_the_full_range_at_its_brightest(reduction):
    scorer = scorer_of("image", reduction=reduction)
    error = torch.full((2, 1, 8, 8), 0.25 if reduction == "sum" else 0.5)  # half of the range, squared
    assert torch.equal(heat(scorer, error), torch.ones(2, 8, 8))


def test_heat_of_a_score_of_each_place_is_half_at_the_threshold():
    scorer = scorer_of("paced")
    found = heat(scorer, torch.full((1, 4, 4), scorer.calibration.threshold()))
    assert torch.equal(found, torch.full((4, 4), 0.5))


# ---------------------------------------------------------------------------------------------------- JSON, pictures


def decoded_url(url):
    head, data = url.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_json_of_a_picture_holds_its_pixels():
    scorer = scorer_of("image")
    examples = Examples(
        torch.zeros(6, 1, dtype=torch.int32), torch.full((6, 1), 0.25), ("good/1.png",), torch.full((1, 1, 3, 2), 77)
    )
    raw = torch.tensor([3.0, 4.0, 5.0, 9.0]).repeat(16).reshape(1, 1, 8, 8)  # black is 3, white 5
    (each,) = Explainer(scorer, examples).batch(raw, ["new/1.png"])
    told = json.loads(json.dumps(each.as_json()))
    assert decoded_url(told["sample"])[0, :4].tolist() == [0, 128, 255, 255]
    np.testing.assert_array_equal(decoded_url(told["reconstruction"]), each.picture(each.reconstruction))
    assert decoded_url(told["error_map"]).shape == (8, 8, 3)
    assert told["motion"] is None
    assert told["contributions"] == []
    assert (told["name"], told["score"], told["is_anomaly"]) == ("new/1.png", each.score, each.is_anomaly)
    item = told["items"][0]
    assert decoded_url(item["decoded"]).shape == (8, 8)
    assert item["neighbours"][0]["sample"] == "good/1.png"
    assert decoded_url(item["neighbours"][0]["thumbnail"]).tolist() == [[77, 77]] * 3


def test_json_of_a_row_holds_values_and_no_pictures():
    item = Item(3, 0.5, torch.zeros(2), (Neighbour("row 1", 0.5, None),), (Cell("a", 1.5), Cell("b", None)))
    told = (Contribution("b", None, "x", 0.75), Contribution("a", np.int64(2), float("nan"), 0.25))
    row = Evidence(
        "row 9", 2.0, 0.01, float("inf"), False, torch.zeros(2), torch.zeros(2), torch.zeros(2), (item,), told
    )
    assert row.shown == ()
    assert json.loads(json.dumps(row.as_json(), allow_nan=False)) == {
        "name": "row 9",
        "score": 2.0,
        "p_value": 0.01,
        "threshold": None,
        "is_anomaly": False,
        "contributions": [
            {"column": "b", "value": None, "expected": "x", "share": 0.75},
            {"column": "a", "value": 2, "expected": None, "share": 0.25},
        ],
        "items": [
            {
                "number": 3,
                "sample": None,
                "weight": 0.5,
                "decoded": {"a": 1.5, "b": None},
                "neighbours": [{"sample": "row 1", "distance": 0.5, "thumbnail": None}],
            }
        ],
        "sample": None,
        "motion": None,
        "reconstruction": None,
        "error_map": None,
    }


@pytest.mark.parametrize(
    ("value", "told"),
    [(np.float64(2.5), 2.5), (np.bool_(True), True), ("a", "a"), (b"a", "b'a'"), (float("inf"), None)],
)
def test_values_of_a_table_become_those_of_json(value, told):
    found = plain(value)
    assert found == told
    assert type(found) is type(told)


def test_pictures_keep_colours_and_clip_what_lies_outside():
    pixels = pictures.drawn(torch.tensor([-1.0, 0.5, torch.nan]).reshape(3, 1, 1), 0.0, 1.0)
    assert pixels.tolist() == [[[0, 128, 255]]]
    assert np.asarray(Image.open(io.BytesIO(pictures.png(pixels)))).tolist() == pixels.tolist()
    assert pictures.heated(torch.tensor([[0.0, 7.0, torch.nan]])).tolist() == [[[0, 0, 0], *[[252, 255, 164]] * 2]]
