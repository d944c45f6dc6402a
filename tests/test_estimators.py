"""The three detectors: scikit-learn's conventions, what goes in, what comes out, and the model file."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from memae.data.clips import Clips
from memae.data.samples import ReadAhead, Streamed, digest
from memae.data.videos import Video
from memae.demo import street
from memae.errors import InputError, MemaeWarning, ModelFileError, OptionError, SchemaError
from memae.estimators import Estimator, ImageMemAE, TabularMemAE, VideoMemAE, load, tabular
from memae.estimators import video as video_module
from memae.kinds import images as images_module
from memae.metrics import auroc
from memae.networks.tabular import default_widths
from memae.options import Epoch, Step

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(200, 2)) @ RNG.normal(size=(2, 5)) + RNG.normal(0, 0.05, (200, 5))
ODD = RNG.normal(size=(50, 5)) * TABLE.std(0)
MIXED = pd.DataFrame(
    {
        "a": TABLE[:, 0],
        "kind": RNG.choice(["x", "y", "z"], 200),
        "b": np.where(np.arange(200) % 10 == 0, np.nan, TABLE[:, 1]),
        "flag": pd.Series(RNG.choice(["u", "v"], 200)).where(np.arange(200) % 7 != 0),
    }
)
IMAGES = (RNG.integers(0, 40, (48, 12, 14)) + 8 * np.arange(12)[:, None]).astype(np.uint8)
VIDEO = street(60, 1)[:, ::4, ::4].copy()
OTHER = street(45, 2)[:, ::4, ::4].copy()

FAST: dict[str, Any] = {"epochs": 2, "warmup": 1, "n_items": 8}


def table(**more: Any) -> TabularMemAE:
    return TabularMemAE(**(FAST | {"widths": (8, 3), "false_alarm_rate": 0.1} | more))


def keeping(**more: Any) -> TabularMemAE:
    """Nothing is trained: kept rows are the memory."""
    return TabularMemAE(**({"false_alarm_rate": 0.1} | more))


def image(**more: Any) -> ImageMemAE:
    small = {"widths": (4, 6), "strides": ((2, 2), (2, 2)), "batch_size": 16, "false_alarm_rate": 0.1}
    return ImageMemAE(**(FAST | small | more))


def video(**more: Any) -> VideoMemAE:
    small = {"size": "native", "length": 4, "widths": (4, 6), "smooth": 3, "false_alarm_rate": 0.1}
    return VideoMemAE(**(FAST | small | more))


KINDS = [(table, TABLE), (image, IMAGES), (video, VIDEO)]
IDS = ["table", "image", "video"]
each_kind = pytest.mark.parametrize(("make", "data"), KINDS, ids=IDS)
ALL = dict(zip(IDS, KINDS, strict=True)) | {"keeping": (keeping, TABLE)}


@pytest.fixture(scope="module")
def fitted() -> dict[str, Estimator]:
    return {name: make().fit(data) for name, (make, data) in ALL.items()}


# ------------------------------------------------------------------------------------------ scikit-learn's conventions


@pytest.mark.filterwarnings("ignore")  # scikit-learn's checks fit on a handful of rows, and on constants
def test_check_estimator() -> None:
    known = dict.fromkeys(
        ("check_outliers_train", "check_outliers_fit_predict"),
        "rows of training are known, so that none of them needs to be flagged; contamination leaves rows out",
    )
    for detector in (TabularMemAE(), TabularMemAE(epochs=3, warmup=1, n_items=10)):
        check_estimator(detector, expected_failed_checks=known)


def test_pipeline_and_grid_search() -> None:
    pipeline = make_pipeline(StandardScaler(), table()).fit(TABLE)
    np.testing.assert_array_equal(
        pipeline.score_samples(TABLE), pipeline[-1].score_samples(pipeline[0].transform(TABLE))
    )
    labelled = np.r_[np.zeros(len(TABLE)), np.ones(len(ODD))]

    def judged(estimator: TabularMemAE, X: Any, y: Any = None) -> float:
        return auroc(labelled, estimator.anomaly_score(np.concatenate([TABLE, ODD])))

    search = GridSearchCV(table(), {"n_items": [0, 6]}, scoring=judged, cv=2, error_score="raise").fit(TABLE)
    assert set(search.cv_results_["param_n_items"]) == {0, 6}
    assert search.best_score_ > 0.5
    assert search.best_estimator_.n_items == search.best_params_["n_items"]


@each_kind
def test_parameters_survive_clone_and_cannot_be_changed_by_fit(make: Any, data: Any) -> None:
    before = make(n_items=5, temperature=0.2, random_state=7)
    given = copy.deepcopy(before.get_params())
    assert clone(before).get_params() == given
    before.fit(data)
    assert before.get_params() == given
    with pytest.raises(NotFittedError):
        clone(before).anomaly_score(data)
    with pytest.raises(NotFittedError):
        clone(before).predict(data)
    assert before.set_params(n_items=3).n_items == 3
    assert before.scorer_.model.memory.items.shape[0] == 5  # set_params does not touch what was fitted


@pytest.mark.parametrize("kind", ALL)
def test_signs(fitted: dict[str, Estimator], kind: str) -> None:
    detector, data = fitted[kind], ALL[kind][1]
    scores = detector.anomaly_score(data)
    assert scores.shape == (len(data),)
    assert scores.dtype == np.float64
    assert (scores > 0).all()
    np.testing.assert_array_equal(detector.score_samples(data), -scores)
    assert detector.offset_ == -detector.threshold_
    np.testing.assert_array_equal(detector.decision_function(data), detector.threshold_ - scores)
    flagged = detector.predict(data) == -1
    np.testing.assert_array_equal(flagged, scores > detector.threshold_)
    np.testing.assert_array_equal(flagged, detector.p_value(data) <= detector.scorer_.calibration.false_alarm_rate)
    assert set(detector.predict(data)) <= {1, -1}
    assert detector.predict(data).dtype.kind == "i"
    np.testing.assert_array_equal(ALL[kind][0]().fit_predict(data), detector.predict(data))


@pytest.mark.parametrize("kind", ALL)
def test_pickle_and_model_file_keep_everything(fitted: dict[str, Estimator], kind: str, tmp_path: Path) -> None:
    detector, data = fitted[kind], ALL[kind][1]
    detector.save(tmp_path / "m.memae")
    scores = detector.anomaly_score(data)
    for other in (load(tmp_path / "m.memae"), pickle.loads(pickle.dumps(detector))):  # noqa: S301
        assert type(other) is type(detector)
        np.testing.assert_array_equal(other.anomaly_score(data), scores)
        np.testing.assert_array_equal(other.p_value(data), detector.p_value(data))
        assert other.threshold_ == detector.threshold_
        assert other.history_ == detector.history_
        assert other.health_ == detector.health_
        assert other.best_epoch_ == detector.best_epoch_
        assert other.checksum_ == detector.checksum_
        assert other.versions_ == detector.versions_
        assert repr(as_lists(other.get_params())) == repr(as_lists(detector.get_params()))
    other.save(tmp_path / "again.memae")
    assert (tmp_path / "again.memae").read_bytes() == (tmp_path / "m.memae").read_bytes()
    clone(load(tmp_path / "m.memae")).fit(data)  # its parameters work as given


def as_lists(value: Any) -> Any:
    """Parameters as they come back from a model file, where tuples are lists."""
    if isinstance(value, dict):
        return {name: as_lists(inner) for name, inner in value.items()}
    return [as_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


def test_a_model_file_of_another_kind_is_refused(fitted: dict[str, Estimator], tmp_path: Path) -> None:
    from memae.modelfile import artifact

    fitted["image"].save(tmp_path / "m.memae")
    with pytest.raises(ModelFileError, match=r"image data, not table; load it with memae\.load"):
        TabularMemAE.from_artifact(artifact.load(tmp_path / "m.memae"))
    assert isinstance(load(tmp_path / "m.memae"), ImageMemAE)


@pytest.mark.parametrize("state", [None, np.random.RandomState(3)], ids=["None", "RandomState"])
def test_any_random_state_can_be_fitted_and_saved(state: Any, tmp_path: Path) -> None:
    detector = table(random_state=state).fit(TABLE)
    detector.save(tmp_path / "m.memae")
    np.testing.assert_array_equal(load(tmp_path / "m.memae").anomaly_score(ODD), detector.anomaly_score(ODD))


# ----------------------------------------------------------------------------------------------------------- training


@each_kind
def test_the_seed_decides_everything_and_nothing_else_is_touched(make: Any, data: Any) -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    one = make(random_state=1).fit(data)
    one.anomaly_score(data)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    torch.manual_seed(6)
    same, other = make(random_state=1).fit(data), make(random_state=2).fit(data)
    pairs = [
        (value, same.scorer_.state_dict()[name], other.scorer_.state_dict()[name])
        for name, value in one.scorer_.state_dict().items()
    ]
    assert all(torch.equal(value, again) for value, again, _ in pairs)
    assert any(not torch.equal(value, differs) for value, _, differs in pairs)


@each_kind
def test_fit_steps_tells_each_step_and_each_epoch(make: Any, data: Any) -> None:
    detector = make(epochs=3)
    events = list(detector.fit_steps(data))
    epochs = [event for event in events if isinstance(event, Epoch)]
    assert tuple(epochs) == detector.history_
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3]
    for epoch in epochs:
        steps = [event for event in events if isinstance(event, Step) and event.epoch == epoch.epoch]
        assert [step.step for step in steps] == list(range(1, steps[0].steps + 1))
        assert steps[-1].loss == pytest.approx(epoch.loss)
    assert epochs[0].health is None  # warm-up
    assert detector.best_epoch_ == min(epochs[1:], key=lambda epoch: epoch.held_out_error)
    assert detector.health_.items == 8


@each_kind
def test_no_items_are_a_plain_autoencoder(make: Any, data: Any, tmp_path: Path) -> None:
    detector = make(n_items=0).fit(data)
    assert detector.health_ is None
    assert detector.scorer_.model.memory is None
    assert all(epoch.health is None and epoch.entropy == 0 for epoch in detector.history_)
    detector.save(tmp_path / "m.memae")
    np.testing.assert_array_equal(load(tmp_path / "m.memae").anomaly_score(data), detector.anomaly_score(data))


@each_kind
@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0}, {"n_items": -1}, {"temperature": 0.0}, {"held_out": 0.0}, {"held_out": 1.0},
        {"false_alarm_rate": 0.0}, {"false_alarm_rate": 1.5}, {"device": "tpu"}, {"shrinkage": 1000.0},
        {"similarity": "euclid"}, {"reduction": "max"}, {"init": "zeros"}, {"choose": "best"}, {"on_empty": "skip"},
        {"learning_rate": 0.0}, {"batch_size": 0}, {"widths": (0, 3)}, {"alpha": -1.0}, {"patience": 0},
    ],
    ids=lambda wrong: "-".join(f"{name}-{value}" for name, value in wrong.items()),
)  # fmt: skip
def test_a_parameter_that_cannot_work_is_refused_by_name_and_value(make: Any, data: Any, wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(OptionError) as caught:
        make(**wrong).fit(data)
    told = str(caught.value)
    words = {"n_items": "item", "false_alarm_rate": "false-alarm", "batch_size": "batch", "shrinkage": "λ"}
    assert words.get(name, name.replace("_", " ")) in told.replace("_", " ") or name in told
    assert str(value) in told or f"{value:g}" in told if isinstance(value, float | int) else True


def test_recalibrate_changes_threshold_and_p_values_alone() -> None:
    detector = keeping().fit(TABLE)
    weights = copy.deepcopy(detector.scorer_.model.state_dict())
    scores, p_values, threshold = detector.anomaly_score(ODD), detector.p_value(ODD), detector.threshold_
    assert detector.recalibrate(false_alarm_rate=0.3) is detector
    assert detector.threshold_ < threshold
    np.testing.assert_array_equal(detector.p_value(ODD), p_values)  # they know no rate
    detector.recalibrate(scores)
    assert detector.scorer_.calibration.false_alarm_rate == 0.3  # kept
    assert (detector.predict(ODD) == -1).sum() == int(0.3 * (len(ODD) + 1)) - 1  # the threshold itself is not above it
    assert detector.p_value(ODD).max() == pytest.approx(1.0)
    detector.recalibrate(np.arange(99.0), false_alarm_rate=0.05)
    assert detector.threshold_ == 94.0
    assert detector.p_value(ODD)[0] == (1 + (np.arange(99) >= scores[0]).sum()) / 100
    np.testing.assert_array_equal(detector.anomaly_score(ODD), scores)
    assert all(torch.equal(value, weights[name]) for name, value in detector.scorer_.model.state_dict().items())
    with pytest.raises(OptionError, match="false-alarm rate"):
        detector.recalibrate(false_alarm_rate=2)
    with pytest.raises(InputError, match="finite"):
        detector.recalibrate(np.array([1.0, np.nan]))
    assert detector.threshold_ == 94.0
    for form in (list(range(99)), pd.Series(np.arange(99)), torch.arange(99)):
        assert detector.recalibrate(form).threshold_ == 94.0


@pytest.mark.parametrize(
    "wrong", [pd.DataFrame(TABLE), TABLE, ["much"], "scores.csv", 1.0], ids=lambda x: type(x).__name__
)
def test_recalibrate_takes_scores_not_samples(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"anomaly scores of normal samples.* got \w+ of shape"):
        keeping().fit(TABLE).recalibrate(wrong)


def test_too_few_held_out_samples_warn_and_promise_what_they_can() -> None:
    with pytest.warns(
        MemaeWarning, match=r"4 normal samples are too few for .* 0\.01, which needs 99; it is set to 0\.2"
    ):
        detector = table(false_alarm_rate=0.01).fit(TABLE[:12])
    assert detector.scorer_.calibration.false_alarm_rate == pytest.approx(0.2)
    assert np.isfinite(detector.threshold_)
    assert detector.threshold_ == detector.scorer_.calibration.scores.max()
    assert detector.false_alarm_rate == 0.01  # the parameter is the caller's


def test_threshold_is_set_on_held_out_scores() -> None:
    detector = table(held_out=0.3).fit(TABLE)
    known = detector.scorer_.calibration.scores.numpy()
    assert len(known) == 60
    assert (known >= detector.threshold_).sum() == 6
    scores = detector.anomaly_score(TABLE)
    assert all(np.isclose(scores, value, rtol=1e-6).any() for value in known)


def test_collapse_is_warned_of() -> None:
    with pytest.warns(MemaeWarning, match="memory has collapsed: no item exceeds the shrinkage threshold"):
        detector = table(temperature=0.5, shrinkage=4.0).fit(TABLE)
    assert detector.health_.fallback_rate > 0.5


# ------------------------------------------------------------------------------------------------------------- scores


@pytest.mark.parametrize("kind", ALL)
def test_a_score_does_not_depend_on_its_batch(fitted: dict[str, Estimator], kind: str) -> None:
    detector, data = fitted[kind], ALL[kind][1]
    scores = detector.anomaly_score(data)
    if kind == "video":  # a batch is a video: its frames alone, beside another, and in clips computed one at a time
        beside = detector.anomaly_score([OTHER, data])
        np.testing.assert_allclose(beside[len(OTHER) :], scores, rtol=1e-6)
        middle = detector.anomaly_score(data[20:40])
        before, after = 2 + 2 + 1, 1 + 2 + 1  # frames of its clip, of the clips that share its map, and of smoothing
        np.testing.assert_allclose(middle[before:-after], scores[20 + before : 40 - after], rtol=1e-6)
        return
    alone = np.concatenate([detector.anomaly_score(data[place : place + 1]) for place in range(0, 40, 5)])
    np.testing.assert_allclose(alone, scores[:40:5], rtol=1e-6)
    np.testing.assert_allclose(detector.anomaly_score(data[::-1])[::-1], scores, rtol=1e-6)
    np.testing.assert_allclose(detector.anomaly_score(np.concatenate([data] * 3))[-len(data) :], scores, rtol=1e-6)


@pytest.mark.parametrize("kind", ALL)
def test_error_maps_sum_to_the_error_or_the_score(fitted: dict[str, Estimator], kind: str) -> None:
    detector, data = fitted[kind], ALL[kind][1]
    for part in detector.scores(data):
        errors = part.error_map.double().flatten(1)
        if kind == "video":  # the score of each place, of which the highest counts
            everywhere = detector.scorer_.positions(part.measures).flatten(1)
            np.testing.assert_allclose(everywhere.amax(1), part.score, rtol=1e-5)
            assert (errors.amax(1) <= part.score * (1 + 1e-6)).all()
            assert (errors.amax(1) >= everywhere.median(1).values).all()
            continue
        if kind == "image":  # relative to the contrast of each
            pixels = np.asarray(data) / 255
            variance = np.maximum(pixels.reshape(len(data), -1).var(1), 0.01)
            error = errors.square().sum(1).sqrt() / torch.from_numpy(variance * pixels[0].size)
        else:
            error = errors.sum(1)
        np.testing.assert_allclose(error, part.measures[:, 0] if kind == "image" else part.score, rtol=1e-4)
        assert part.x_hat.shape[1:] == part.error_map.shape[1:]


# ------------------------------------------------------------------------------------------------------------- tables


def correlated(n: int, seed: int) -> pd.DataFrame:
    """Rows in which the second number follows from the first, and the kind from its sign."""
    random = np.random.default_rng(seed)
    x = random.normal(size=n)
    follows = 2 * x + 0.1 * random.normal(size=n)
    return pd.DataFrame(
        {"x": x, "follows": follows, "kind": np.where(x > 0, "plus", "minus"), "noise": random.random(n)}
    )


def test_contributions_are_of_the_users_columns_and_sum_to_the_scores() -> None:
    detector = TabularMemAE().fit(correlated(800, 0))
    test = correlated(50, 1).set_index(np.arange(100, 150))
    test.loc[105, "follows"] = 4.5 - test.loc[105, "follows"]
    test.loc[110, "kind"] = "unseen"
    parts = detector.contributions(test)
    assert list(parts.columns) == list(test.columns)
    assert list(parts.index) == list(test.index)
    np.testing.assert_allclose(parts.sum(axis=1), detector.anomaly_score(test), rtol=1e-9)
    assert parts.loc[105].idxmax() in ("x", "follows")
    assert parts.loc[110].idxmax() == "kind"
    assert (parts.to_numpy() >= 0).all()


@pytest.mark.parametrize("reduction", ["sum", "mean", "absolute"])
@pytest.mark.parametrize("masked", [True, False])
def test_contributions_sum_to_the_score_of_a_learned_memory_as_well(masked: bool, reduction: Any) -> None:
    detector = TabularMemAE(20, masked_columns=masked, reduction=reduction, epochs=4).fit(correlated(300, 0))
    test = correlated(20, 1)
    np.testing.assert_allclose(detector.contributions(test).sum(axis=1), detector.anomaly_score(test), rtol=1e-6)


def test_columns_that_do_not_go_together_are_found_though_each_alone_is_usual() -> None:
    detector = TabularMemAE(kept_samples=0, epochs=40).fit(correlated(800, 0))
    test = correlated(400, 1)
    wrong = test.assign(follows=test["follows"].to_numpy()[::-1])
    scores = np.r_[detector.anomaly_score(test), detector.anomaly_score(wrong)]
    assert auroc(np.repeat([0, 1], 400), scores) > 0.9


def test_rows_are_kept_to_measure_the_distance_to_them_unless_none_are_wanted(tmp_path: Path) -> None:
    normal = correlated(600, 0)
    kept, learned = TabularMemAE().fit(normal), TabularMemAE(20, epochs=4).fit(normal)
    none = TabularMemAE(20, epochs=4, kept_samples=0).fit(normal)
    assert len(kept.scorer_.kept_samples) == 600
    assert len(learned.scorer_.kept_samples) == 540  # without those held out
    assert none.scorer_.kept_samples is None
    for n_items in (None, 20):
        few = TabularMemAE(n_items, epochs=4 if n_items else 10, kept_samples=30).fit(normal)
        assert len(few.scorer_.kept_samples) == 30
    for name, detector in (("kept", kept), ("learned", learned), ("none", none)):
        detector.save(tmp_path / name)
        np.testing.assert_array_equal(load(tmp_path / name).anomaly_score(normal), detector.anomaly_score(normal))
    assert (tmp_path / "none").stat().st_size < (tmp_path / "learned").stat().st_size
    for n_items in (None, 20):
        with pytest.raises(OptionError, match="kept_samples must be 0 or more"):
            TabularMemAE(n_items, kept_samples=-1).fit(normal)


def test_without_kept_rows_the_memory_is_learned() -> None:
    detector = TabularMemAE(kept_samples=0, epochs=4).fit(correlated(300, 0))
    assert detector.spec_.memory.items == 135  # half the rows that train
    assert detector.scorer_.measured == ("error",)
    assert len(detector.history_) == 4


def test_parameters_of_training_without_training_are_warned_of_by_name() -> None:
    normal = correlated(100, 0)
    with pytest.warns(MemaeWarning, match=r"^epochs, held_out have no effect: .* leave their default$") as caught:
        TabularMemAE(epochs=4, held_out=0.3).fit(normal)
    assert caught[0].filename == __file__
    with pytest.warns(MemaeWarning, match=r"^widths has no effect: .* leave its default$"):
        list(TabularMemAE(widths=(4, 2)).fit_steps(normal))
    for detector in (TabularMemAE(scaling="minmax", random_state=3), TabularMemAE(5, epochs=2, held_out=0.3)):
        detector.fit(normal)  # a warning would be an error


def test_keeping_rows_is_one_step() -> None:
    [epoch] = TabularMemAE().fit_steps(correlated(300, 0))
    assert isinstance(epoch, Epoch)
    assert epoch.health is not None
    assert (epoch.health.items, epoch.health.duplicates, epoch.health.fallback_rate) == (300, 0, 0)
    assert 0 < epoch.health.survivors <= 8


@pytest.mark.parametrize("n_items", [None, 20])
def test_repeated_rows_are_learned_once(n_items: int | None) -> None:
    normal = correlated(300, 0)
    often = pd.concat([normal, *[normal.iloc[:3]] * 200])
    detector = TabularMemAE(n_items, epochs=4 if n_items else 10).fit(often)
    assert len(torch.unique(detector.scorer_.kept_samples, dim=0)) == len(detector.scorer_.kept_samples) <= 300
    assert detector.scorer_.calibration is not None
    assert len(detector.scorer_.calibration.scores) == (90 if n_items else 900)  # of all rows, as they come


@pytest.mark.parametrize("n_items", [None, 20])
def test_rows_that_may_be_anomalous_are_left_out(n_items: int | None) -> None:
    normal, test = correlated(600, 0), correlated(300, 1)
    wrong = test.assign(x=6.0, noise=0.5)
    mixed = pd.concat([normal, wrong.iloc[:60]])
    labels = np.repeat([0, 1], [300, 240])
    everything = pd.concat([test, wrong.iloc[60:]])
    told, untold = (TabularMemAE(n_items, contamination=share).fit(mixed) for share in (0.1, 0.0))
    assert auroc(labels, told.anomaly_score(everything)) > 0.99
    assert auroc(labels, untold.anomaly_score(everything)) < 0.99
    assert told.threshold_ < np.median(told.anomaly_score(wrong))
    for share in (-0.1, 0.5):
        with pytest.raises(OptionError, match="contamination must be a share"):
            TabularMemAE(n_items, contamination=share).fit(normal)


def test_contamination_is_refused_for_a_file_that_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    correlated(300, 0).to_csv(tmp_path / "a.csv", index=False)
    detector = TabularMemAE(contamination=0.1).fit(tmp_path / "a.csv")
    assert len(detector.scorer_.calibration.scores) == 270
    learned = TabularMemAE(20, contamination=0.1, epochs=4).fit(tmp_path / "a.csv")
    assert len(learned.scorer_.kept_samples) + len(learned.scorer_.calibration.scores) == 270
    monkeypatch.setattr("memae.estimators.tabular.IN_MEMORY", 1)
    with pytest.raises(OptionError, match="contamination needs all rows in memory"):
        detector.fit(tmp_path / "a.csv")


def shifted(n: int, seed: int) -> pd.DataFrame:
    return correlated(n, seed).assign(noise=lambda rows: rows["noise"] + 1.5)


@pytest.mark.parametrize("n_items", [None, 200])
def test_an_update_knows_new_and_old_rows_and_leaves_the_detector_as_it_was(
    n_items: int | None, tmp_path: Path
) -> None:
    old = TabularMemAE(n_items).fit(correlated(600, 0))
    before = old.anomaly_score(correlated(100, 1))
    assert (old.predict(shifted(200, 1)) == -1).mean() > 0.9
    new = old.update(shifted(400, 2))
    np.testing.assert_array_equal(old.anomaly_score(correlated(100, 1)), before)
    assert (new.predict(shifted(200, 1)) == -1).mean() < 0.15
    assert (new.predict(correlated(200, 1)) == -1).mean() < (0.15 if n_items is None else 0.3)  # they are not forgotten
    wrong = shifted(200, 1).assign(follows=lambda rows: -rows["follows"])
    assert (new.predict(wrong) == -1).mean() > 0.6
    assert new.checksum_ != old.checksum_
    assert len(new.scorer_.kept_samples) > len(old.scorer_.kept_samples)
    epochs = 2 if n_items is None else 13
    assert [epoch.epoch for epoch in new.history_] == list(range(1, epochs + 1))
    assert new.best_epoch_.epoch > len(old.history_)
    again = old.update(shifted(400, 2))
    np.testing.assert_array_equal(again.anomaly_score(wrong), new.anomaly_score(wrong))
    new.save(tmp_path / "new.memae")
    np.testing.assert_array_equal(load(tmp_path / "new.memae").anomaly_score(wrong), new.anomaly_score(wrong))
    assert load(tmp_path / "new.memae").best_epoch_ == new.best_epoch_


def test_an_update_is_refused_without_known_rows_and_for_other_columns() -> None:
    with pytest.raises(OptionError, match="fitted with kept_samples=0"):
        TabularMemAE(20, epochs=4, kept_samples=0).fit(correlated(200, 0)).update(correlated(100, 1))
    learned, detector = (TabularMemAE(20, epochs=4).fit(correlated(200, 0)), TabularMemAE().fit(correlated(200, 0)))
    with pytest.raises(SchemaError, match="'kind'"):
        detector.update(correlated(100, 1).drop(columns="kind"))
    with pytest.raises(InputError, match="20 new rows are too few for the threshold: 6 are held out"):
        learned.update(correlated(20, 1))
    with pytest.raises(InputError, match=r"18 new rows are too few for the threshold: .* rate of 0\.05 needs 19;"):
        detector.update(correlated(18, 1))
    assert detector.update(correlated(19, 1)).calibration_.false_alarm_rate == 0.05
    with pytest.raises(NotFittedError):
        TabularMemAE().update(correlated(100, 1))


def test_an_unseen_category_is_flagged() -> None:
    detector = TabularMemAE().fit(correlated(400, 0))
    assert (detector.predict(correlated(100, 1).assign(kind="unseen")) == -1).mean() > 0.95


def test_columns_that_cannot_be_learned_are_named() -> None:
    rows = correlated(50, 0)
    with pytest.raises(InputError, match="two columns have the same name, 'x'"):
        TabularMemAE().fit(rows.set_axis(["x", "x", "kind", "noise"], axis=1))
    with pytest.raises(InputError, match="column 'x' holds numbers beyond"):
        TabularMemAE().fit(rows.assign(x=np.where(rows.index == 3, 1e300, rows["x"])))
    with pytest.raises(OptionError, match=r"contamination must be a number; got '0\.1'"):
        TabularMemAE(contamination="0.1").fit(rows)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{}, {"n_items": 20, "epochs": 4, "held_out": 0.02}], ids=["keeping", "learned"])
def test_rows_that_are_kept_of_a_stream_are_drawn_from_all_of_it(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rising = pd.DataFrame({"x": np.arange(3000.0), "y": np.repeat(np.arange(300.0), 10)})
    rising.to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.setattr("memae.estimators.tabular.IN_MEMORY", 1)
    monkeypatch.setattr("memae.estimators.splitting.BUFFER", 16 * 200)
    scorer = TabularMemAE(kept_samples=100, keep_columns=["x"], **options).fit(tmp_path / "a.csv").scorer_
    kept = scorer.scaling.inverse(scorer.kept_samples)[:, 0]
    assert len(kept.unique()) == 100
    for part in range(3):  # each third of the file
        assert 15 < int(((kept >= 1000 * part) & (kept < 1000 * (part + 1))).sum()) < 55


@pytest.mark.parametrize("options", [{}, {"n_items": 20, "epochs": 4}], ids=["keeping", "learned"])
def test_an_update_computes_with_its_own_network_and_keeps_distinct_rows(options: dict[str, Any]) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra engines")
    rows, more = correlated(300, 0), shifted(200, 1)
    plain, fast = (TabularMemAE(**options).fit(rows) for _ in range(2))
    fast.use_engine("onnxruntime")
    np.testing.assert_allclose(fast.anomaly_score(more), plain.anomaly_score(more), rtol=1e-5)
    np.testing.assert_allclose(fast.update(more).anomaly_score(more), plain.update(more).anomaly_score(more))
    again = plain.update(rows)
    assert len(torch.unique(again.scorer_.kept_samples, dim=0)) == len(again.scorer_.kept_samples)


def test_the_papers_setting_for_tables() -> None:
    assert TabularMemAE.paper().epochs == 60
    detector = TabularMemAE.paper(epochs=2, batch_size=64).fit(correlated(300, 0))
    assert detector.scorer_.measured == ("error",)
    assert detector.spec_.widths == default_widths(7)
    assert detector.spec_.pretext is None
    assert detector.spec_.memory is not None
    assert detector.spec_.memory.items == 50
    assert detector.spec_.memory.temperature == 1.0
    np.testing.assert_allclose(
        detector.contributions(correlated(20, 1)).sum(axis=1), detector.anomaly_score(correlated(20, 1)), rtol=1e-6
    )


def test_tables_of_any_form_score_alike(tmp_path: Path) -> None:
    frame = pd.DataFrame(TABLE, columns=[f"x{place}" for place in range(5)])
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    reference = keeping().fit(TABLE).anomaly_score(TABLE)
    for form in (frame, tmp_path / "t.csv", str(tmp_path / "t.parquet"), TABLE.tolist()):
        detector = keeping().fit(form)
        np.testing.assert_allclose(detector.anomaly_score(form), reference, rtol=1e-6)
    np.testing.assert_allclose(
        keeping().fit(frame).anomaly_score(tmp_path / "t.csv"), reference, rtol=1e-6, err_msg="fit frame, score file"
    )


def test_categories_missing_and_unseen_values() -> None:
    detector = keeping().fit(MIXED)
    known = detector.anomaly_score(MIXED)
    assert np.isfinite(known).all()
    odd = MIXED.iloc[:20].assign(kind="never seen")
    assert (detector.anomaly_score(odd) > known[:20]).mean() > 0.8
    gone = MIXED.iloc[:20].assign(a=np.nan, kind=None)
    assert np.isfinite(detector.anomaly_score(gone)).all()
    np.testing.assert_array_equal(detector.anomaly_score(MIXED.astype({"kind": "category", "flag": "category"})), known)
    assert detector.encoder_.novelties(odd) == {"kind": 20}
    assert list(detector.feature_names_in_) == list(MIXED.columns)
    assert detector.n_features_in_ == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.drop(columns="b"), r"b.*missing|missing.*b"),
        (lambda frame: frame.assign(new=1.0), r"new"),
        (lambda frame: frame[["b", "a", "kind", "flag"]], r"order"),
        (lambda frame: frame.assign(a="text"), r"column 'a' holds numbers, but row 0 has 'text'"),
        (lambda frame: frame.assign(a=np.inf), r"column 'a' has infinite values"),
    ],
    ids=["missing", "added", "reordered", "type", "infinite"],
)
def test_columns_must_be_those_of_training(change: Any, words: str) -> None:
    detector = keeping().fit(MIXED)
    with pytest.raises(InputError, match=f"(?s){words}"):
        detector.anomaly_score(change(MIXED.iloc[:5]))


def test_ignored_columns_may_be_there_or_not() -> None:
    detector = keeping(ignore=["flag"]).fit(MIXED)
    scores = detector.anomaly_score(MIXED)
    np.testing.assert_array_equal(detector.anomaly_score(MIXED.drop(columns="flag")), scores)
    np.testing.assert_array_equal(detector.anomaly_score(MIXED.assign(flag="other")), scores)
    with pytest.raises(SchemaError, match="no column 'flags'"):
        keeping(ignore=["flags"]).fit(MIXED)


def test_arrays_need_as_many_columns() -> None:
    with pytest.raises(
        SchemaError, match=r"(?s)^the model was fitted on 5 columns, the array has 4\..*4 features.*5 features"
    ):
        keeping().fit(TABLE).anomaly_score(TABLE[:, :4])


def test_of_columns_that_differ_our_words_come_first(run: Callable[..., Any], tmp_path: Path) -> None:
    keeping().fit(MIXED).save(tmp_path / "m")
    MIXED.drop(columns="flag").to_csv(tmp_path / "t.csv", index=False)
    told = run("score", tmp_path / "m", tmp_path / "t.csv").err
    assert told == "memae: error: column 'flag' missing; the model was fitted with it\n"
    with pytest.raises(SchemaError, match="The feature names should"):  # as scikit-learn's checks expect
        load(tmp_path / "m").anomaly_score(MIXED.drop(columns="flag"))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_larger_than_memory_streams(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame(TABLE, columns=list("abcde")).assign(kind=np.where(TABLE[:, 0] > 0, "up", "down"))
    path = tmp_path / f"t.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    monkeypatch.setattr(tabular, "IN_MEMORY", 0)
    monkeypatch.setattr(tabular, "table_chunks", lambda source, **more: TABLE_CHUNKS(source, 64, **more))
    options = {"epochs": 40, "widths": (16, 4), "n_items": 20, "batch_size": 32, "learning_rate": 0.01}
    streamed = table(**options).fit(path)
    assert sum(len(batch) for batch in streamed._prepare(path).training.batches(32)) == 180
    odd = pd.DataFrame(ODD, columns=list("abcde")).assign(kind=np.where(ODD[:, 0] > 0, "down", "up"))
    truth = np.r_[np.zeros(len(frame)), np.ones(len(odd))]
    assert auroc(truth, streamed.anomaly_score(pd.concat([frame, odd], ignore_index=True))) > 0.9
    np.testing.assert_allclose(streamed.anomaly_score(path), streamed.anomaly_score(frame), rtol=1e-6)
    again = table(**options).fit(path)
    np.testing.assert_array_equal(again.anomaly_score(frame), streamed.anomaly_score(frame))
    kept = keeping().fit(path)
    monkeypatch.undo()
    np.testing.assert_array_equal(kept.anomaly_score(odd), keeping().fit(frame).anomaly_score(odd))


TABLE_CHUNKS = tabular.table_chunks


# ------------------------------------------------------------------------------------------------------------- images


def write_images(folder: Path, images: Any) -> Path:
    folder.mkdir()
    for place, pixels in enumerate(images):
        Image.fromarray(pixels).save(folder / f"{place}.png")
    return folder


@pytest.mark.parametrize("shape", ["grey", "rgb", "uint16"])
def test_files_score_as_arrays_of_the_same_pixels(shape: str, tmp_path: Path) -> None:
    pixels = {
        "grey": IMAGES,
        "rgb": np.stack([IMAGES, IMAGES[::-1], 255 - IMAGES], -1),
        "uint16": IMAGES.astype(np.uint16) * 200,
    }[shape]
    folder = write_images(tmp_path / "images", pixels)
    from_array, from_files = image().fit(pixels), image().fit(folder)
    scores = from_array.anomaly_score(pixels)
    np.testing.assert_array_equal(from_files.anomaly_score(folder), scores)
    np.testing.assert_array_equal(from_array.anomaly_score(sorted(folder.iterdir(), key=lambda p: int(p.stem))), scores)
    np.testing.assert_array_equal(from_files.anomaly_score(str(folder / "3.png")), scores[3:4])
    if shape == "rgb":
        np.testing.assert_array_equal(from_files.anomaly_score(pixels.transpose(0, 3, 1, 2)), scores)


def test_images_that_do_not_fit_into_memory_are_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_images(tmp_path / "images", IMAGES)
    cached = image().fit(folder)
    monkeypatch.setattr(images_module, "CACHE_BYTES", IMAGES.nbytes - 1)
    decoded = image()
    assert isinstance(decoded._prepare(folder).training, ReadAhead)
    np.testing.assert_array_equal(decoded.fit(folder).anomaly_score(folder), cached.anomaly_score(folder))


def test_numbers_keep_their_own_range_and_units_do_not_mix() -> None:
    numbers = IMAGES / 7.0 - 20
    detector = image().fit(numbers)
    assert float(detector.scorer_.scaling.center) == pytest.approx(numbers.min(), rel=1e-6)
    assert float(detector.scorer_.scaling.scale) == pytest.approx(np.ptp(numbers), rel=1e-6)
    with pytest.raises(SchemaError, match="fitted on numbers, this data is grey levels"):
        detector.anomaly_score(IMAGES)
    with pytest.raises(SchemaError, match="fitted on grey levels, this data is numbers"):
        image().fit(IMAGES).anomaly_score(numbers)
    with pytest.raises(SchemaError, match="grey levels"):
        video().fit(VIDEO).anomaly_score(VIDEO / 2)


@pytest.mark.parametrize("size", [64, (64,), (64, 0), "64 64", (64, 64.0)])
@pytest.mark.parametrize(("make", "data"), [(image, IMAGES), (video, VIDEO)], ids=["image", "video"])
def test_a_size_is_height_and_width(make: Any, data: Any, size: Any) -> None:
    with pytest.raises(OptionError, match=r"size must be height and width, as \(64, 64\); got"):
        make(size=size).fit(data)


def test_image_sizes_and_channels() -> None:
    detector = image().fit(IMAGES)
    with pytest.raises(SchemaError, match=r"\(1, 12, 14\).*\(1, 12, 13\)"):
        detector.anomaly_score(IMAGES[:, :, 1:])
    colour = np.repeat(IMAGES[..., None], 3, -1)
    np.testing.assert_allclose(detector.anomaly_score(colour), detector.anomaly_score(IMAGES), rtol=1e-6)
    scaled = image(size=(8, 8), channels=3, per_position=True).fit(IMAGES)
    assert scaled.shape_ == (3, 8, 8)
    assert scaled.spec_.memory.per_position
    assert np.isfinite(scaled.anomaly_score(colour[:5, :, 1:])).all()
    assert ImageMemAE(epochs=1, warmup=0, n_items=4, false_alarm_rate=0.1).fit(IMAGES).spec_.widths  # the default net


# -------------------------------------------------------------------------------------------------------------- video


def write_videos(folder: Path, lengths: list[int]) -> Path:
    folder.mkdir()
    for number, length in enumerate(lengths):
        write_images(folder / f"{number}", street(length, number)[:, ::4, ::4])
    return folder


@pytest.mark.parametrize("buffer", [2**28, 9000])  # all clips and ends fit into the buffer, or few do
def test_videos_larger_than_memory_stream(buffer: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_videos(tmp_path / "videos", [60, 45, 3, 50])
    with pytest.warns(MemaeWarning, match="1 of 4 videos"):
        whole = video(step=2, held_out=0.4)._prepare(folder)
    monkeypatch.setattr(video_module, "IN_MEMORY", 50_000)
    monkeypatch.setattr(video_module, "BUFFER", buffer)
    with pytest.warns(MemaeWarning, match="1 of 4 videos"):
        streamed = video(step=2, held_out=0.4)._prepare(folder)
    assert isinstance(streamed.training, Streamed)
    assert (streamed.shape, streamed.checksum) == (whole.shape, whole.checksum)
    in_order = torch.cat(list(streamed.training.batches(5)))
    assert len(in_order) == len(streamed.training)
    kept = torch.cat(list(whole.training.batches(5)))
    if buffer > 9000:
        assert torch.equal(in_order, kept)
        assert torch.equal(*(torch.cat(list(each.held_out.batches(8))) for each in (streamed, whole)))
    else:  # less is held out, and trains
        assert len(in_order) > len(kept)
        assert len(streamed.held_out) < len(whole.held_out)
        assert 1 < streamed.training.buffer < len(streamed.training)
    shuffled = torch.cat(list(streamed.training.batches(5, torch.Generator().manual_seed(0))))
    assert not torch.equal(shuffled, in_order)
    assert sorted(map(digest_of, shuffled)) == sorted(map(digest_of, in_order))


def digest_of(sample: torch.Tensor) -> str:
    return digest([sample])


@pytest.mark.filterwarnings("ignore::memae.errors.MemaeWarning")
def test_a_streamed_video_trains_like_one_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_videos(tmp_path / "videos", [60, 45])
    whole = video(epochs=4).fit(folder)
    monkeypatch.setattr(video_module, "IN_MEMORY", 0)
    streamed, again = video(epochs=4).fit(folder), video(epochs=4).fit(folder)
    np.testing.assert_array_equal(streamed.anomaly_score(folder), again.anomaly_score(folder))
    losses = [[epoch.held_out_error for epoch in each.history_] for each in (whole, streamed)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.2)  # the order of the clips is another


@pytest.mark.parametrize("score_step", [1, 3])
@pytest.mark.parametrize("length", [4, 5])
def test_each_frame_gets_the_clip_centred_on_it(score_step: int, length: int) -> None:
    """Of clips that are convolved in time; test_following.py has those whose places are scored."""
    in_time = {"strides": ((1, 2, 2), (2, 2, 2)), "smooth": 1}
    detector = video(length=length, score_step=score_step, false_alarm_rate=0.4, **in_time).fit(VIDEO)
    frames = list(detector.frames([OTHER, VIDEO]))
    np.testing.assert_array_equal(detector.anomaly_score([OTHER, VIDEO]), [frame.score for frame in frames])
    clips = Clips([Video("0", torch.from_numpy(OTHER)[:, None], torch.arange(45.0))], length, score_step)
    direct = [part for clip in clips.take(torch.arange(len(clips))) for part in detector.scorer_.batched([clip[None]])]
    starts = clips.origin[:, 1].numpy()
    for number, frame in enumerate(frames[:45]):
        assert (frame.video, frame.frame) == ("0", number)
        assert frame.time == pytest.approx(number / 25)
        off = np.abs(starts + length // 2 - number)
        nearest = np.flatnonzero(off == off.min()).tolist()
        match = [place for place in nearest if np.isclose(frame.score, float(direct[place].score), rtol=1e-6)]
        assert match, f"frame {number} does not score as its nearest clip"
        at = min(max(number - int(starts[match[0]]), 0), length - 1)
        torch.testing.assert_close(frame.error_map, direct[match[0]].error_map[0, :, at])
    assert [(frame.video, frame.frame) for frame in frames[45:]] == [("1", number) for number in range(60)]


def test_inspect_counts_kept_positions() -> None:
    from memae.cli.inspect import describe

    detector = video(kept_samples=37).fit(VIDEO)
    assert describe(detector)["score"]["kept_samples"] == len(detector.scorer_.kept.items) == 37


def test_step_of_training_clips() -> None:
    def steps(step: int) -> int:
        return next(event.steps for event in video(step=step, batch_size=1).fit_steps(VIDEO) if isinstance(event, Step))

    assert steps(1) == pytest.approx(3 * steps(3), abs=3)
    assert steps(1) > 2 * steps(3)


def test_frames_of_files_score_as_arrays(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "v", VIDEO)
    from_array, from_files = video().fit(VIDEO), video().fit(folder)
    np.testing.assert_array_equal(from_files.anomaly_score(folder), from_array.anomaly_score(VIDEO))
    assert {frame.video for frame in from_files.frames(tmp_path)} == {str(folder)}
    deep = video().fit(VIDEO.astype(np.uint16) * 257)
    np.testing.assert_allclose(deep.anomaly_score(VIDEO), from_array.anomaly_score(VIDEO), rtol=1e-4)
    scaled = video(size=(12, 16), channels=3).fit(folder)
    assert scaled.shape_ == (3, 4, 12, 16)
    np.testing.assert_allclose(scaled.anomaly_score(VIDEO), scaled.anomaly_score(folder), rtol=1e-6)


def test_videos_too_short_or_of_another_size() -> None:
    detector = video(step=1).fit([VIDEO, OTHER])
    with pytest.raises(SchemaError, match="has 3 frames, the model needs 4"):
        detector.anomaly_score(VIDEO[:3])
    assert detector.anomaly_score(VIDEO[:4]).shape == (4,)
    with pytest.raises(SchemaError, match=r"\(1, 16, 24\).*\(1, 15, 24\)"):
        detector.anomaly_score(VIDEO[:, 1:])
    with pytest.raises(SchemaError, match=r"has 7 frames; one of at least 20 is .* or set speeds=False"):
        video().fit(VIDEO[:7])
    with pytest.raises(SchemaError, match="scale all videos to one size"):
        video().fit([VIDEO, OTHER[:, 1:]])
    with pytest.warns(MemaeWarning, match="1 of 2 videos are shorter than a clip"):
        video(false_alarm_rate=0.3).fit([VIDEO, OTHER[:3]])


def test_no_training_frame_is_held_out() -> None:
    prepared = video(step=1, held_out=0.2)._prepare([VIDEO, OTHER])
    seen = {
        tuple(frame.flatten().tolist()) for batch in prepared.training.batches(8) for clip in batch for frame in clip[0]
    }
    kept = {
        tuple(frame.flatten().tolist()) for batch in prepared.held_out.batches(8) for clip in batch for frame in clip[0]
    }
    assert seen
    assert kept
    assert not seen & kept
    assert len(seen | kept) == len(VIDEO) + len(OTHER)
