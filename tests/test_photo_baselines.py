"""The compared methods for photos, each against its formula computed plainly."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.covariance import LedoitWolf
from torch.nn import functional

from reproduction.baselines.padim import REGULAR, PaDiM
from reproduction.baselines.patchcore import NEIGHBOURS, PatchCore, coreset
from reproduction.baselines.photos import joined, kept_bytes, pooled, smoothed
from reproduction.baselines.pooled import PooledGaussian, PooledNeighbours


def features(tiles):
    """Means of blocks of 4 pixels and maxima of blocks of 8: 3 and 2 channels."""
    return functional.avg_pool2d(tiles, 4), functional.max_pool2d(tiles[:, :2], 8)


def photos(count, seed, spot=0.0):
    """Noise `(count, 3, 16, 16)`, with a bright spot at the top left if `spot`."""
    tiles = torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 100
    tiles[:, :, :4, :4] += spot
    return tiles


NORMAL = photos(40, 0)
BATCHES = torch.split(NORMAL, 16)
MAKERS = [PaDiM, PatchCore, PooledGaussian, PooledNeighbours]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_spot_is_found_in_any_batch(make):
    detector = make(features).fit(BATCHES)
    test = torch.cat([photos(10, 1), photos(10, 2, spot=100.0)])
    found = detector.located(test)
    assert found.score.dtype == np.float64
    assert found.score[10:].min() > found.score[:10].max()
    alone = [detector.located(tile[None]) for tile in test]
    np.testing.assert_allclose(np.concatenate([each.score for each in alone]), found.score, rtol=1e-4)
    assert kept_bytes(detector) > 0
    if found.maps is not None:
        assert found.maps.shape == (20, 16, 16)
        for normal, spotted in zip(found.maps[:10], found.maps[10:], strict=True):
            assert spotted[:8, :8].mean() > normal[:8, :8].mean()
        np.testing.assert_allclose(np.concatenate([each.maps for each in alone]), found.maps, rtol=1e-4, atol=1e-3)


def test_padim_is_the_mahalanobis_distance_at_each_position():
    detector = PaDiM(features, dimensions=4, seed=3).fit(BATCHES)
    chosen = joined(features(NORMAL))[:, detector.chosen].double().numpy()
    assert chosen.shape == (40, 4, 4, 4)
    tile = photos(1, 5)
    asked = joined(features(tile))[0, detector.chosen].double().numpy()
    plain = np.empty((1, 4, 4))
    for y in range(4):
        for x in range(4):
            apart = asked[:, y, x] - chosen[:, :, y, x].mean(0)
            covariance = np.cov(chosen[:, :, y, x].T) + REGULAR * np.eye(4)
            plain[0, y, x] = np.sqrt(apart @ np.linalg.inv(covariance) @ apart)
    expected = smoothed(torch.from_numpy(plain), (16, 16))
    np.testing.assert_allclose(detector.located(tile).maps, expected, rtol=1e-4)
    assert detector.located(tile).score == pytest.approx(expected.max(), rel=1e-4)
    assert PaDiM(features, dimensions=100).fit(BATCHES).chosen.sort().values.tolist() == [0, 1, 2, 3, 4]


def test_the_coreset_is_farthest_first():
    rows = torch.rand(200, 3, generator=torch.Generator().manual_seed(0))
    chosen = coreset(rows, 20, seed=1).tolist()
    assert len(set(chosen)) == 20
    for count in range(1, 20):
        distances = torch.cdist(rows, rows[chosen[:count]]).min(1).values
        assert distances[chosen[count]] == pytest.approx(float(distances.max()), abs=1e-4)
    assert sorted(coreset(rows, 200, seed=1).tolist()) == list(range(200))
    wide = torch.rand(50, 300, generator=torch.Generator().manual_seed(0))  # is projected
    assert len(set(coreset(wide, 10, seed=0).tolist())) == 10
    assert coreset(wide, 10, seed=0).tolist() == coreset(wide, 10, seed=0).tolist() != coreset(wide, 10, 1).tolist()


def test_patchcore_weights_the_most_anomalous_patch_by_the_neighbourhood_of_its_item():
    detector = PatchCore(features, share=0.3).fit(BATCHES)
    assert len(detector.items) == round(0.3 * 40 * 16)
    tile = photos(1, 5, spot=30.0)
    rows = joined(tuple(functional.avg_pool2d(each, 3, 1, 1) for each in features(tile)))[0].flatten(1).T
    distances = torch.cdist(rows, detector.items)
    most = distances.min(1).values.argmax()
    item = distances[most].argmin()
    around = torch.cdist(detector.items[item][None], detector.items)[0].topk(NEIGHBOURS, largest=False).indices
    exact = (rows[most] - detector.items[around]).double().norm(dim=1)
    nearest = (rows[most] - detector.items[item]).double().norm()
    expected = (1 - nearest.exp() / exact.exp().sum()) * nearest
    assert detector.located(tile).score[0] == pytest.approx(float(expected), rel=1e-4)
    every = PatchCore(features, share=1.0).fit(BATCHES)
    assert every.located(NORMAL[:3]).maps.max() == pytest.approx(0.0, abs=1e-3)


def test_a_memory_of_one_patch_has_no_neighbourhood():
    found = PatchCore(features, share=0.0).fit(BATCHES)
    assert len(found.items) == 1
    assert np.isfinite(found.located(photos(2, 1)).score).all()


def test_pooled_methods_follow_their_formulas():
    tile = photos(3, 7)
    expected = np.zeros(3)
    for normal, asked in zip(pooled(features(NORMAL)), pooled(features(tile)), strict=True):
        fitted = LedoitWolf().fit(normal.double().numpy())
        expected += np.sqrt(fitted.mahalanobis(asked.double().numpy()))
    np.testing.assert_allclose(PooledGaussian(features).fit(BATCHES).located(tile).score, expected, rtol=1e-6)
    normal, asked = (functional.normalize(torch.cat(pooled(features(each)), 1)) for each in (NORMAL, tile))
    cosine = (1 - asked @ normal.T).sort(1).values[:, :5].mean(1)
    found = PooledNeighbours(features).fit(BATCHES).located(tile)
    np.testing.assert_allclose(found.score, cosine.numpy(), atol=1e-6)
    assert found.maps is None


def test_maps_are_smoothed_one_by_one():
    maps = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(0))
    found = smoothed(maps, (20, 30))
    for each, expected in zip(found, functional.interpolate(maps[:, None], (20, 30), mode="bilinear"), strict=True):
        np.testing.assert_allclose(each, gaussian_filter(expected[0].numpy(), 4.0), rtol=1e-5)
