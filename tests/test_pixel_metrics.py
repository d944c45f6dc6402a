"""Pixel AUROC and per-region overlap, against the definitions."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, label
from sklearn.metrics import roc_auc_score

from memae.errors import InputError, OptionError
from memae.metrics import PixelTally, pixel_auroc, pro

small = st.lists(
    st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=6, max_size=6).map(
        lambda pairs: ([label for label, _ in pairs], [float(value) for _, value in pairs])
    ),
    min_size=2,
    max_size=5,
).filter(lambda photos: 0 < sum(sum(mask) for mask, _ in photos) < 6 * len(photos))


def pairs(photos):
    return [np.reshape(mask, (2, 3)) for mask, _ in photos], [np.reshape(values, (2, 3)) for _, values in photos]


def shares_above(values, thresholds):
    """The share of values that reach each threshold."""
    return 1 - np.searchsorted(np.sort(values), thresholds) / len(values)


def pro_by_definition(masks, maps, limit):
    """The curve of mean overlaps over false-positive rates, one threshold after another."""
    regions, normal = [], np.concatenate([np.asarray(values)[~mask] for mask, values in zip(masks, maps, strict=True)])
    for mask, values in zip(masks, maps, strict=True):
        numbered, count = label(mask, np.ones((3, 3)))
        regions += [values[numbered == number] for number in range(1, count + 1)]
    thresholds = np.unique(np.concatenate([np.ravel(values) for values in maps]))[::-1]
    rates, *found = (np.append(0.0, shares_above(each, thresholds)) for each in (normal, *regions))
    overlaps = np.mean(found, axis=0)
    kept = rates < limit
    x, y = np.append(rates[kept], limit), np.append(overlaps[kept], np.interp(limit, rates, overlaps))
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum() / limit)


@given(small, st.sampled_from([0.1, 0.3, 1.0]))
def test_figures_are_those_of_the_definitions_with_ties(photos, limit):
    masks, maps = pairs(photos)
    truth, values = np.concatenate([mask.ravel() for mask in masks]), np.concatenate([each.ravel() for each in maps])
    assert pixel_auroc(masks, maps) == pytest.approx(roc_auc_score(truth, values))
    assert pro(masks, maps, limit) == pytest.approx(pro_by_definition(masks, maps, limit))


def photos(count, sizes=((40, 60), (50, 30)), *, seed=0):
    """Smooth maps of photos of several sizes, a little higher on two defects."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        size = sizes[index % len(sizes)]
        mask = np.zeros(size, dtype=bool)
        mask[5:12, 8:20], mask[20:22, 3:6] = index % 3 > 0, index % 2 > 0
        noise = gaussian_filter(rng.normal(0, 1, size), 2)
        yield mask, (4 + noise + 0.25 * gaussian_filter(mask.astype(float), 2)).astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, -3.9, 1e4])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_bins_change_figures_by_less_than_they_promise(offset, scale):
    masks, maps = zip(*photos(30), strict=True)
    maps = [(each.astype(np.float64) + offset) * scale for each in maps]
    truth, values = np.concatenate([mask.ravel() for mask in masks]), np.concatenate([each.ravel() for each in maps])
    tally = PixelTally(float(np.median(maps[0])))
    for mask, each in zip(masks, maps, strict=True):
        tally.add(mask, each)
    promised = (tally.normal * tally.defective).sum() / tally.normal.sum() / tally.defective.sum() / 2
    assert promised < 1e-3
    assert abs(tally.auroc() - roc_auc_score(truth, values)) <= min(promised, 2e-5)
    assert pro(masks, maps) == pytest.approx(pro_by_definition(masks, maps, 0.3), abs=2e-4)


def test_a_photo_without_a_mask_is_one_without_defects():
    masks, maps = zip(*photos(4), strict=True)
    bare = [mask if mask.any() else None for mask in masks]
    assert None in bare
    for figure in (pixel_auroc, pro):
        assert figure(bare, maps) == figure(masks, maps)


def test_each_region_counts_the_same_whatever_its_size():
    mask = np.zeros((10, 40), dtype=bool)
    mask[:5, :20], mask[9, 39] = True, True
    values = np.where(mask, 1.0, 0.0)
    values[9, 39] = 0.0  # the small one is missed: it is found only together with all normal pixels
    assert pixel_auroc([mask], [values]) > 0.99
    assert pro([mask], [values], 0.3) == pytest.approx(0.5 + 0.5 * 0.15)


def test_diagonal_neighbours_are_one_region():
    tally = PixelTally(0.0)
    tally.add(np.eye(4, dtype=bool), np.zeros((4, 4)))
    assert tally.regions == 1
    assert tally.overlap.sum() == pytest.approx(1.0)


def test_tallies_add_up_to_that_of_all_photos():
    one, other, both = (PixelTally(4.0) for _ in range(3))
    for index, (mask, values) in enumerate(photos(6)):
        (one if index < 2 else other).add(mask, values)
        both.add(mask, values)
    assert (one + other).auroc() == pytest.approx(both.auroc())
    assert (one + other).pro() == pytest.approx(both.pro())
    with pytest.raises(InputError, match=r"one middle.*4\.0 and 0\.0"):
        _ = one + PixelTally(0.0)


def test_many_photos_take_seconds_and_the_memory_of_one():
    """Twelve photos of a megapixel: maps may be made on the way."""
    rng = np.random.default_rng(0)
    values = [rng.random((1000, 1000), np.float32) for _ in range(2)]
    mask = values[0] > 0.999
    started = time.process_time()
    tracemalloc.start()
    figure = pixel_auroc((mask for _ in range(12)), (values[index % 2] for index in range(12)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.5 < figure < 1
    assert time.process_time() - started < 8
    assert peak < 150 * 2**20


@pytest.mark.parametrize(
    ("mask", "values", "word"),
    [
        (None, np.zeros(3), r"\(h, w\).*got \(3,\)"),
        (None, np.zeros((0, 3)), "at least one pixel"),
        (None, np.full((2, 2), np.nan), "finite"),
        (np.zeros((2, 3), dtype=bool), np.zeros((3, 2)), r"mask is \(h, w\) = \(2, 3\) and the map \(3, 2\)"),
        (None, np.zeros((2, 2)), "no pixel is defective"),
        (np.ones((2, 2), dtype=bool), np.zeros((2, 2)), "no pixel is normal"),
    ],
)
def test_what_cannot_be_judged_is_refused(mask, values, word):
    for figure in (pixel_auroc, pro):
        with pytest.raises(InputError, match=word):
            figure([mask], [values])


def test_no_photos_are_refused():
    with pytest.raises(InputError, match="no pixel is normal"):
        pixel_auroc([], [])


@pytest.mark.parametrize("limit", [0.0, 1.1, -1.0, float("nan")])
def test_limits_are_rates(limit):
    with pytest.raises(OptionError, match="limit must be"):
        pro(*zip(*photos(3), strict=True), limit)
