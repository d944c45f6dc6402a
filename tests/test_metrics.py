import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from memae.errors import InputError
from memae.metrics import auroc, average_precision, quality, video_auroc

labelled = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=4, max_size=60).filter(
    lambda pairs: 0 < sum(label for label, _ in pairs) < len(pairs)
)


@given(labelled, st.integers(-1, 9))
def test_figures_are_those_of_scikit_learn_with_ties(pairs, threshold):
    y, s = np.array([label for label, _ in pairs]), np.array([score for _, score in pairs], dtype=float)
    found = quality(y, s, threshold, rounds=3)
    assert found.auroc.value == pytest.approx(roc_auc_score(y, s)) == auroc(y, s)
    assert found.average_precision.value == pytest.approx(average_precision_score(y, s)) == average_precision(y, s)
    flagged = s > threshold
    assert found.recall.value == pytest.approx(recall_score(y, flagged))
    assert found.f1.value == pytest.approx(f1_score(y, flagged))
    if flagged.any():
        assert found.precision.value == pytest.approx(precision_score(y, flagged))
    else:
        assert np.isnan(found.precision.value)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """The AUROC of N(0, 1) against N(1, 1) is Φ(1/√2) = 0.7602."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        s = np.concatenate([rng.normal(0, 1, 80), rng.normal(1, 1, 60)])
        found = quality(np.arange(140) >= 80, s, 1.0, rounds=200).auroc
        assert found.low <= found.value <= found.high
        covered += found.low <= 0.7602 <= found.high
    assert 176 <= covered <= 199  # 95 % of 200, and four standard deviations


def test_the_same_seed_gives_the_same_interval():
    rng = np.random.default_rng(1)
    y, s = rng.random(50) < 0.4, rng.normal(size=50)
    assert quality(y, s, 0.0) == quality(y, s, 0.0)
    assert quality(y, s, 0.0, seed=1).auroc.low != quality(y, s, 0.0).auroc.low


def test_micro_joins_the_frames_and_macro_means_the_videos():
    rng = np.random.default_rng(2)
    labels = [rng.random(30) < 0.5, rng.random(20) < 0.5, np.zeros(10, dtype=bool)]
    scores = [rng.normal(size=len(y)) + y for y in labels]
    micro, macro = video_auroc(labels, scores, rounds=50)
    assert micro.value == pytest.approx(roc_auc_score(np.concatenate(labels), np.concatenate(scores)))
    both = [roc_auc_score(y, s) for y, s in zip(labels[:2], scores[:2], strict=True)]
    assert macro.value == pytest.approx(np.mean(both))  # the video without anomalies has none
    assert macro.low == pytest.approx(min(both))
    assert macro.high == pytest.approx(max(both))


@pytest.mark.parametrize(
    ("labels", "scores", "word"),
    [
        ([0, 1], [1.0], "one length"),
        ([0, 1], [1.0, np.nan], "finite"),
        ([0, 0], [1.0, 2.0], "all 2 labels are normal"),
        ([1, 1], [1.0, 2.0], "all 2 labels are anomalous"),
        ([[0, 1]], [[1.0, 2.0]], "one-dimensional"),
    ],
)
def test_what_cannot_be_judged_is_refused(labels, scores, word):
    for judge in (auroc, average_precision, lambda y, s: quality(y, s, 0.0)):
        with pytest.raises(InputError, match=word):
            judge(labels, scores)


def test_a_single_video_has_no_interval():
    rng = np.random.default_rng(3)
    y = rng.random(30) < 0.5
    for estimate in video_auroc([y], [rng.normal(size=30) + y], rounds=20):
        assert np.isfinite(estimate.value)
        assert np.isnan([estimate.low, estimate.high]).all()
