"""Regions of a map, and photos under their maps."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memae.errors import InputError, OptionError
from memae.pictures import overlaid
from memae.regions import Region, above, boxes

maps = st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=1, max_size=5).map(
    lambda rows: np.array(rows, dtype=np.float32)
)


@given(maps, st.integers(-1, 4))
def test_regions_are_all_pixels_above_the_threshold_once(heat, threshold):
    found = boxes(heat, threshold)
    assert sum(region.area for region in found) == above(heat, threshold).sum() == (heat > threshold).sum()
    assert [region.peak for region in found] == sorted((region.peak for region in found), reverse=True)
    for region in found:
        inside = heat[region.top : region.bottom, region.left : region.right]
        assert (inside == region.peak).any()
        assert region.peak > threshold
        hot = inside > threshold
        assert all(edge.any() for edge in (hot[0], hot[-1], hot[:, 0], hot[:, -1]))  # no box is too large


def test_corners_connect_and_rings_do_not_fill():
    heat = np.zeros((8, 8))
    heat[[0, 1, 2], [0, 1, 2]] = [1.0, 3.0, 2.0]
    heat[4:, 4:] = 1.0
    heat[5:7, 5:7] = 0.0
    assert boxes(heat, 0.5) == (Region(0, 0, 3, 3, 3.0, 3), Region(4, 4, 8, 8, 1.0, 12))


def test_specks_stay_unless_a_least_area_is_given():
    heat = np.zeros((6, 6))
    heat[0, 0], heat[3:5, 3:5] = 9.0, 2.0
    assert [region.area for region in boxes(heat, 1.0)] == [1, 4]
    assert [region.area for region in boxes(heat, 1.0, least=2)] == [4]
    assert boxes(heat, 10.0) == boxes(heat, np.inf) == ()


def test_regions_are_ready_for_json():
    (region,) = boxes(np.array([[0.0, 0.75]], dtype=np.float32), 0.5)
    assert json.loads(json.dumps(region.as_json())) == {
        "top": 0, "left": 1, "bottom": 1, "right": 2, "peak": 0.75, "area": 1,
    }  # fmt: skip


def test_a_value_that_is_not_a_number_is_anomalous():
    assert above(np.array([[np.nan, 0.0]]), 1.0).tolist() == [[True, False]]
    (region,) = boxes(np.array([[np.nan, 0.0]]), 1.0)
    assert np.isnan(region.peak)
    assert region.as_json()["peak"] is None


def test_what_has_no_regions_is_refused():
    with pytest.raises(InputError, match=r"\(h, w\); got \(1, 2, 2\)"):
        boxes(np.zeros((1, 2, 2)), 0.5)
    with pytest.raises(OptionError, match="NaN"):
        boxes(np.zeros((2, 2)), float("nan"))
    with pytest.raises(OptionError, match=r"least must be.*got 0"):
        boxes(np.zeros((2, 2)), 0.5, least=0)


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_a_photo_stays_where_it_is_normal_and_boxes_are_seen_on_any_ground(ground):
    photo = np.full((300, 400), ground, dtype=np.uint8)
    heat = np.full((300, 400), 0.2)
    heat[100:150, 200:280] = 1.0
    shown = overlaid(photo, heat, boxes(heat, 0.5))
    assert (shown.shape, shown.dtype) == ((300, 400, 3), np.uint8)
    assert (shown[:90] == ground).all()
    assert (shown[110:140, 210:270] != ground).any(2).all()
    row = shown[125, 190:200].astype(int).mean(1)  # across the left line
    assert {0, 255} <= set(row.tolist())
    assert (shown[125, 203:277].max(1) > shown[125, 203:277].min(1)).all()  # coloured: no line over the region


def test_boxes_at_the_edges_stay_within_the_photo():
    photo, heat = np.full((20, 30, 3), 90, dtype=np.uint8), np.ones((20, 30))
    shown = overlaid(photo, heat, boxes(heat, 0.5))
    assert shown.shape == photo.shape
    assert (overlaid(photo, np.zeros((5, 5))) == photo).all()


def test_large_photos_are_blended_in_bands_as_small_ones_are():
    rng = np.random.default_rng(0)
    photo, heat = rng.integers(0, 256, (600, 8, 3), dtype=np.uint8), rng.random((600, 8))
    assert (overlaid(photo, heat)[300:400] == overlaid(photo[250:450], heat[250:450])[50:150]).all()


@pytest.mark.parametrize("shape", [(4,), (4, 4, 4), (4, 4, 1)])
def test_photos_are_grey_or_rgb(shape):
    with pytest.raises(InputError, match="grey or RGB"):
        overlaid(np.zeros(shape, dtype=np.uint8), np.zeros((4, 4)))
