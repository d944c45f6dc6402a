"""Tables: halves of KDDCUP, and the figures at a threshold."""

import numpy as np
import pytest

from memae.errors import SourceError
from reproduction import datasets
from reproduction.protocol import flagged, halves, top


def test_the_learned_half_lends_its_normal_rows_and_the_other_half_is_the_test():
    labels = (np.random.default_rng(0).random(1001) < 0.2).astype(np.int64)
    found = halves(labels, seed=3)
    parts = [set(part.tolist()) for part in (found.training, found.held_out, found.test)]
    assert len(parts[2]) == 500
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]
    assert not labels[found.training].any()
    assert not labels[found.held_out].any()
    assert len(found.held_out) == round(0.1 * (len(found.training) + len(found.held_out)))
    unused = set(range(1001)) - parts[0] - parts[1] - parts[2]
    assert labels[list(unused)].all()
    assert set(found.wider.tolist()) == parts[2] | unused
    assert labels[found.wider].sum() == labels.sum()
    np.testing.assert_array_equal(halves(labels, seed=3).test, found.test)
    assert set(halves(labels, seed=4).test.tolist()) != parts[2]


def test_the_figures_at_a_threshold_are_those_of_the_confusion_matrix():
    labels, scores = np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.8, 0.9, 0.7, 0.2])
    assert flagged(labels, scores, 0.5) == (2 / 3, 2 / 3, pytest.approx(2 / 3))
    assert flagged(labels, scores, 0.85) == (1.0, 1 / 3, 0.5)
    assert flagged(labels, scores, 0.9) == (0.0, 0.0, 0.0)  # not above it
    assert flagged(labels, scores, top(scores, 0.4)) == (0.5, 1 / 3, 0.4)
    ties = np.r_[np.zeros(8), np.ones(90), 2, 3]
    assert (ties > top(ties, 0.2)).sum() == 2  # no more than that can be told apart


@pytest.mark.skipif(not (datasets.DATA / "kddcup99").exists(), reason="needs KDDCUP99")
@pytest.mark.parametrize("columns", [118, 119, 120, 121])
def test_kddcup_has_as_many_columns_as_asked_for(columns):
    values, labels = datasets.kddcup_features(columns)
    assert values.shape == (494_021, columns)
    assert labels.sum() == 97_278
    assert np.isfinite(values).all()
    assert (values.max(0) == values.min(0)).sum() == {118: 2, 119: 0, 120: 1, 121: 2}[columns]


def test_no_other_number_of_columns_makes_sense():
    with pytest.raises(SourceError, match="118, 119, 120 or 121 columns"):
        datasets.kddcup_features(117)
