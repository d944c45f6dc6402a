"""The detector of PyOD's conventions, held against one of PyOD's own, and inside its tools."""

import importlib.util
import pickle
import sys
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from memae import TabularMemAE
from memae.errors import InputError, MissingExtraError, OptionError, SchemaError
from memae.metrics import auroc
from memae.scoring.neighbours import NEAREST

pytest.importorskip("pyod", reason="needs the extra pyod")

from pyod.models.knn import KNN
from pyod.models.lscp import LSCP
from pyod.utils.utility import check_detector, standardizer

import memae.pyod
from memae.pyod import TabularDetector

RNG = np.random.default_rng(0)
MIXING = RNG.normal(size=(2, 5))
NORMAL = RNG.normal(size=(300, 2)) @ MIXING + RNG.normal(0, 0.1, (300, 5))
ODD = RNG.normal(0, 3, (15, 5))
ROWS = np.concatenate([NORMAL[:285], ODD])
LABELS = np.repeat([0, 1], [285, 15])
FRESH = RNG.normal(size=(1000, 2)) @ MIXING + RNG.normal(0, 0.1, (1000, 5))


def ours(**more: Any) -> TabularDetector:
    return TabularDetector(detector=TabularMemAE(), **more)


def learned(**more: Any) -> TabularDetector:
    return TabularDetector(detector=TabularMemAE(n_items=20, epochs=4), **more)


@pytest.fixture(scope="module")
def fitted() -> TabularDetector:
    return ours(contamination=0.05).fit(ROWS)


# ------------------------------------------------------------------- the contract, which PyOD's own detector keeps too


@pytest.fixture(scope="module", params=[ours, KNN], ids=["ours", "KNN"])
def either(request: pytest.FixtureRequest) -> Any:
    return request.param(contamination=0.05).fit(ROWS)


def test_fit_scores_and_labels_the_training_rows(either: Any) -> None:
    check_detector(either)
    assert either.decision_scores_.shape == (300,)
    assert either.threshold_ == np.percentile(either.decision_scores_, 95)
    np.testing.assert_array_equal(either.labels_, (either.decision_scores_ > either.threshold_).astype(int))
    assert either.labels_.sum() == 15
    assert auroc(LABELS, either.decision_scores_) > 0.95  # higher = more anomalous


def test_rows_to_come_are_scored_and_labelled(either: Any) -> None:
    scores = either.decision_function(FRESH)
    assert scores.shape == (1000,)
    np.testing.assert_array_equal(either.predict(FRESH), scores > either.threshold_)
    assert either.predict(ODD * 2).mean() > 0.9
    assert either.predict(FRESH).mean() < 0.01  # those of the training rows that are above it are the anomalies


@pytest.mark.parametrize("kind", [partial(ours, clean=True), KNN], ids=["ours", "KNN"])
def test_of_clean_rows_the_same_share_is_labelled_in_training_and_later(kind: Any) -> None:
    detector = kind(contamination=0.1).fit(NORMAL)
    assert detector.labels_.mean() == 0.1
    assert 0.06 < detector.predict(FRESH).mean() < 0.16


@pytest.mark.parametrize("method", ["linear", "unify"])
def test_probabilities(either: Any, method: str) -> None:
    odds = either.predict_proba(ROWS, method=method)
    assert odds.shape == (300, 2)
    assert odds.min() >= 0
    np.testing.assert_allclose(odds.sum(1), 1)
    assert auroc(LABELS, odds[:, 1]) > 0.9
    found, confidence = either.predict(ROWS, return_confidence=True)
    np.testing.assert_array_equal(confidence, either.predict_confidence(ROWS))
    assert confidence.shape == found.shape
    assert 0 <= confidence.min() <= confidence.max() <= 1


@pytest.mark.parametrize("kind", [ours, KNN], ids=["ours", "KNN"])
def test_parameters_and_errors(kind: Any) -> None:
    detector = kind(contamination=0.2)
    with pytest.raises(NotFittedError):
        detector.predict(ROWS)
    for wrong in (0, 0.6, -1):
        with pytest.raises(ValueError, match="contamination must be in"):
            kind(contamination=wrong)
    again = clone(detector).set_params(contamination=0.3)
    assert (detector.contamination, again.contamination) == (0.2, 0.3)
    assert {**again.get_params(deep=False), "contamination": 0.2}.keys() == detector.get_params(deep=False).keys()
    assert "contamination=0.2" in repr(detector)
    with pytest.raises(ValueError, match="features"):
        again.fit(ROWS).decision_function(ROWS[:, :3])
    with pytest.warns(UserWarning, match="y should not be presented"):
        again.fit(ROWS, LABELS)


# -------------------------------------------------------------------------------------------------- what memae adds


def test_a_kept_row_does_not_restore_itself(fitted: TabularDetector) -> None:
    scorer = fitted.detector_.scorer_
    known = {tuple(row) for row in scorer.kept_samples.tolist()}
    kept = np.array([tuple(row) in known for row in scorer.normalise(fitted.detector_.encode(ROWS)).tolist()])
    assert 200 < kept.sum() < 300
    as_new = fitted.decision_function(ROWS)
    assert (as_new[kept] < fitted.decision_scores_[kept]).mean() > 0.95
    np.testing.assert_allclose(as_new[~kept], fitted.decision_scores_[~kept], rtol=1e-12)


def test_a_training_row_is_not_its_own_neighbour_of_a_learned_memory() -> None:
    fitted = learned(contamination=0.05).fit(ROWS)
    scorer = fitted.detector_.scorer_
    known, weights = scorer.kept.items.numpy(), scorer.balance.weights.numpy()
    rows = scorer.normalise(fitted.detector_.encode(ROWS)).numpy()
    apart = np.linalg.norm(rows[:, None] - known[None], axis=2)
    itself = apart == 0
    assert 200 < itself.any(1).sum() < 300  # others were held out or left out as anomalous
    distance = np.sort(np.where(itself, np.inf, apart), 1)[:, :NEAREST].mean(1)
    error = np.concatenate([part.measures[:, 0].numpy() for part in fitted.detector_.scores(ROWS)])
    expected = error * weights[0] + distance * weights[1]
    np.testing.assert_allclose(fitted.decision_scores_, expected, rtol=1e-12)
    as_new = fitted.decision_function(ROWS)
    assert (as_new[itself.any(1)] < fitted.decision_scores_[itself.any(1)]).all()
    np.testing.assert_array_equal(as_new[~itself.any(1)], fitted.decision_scores_[~itself.any(1)])


@pytest.mark.parametrize("make", [ours, learned])
def test_a_row_that_repeats_has_its_twin(make: Any) -> None:
    detector = make().fit(np.concatenate([NORMAL, NORMAL[:1]]))
    again = detector.decision_function(NORMAL[:1])[0]
    assert detector.decision_scores_[[0, 300]] == pytest.approx([again, again], rel=1e-12)


def test_without_known_rows_scores_are_those_of_any_row() -> None:
    detector = TabularDetector(detector=TabularMemAE(n_items=20, epochs=4, kept_samples=0)).fit(ROWS)
    np.testing.assert_array_equal(detector.decision_scores_, detector.decision_function(ROWS))


def test_the_share_is_left_out_of_training_unless_all_rows_are_clean(fitted: TabularDetector) -> None:
    assert fitted.detector_.contamination == 0.05
    assert fitted.detector.contamination == 0.0  # the one given stays as it is
    assert not hasattr(fitted.detector, "scorer_")
    clean = ours(contamination=0.05, clean=True).fit(ROWS)
    assert clean.detector_.contamination == 0.0
    assert clean.detector_.learned_ > fitted.detector_.learned_
    assert clean.labels_.sum() == fitted.labels_.sum() == 15
    assert ours(contamination=0.5).fit(ROWS).labels_.sum() == 150


def test_the_promise_of_memae_is_within_reach(fitted: TabularDetector) -> None:
    np.testing.assert_array_equal(fitted.detector_.anomaly_score(FRESH), fitted.decision_function(FRESH))
    assert fitted.detector_.threshold_ != fitted.threshold_
    assert fitted.detector_.p_value(FRESH).min() > 0


def test_a_threshold_of_pythresh() -> None:
    class Filter:
        """What PyOD asks of a thresholder."""

        def fit(self, scores: Any) -> None:
            self.thresh_ = float(np.median(scores))
            self.labels_ = (scores > self.thresh_).astype(int)

        def predict(self, scores: Any) -> Any:
            return (scores > self.thresh_).astype(int)

    detector = ours(contamination=Filter()).fit(ROWS)
    assert detector.labels_.sum() == 150
    assert detector.detector_.contamination == 0.0
    assert detector.predict(ODD).mean() > 0.9


def test_mixed_tables() -> None:
    table = pd.DataFrame(ROWS, columns=list("abcde")).assign(kind=np.where(ROWS[:, 0] > 0, "up", "down"))
    table.loc[::10, "b"] = np.nan
    detector = ours().fit(table)
    assert detector.predict_proba(table).shape == (300, 2)
    assert detector.n_features_in_ == 6
    with pytest.raises(SchemaError, match=r"^column 'kind' missing"):
        detector.predict(table.drop(columns="kind"))


def test_what_cannot_be_wrapped() -> None:
    with pytest.raises(OptionError, match="a contamination of its own"):
        TabularDetector(detector=TabularMemAE(contamination=0.1)).fit(ROWS)
    with pytest.raises(OptionError, match="must be a TabularMemAE or None; got KNN"):
        TabularDetector(detector=KNN()).fit(ROWS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no rows"):
        TabularDetector().fit(ROWS[:0])


def test_without_pyod_a_sentence_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "pyod"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyod", None)
    spec = importlib.util.spec_from_file_location("fresh", memae.pyod.__file__)
    with pytest.raises(MissingExtraError, match=r"needs the \"pyod\" extra: pip install 'memae\[pyod\]'"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))  # type: ignore[union-attr,arg-type]


# ---------------------------------------------------------------------------------------------------- PyOD's tools


def bagging(**more: Any) -> Any:
    pytest.importorskip("combo", reason="PyOD's combinations need the package combo")
    from pyod.models.feature_bagging import FeatureBagging

    return FeatureBagging(ours(), n_estimators=2, random_state=0, **more)


def suod(**more: Any) -> Any:
    pytest.importorskip("suod", reason="PyOD's SUOD needs the package suod")
    from pyod.models.suod import SUOD

    return SUOD([ours(), KNN()], n_jobs=1, combination="average", verbose=False, **more)


def lscp(**more: Any) -> Any:
    return LSCP([ours(), KNN()], random_state=0, **more)


@pytest.mark.parametrize("tool", [lscp, bagging, suod])
@pytest.mark.filterwarnings("ignore")  # theirs
def test_it_works_as_a_part_of(tool: Any) -> None:
    whole = tool(contamination=0.05).fit(ROWS)
    assert auroc(LABELS, whole.decision_scores_) > 0.9
    assert whole.predict(ODD * 2).mean() > whole.predict(FRESH).mean()


def test_scores_combine_with_those_of_others(fitted: TabularDetector) -> None:
    pytest.importorskip("combo", reason="PyOD's combinations need the package combo")
    from pyod.models.combination import average, maximization

    other = KNN(contamination=0.05).fit(ROWS)
    scores = standardizer(np.stack([fitted.decision_scores_, other.decision_scores_], 1))
    for combined in (average(scores), maximization(scores)):
        assert combined.shape == (300,)
        assert auroc(LABELS, combined) > 0.95


def test_it_can_be_pickled(fitted: TabularDetector) -> None:
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301 (ours)
    np.testing.assert_array_equal(again.decision_function(ROWS), fitted.decision_function(ROWS))
    assert again.threshold_ == fitted.threshold_
