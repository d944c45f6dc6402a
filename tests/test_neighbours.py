"""Distance to kept rows, held against a plain transcription."""

import numpy as np
import pytest
import torch

from memae.scoring.neighbours import distance_to_nearest


def plainly(x: np.ndarray, rows: np.ndarray, nearest: int) -> tuple[np.ndarray, np.ndarray]:
    distances, shares = [], []
    for each in x:
        lengths = np.linalg.norm(rows - each, axis=1)
        closest = np.argsort(lengths, kind="stable")[:nearest]
        distances.append(lengths[closest].mean())
        parts = [(rows[place] - each) ** 2 / lengths[place] for place in closest if lengths[place] > 0]
        shares.append(np.sum(parts, axis=0) / len(closest) if parts else np.zeros(len(each)))
    return np.array(distances), np.array(shares)


@pytest.mark.parametrize("nearest", [1, 3, 50])
def test_distance_and_shares(nearest):
    random = np.random.default_rng(0)
    x, rows = random.normal(size=(20, 4)), random.normal(size=(30, 4))
    found = distance_to_nearest(torch.from_numpy(x), torch.from_numpy(rows), nearest)
    distance, shares = plainly(x, rows, nearest)
    np.testing.assert_allclose(found.value, distance, rtol=1e-12)
    np.testing.assert_allclose(found.shares, shares, rtol=1e-9)
    np.testing.assert_allclose(found.shares.sum(1), found.value, rtol=1e-12)


def test_a_kept_row_has_no_distance_to_itself_whatever_comes_with_it():
    rows = 1e3 + torch.randn(500, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = distance_to_nearest(rows, rows, 1)
    assert found.value.eq(0).all()
    assert found.shares.eq(0).all()
    x = rows + 0.01
    together = distance_to_nearest(x, rows).value
    alone = torch.cat([distance_to_nearest(each, rows).value for each in x.split(1)])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=0)
