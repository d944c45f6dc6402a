"""Detectors for tables whose memory is kept rows: what they keep, how rows are measured, and what that promises."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.covariance import ledoit_wolf

from memae import TabularMemAE, load
from memae.errors import InputError, MemaeWarning
from memae.estimators.keeping import CALIBRATING, apart_of, central, left_out_scores
from memae.kept import KeptMemory
from memae.metrics import auroc
from memae.model import Found
from memae.scoring.balance import KNOTS, Balance
from memae.scoring.fitting import residual_matrix
from memae.scoring.measures import RegressionError


def rows(n: int, seed: int, d: int = 6) -> Any:
    """Columns of which half follow from the others, nearly."""
    random = np.random.default_rng(seed)
    free = random.normal(size=(n, d // 2 + d % 2))
    mixing = np.random.default_rng(99).normal(size=(free.shape[1], d // 2))
    return np.concatenate([free, free @ mixing + 0.1 * random.normal(size=(n, d // 2))], 1)


def goods(n: int, seed: int) -> pd.DataFrame:
    """Numbers with gaps, of which one follows from the other, and categories with gaps."""
    random = np.random.default_rng(seed)
    size, shop = random.normal(10, 2, n), random.choice(["north", "south", "west"], n)
    frame = pd.DataFrame({"size": size, "weight": 3 * size + (shop == "west") + random.normal(0, 0.3, n), "shop": shop})
    frame["grade"] = np.where(size > 11, "large", np.where(size > 9, "middle", "small"))
    frame["grade"] = frame["grade"].mask(random.random(n) < 0.1)
    frame["weight"] = frame["weight"].mask(random.random(n) < 0.1)
    return frame


def known(detector: TabularMemAE, X: Any) -> Any:
    """Whether each row is kept as an item."""
    items = {tuple(row) for row in detector.scorer_.kept_samples.tolist()}  # type: ignore[union-attr]
    return np.array([tuple(row) in items for row in detector.scorer_.normalise(detector.encode(X)).tolist()])


# --------------------------------------------------------------------------------------------------- rows left out


def test_the_score_of_a_row_that_is_left_out_is_that_of_a_memory_that_lacks_it() -> None:
    X = rows(60, 0)
    detector = TabularMemAE(false_alarm_rate=0.1).fit(X)
    scorer, memory = detector.scorer_, detector.scorer_.model.memory
    assert isinstance(memory, KeptMemory)
    found = left_out_scores(scorer, detector.encode(X))
    kept = known(detector, X)
    assert kept.sum() > 50
    x = scorer.normalise(detector.encode(X))
    for row in (0, 7, 31, 59):
        others = (memory.items != x[row]).any(1)
        lacking = KeptMemory(int(others.sum()), (1,) * 6).double()
        lacking.items.data.copy_(memory.items[others])
        lacking.isolation.copy_(memory.isolation[others])  # how isolated they are was measured with the row
        model = type(scorer.model)(scorer.model.encoder, lacking, scorer.model.decoder, (6,)).eval()
        without = next(scorer.replaced(model=model).batched([detector.encode(X[[row]])])).score
        assert found[row] == pytest.approx(float(without), rel=1e-9)
    as_new = detector.anomaly_score(X)
    assert (found[kept] > as_new[kept]).all()


def test_the_calibration_is_of_all_rows_each_left_out() -> None:
    for X in (rows(200, 1, 1), rows(200, 1)):
        detector = TabularMemAE().fit(X)
        scores = np.sort(left_out_scores(detector.scorer_, detector.encode(X)))
        calibrating = np.sort(detector.calibration_.scores)
        if "regression" in detector.scorer_.measured:  # which leaves the row out as well
            assert (calibrating > scores).all()
            np.testing.assert_allclose(calibrating, scores, rtol=0.1)
        else:
            np.testing.assert_allclose(calibrating, scores, rtol=1e-9)
    few = TabularMemAE(kept_samples=50).fit(X)
    assert len(few.calibration_.scores) == 200  # rows that are not kept calibrate as they are
    assert known(few, X).sum() == 50


def test_no_more_rows_calibrate_than_are_told() -> None:
    assert len(TabularMemAE().fit(rows(CALIBRATING + 500, 0, 2)).calibration_.scores) == CALIBRATING


def test_a_row_that_occurs_twice_is_its_own_neighbour() -> None:
    items = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=torch.float64)
    given = torch.cat([items[[1, 0, 1]], torch.tensor([[1.0, 4.0], [-0.0, 0.0]], dtype=torch.float64)])
    assert apart_of(given, items).tolist() == [-1, 0, -1, -1, -1]
    assert apart_of(items, items.flip(0)).tolist() == [2, 1, 0]
    X = rows(100, 2)
    twice = np.concatenate([X, X[:1]])
    detector = TabularMemAE().fit(twice)
    found = left_out_scores(detector.scorer_, detector.encode(twice))
    np.testing.assert_allclose(found[[0, 100]], detector.anomaly_score(X[:1])[0], rtol=1e-12)


# -------------------------------------------------------------------------------------------------------- promises


def flagged(make: Any, seeds: int, n: int, new: int, **options: Any) -> int:
    """Number of rows flagged of `new` normal ones, over all seeds."""
    told = 0
    for seed in range(seeds):
        detector = TabularMemAE(random_state=seed, **options).fit(make(n, 2 * seed))
        told += int((detector.predict(make(new, 2 * seed + 1)) == -1).sum())
    return told


def repeated(n: int, seed: int) -> pd.DataFrame:
    """Rows of few values: most occur many times."""
    random = np.random.default_rng(seed)
    return pd.DataFrame({name: random.poisson(0.4, n) for name in "abc"}).assign(kind=random.choice(["x", "y"], n))


def skewed(n: int, seed: int) -> Any:
    return np.exp(1.5 * rows(n, seed, 4))


@pytest.mark.parametrize(
    ("make", "n", "rate"),
    [(rows, 40, 0.1), (rows, 150, 0.1), (rows, 600, 0.05), (goods, 150, 0.1), (repeated, 300, 0.1), (skewed, 200, 0.1)],
    ids=["40", "150", "600", "categories", "repeated", "skewed"],
)
def test_no_more_new_normal_rows_are_flagged_than_promised(make: Any, n: int, rate: float) -> None:
    """Rows that are left out score as new ones do, up to the one row more that new ones can read.

    Over the seeds, the share of flagged rows of each detector varies as a beta distribution; the band is that of their
    sum at 99.9 %, by a normal approximation.
    """
    seeds, new = 16, 500
    share = flagged(make, seeds, n, new, false_alarm_rate=rate) / (seeds * new)
    spread = math.sqrt(rate * (1 - rate) * (1 / n + 1 / new) / seeds)
    assert share < rate + 3.3 * spread
    if make is not repeated:  # where many rows score alike, fewer are flagged than promised
        assert share > rate - 1.5 / n - 3.3 * spread


def test_a_few_rows_promise_what_they_can() -> None:
    with pytest.warns(
        MemaeWarning, match=r"9 normal samples are too few for .* 0\.05, which needs 19; it is set to 0\.1"
    ):
        detector = TabularMemAE().fit(rows(9, 0))
    assert detector.calibration_.false_alarm_rate == pytest.approx(0.1)


# --------------------------------------------------------------------------------------------------- contamination


@pytest.mark.parametrize("seed", range(3))
def test_told_contamination_helps_and_untold_anomalies_are_not_fatal(seed: int) -> None:
    random = np.random.default_rng(seed)
    odd = random.normal(0, 0.3, (160, 6)) + np.tile([3, -3], 3)  # they resemble each other
    mixed = np.concatenate([rows(360, 2 * seed), odd[:40]])
    test, labels = np.concatenate([rows(200, 2 * seed + 1), odd[40:]]), np.repeat([0, 1], [200, 120])
    clean, told, untold = (
        auroc(labels, TabularMemAE(**options).fit(X).anomaly_score(test))
        for options, X in (({}, mixed[:360]), ({"contamination": 0.1}, mixed), ({}, mixed))
    )
    assert min(clean, told) > 0.98
    assert untold < told - 0.01


def test_the_share_told_is_neither_kept_nor_calibrates() -> None:
    X = np.concatenate([rows(180, 0), 20 + rows(20, 1)])
    detector = TabularMemAE(contamination=0.1, false_alarm_rate=0.1).fit(X)
    assert not known(detector, X[180:]).any()
    assert len(detector.calibration_.scores) == 180
    assert (detector.predict(X[180:]) == -1).all()


def test_the_rows_farthest_from_all_others_are_left_out_even_if_they_resemble_each_other() -> None:
    x = torch.cat([torch.randn(190, 3, generator=torch.Generator().manual_seed(0)), torch.full((10, 3), 6.0)])
    x = x[torch.randperm(200, generator=torch.Generator().manual_seed(1))]
    remain = central(x, 0.05)
    assert int(remain.sum()) == 190
    assert not remain[(x == 6).all(1)].any()
    assert central(x, 0.0).all()
    assert central(x[:30], 0.01).all()  # too few to say


# --------------------------------------------------------------------------------------------------- contributions


@pytest.mark.parametrize("make", [rows, goods, repeated], ids=["numbers", "categories", "repeated"])
def test_contributions_sum_to_the_scores(make: Any) -> None:
    detector = TabularMemAE(false_alarm_rate=0.1).fit(make(150, 0))
    new = make(60, 1)
    parts = detector.contributions(new)
    assert parts.shape == np.shape(new)
    assert (parts.to_numpy() >= 0).all()
    np.testing.assert_allclose(parts.sum(axis=1), detector.anomaly_score(new), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(detector.contributions(make(150, 0)).sum(axis=1), detector.anomaly_score(make(150, 0)))


def test_the_column_that_is_odd_contributes_most() -> None:
    detector = TabularMemAE().fit(rows(500, 0))
    for column in range(6):
        odd = rows(30, 1)
        odd[:, column] += 6 * odd[:, column].std()
        assert (detector.contributions(odd).to_numpy().argmax(1) == column).mean() > 0.8


# ------------------------------------------------------------------------------------------------- tables of any form


def wide(n: int) -> Any:
    return np.random.default_rng(0).integers(0, 2, (n, 1500)).astype(float)


FORMS: dict[str, Any] = {
    "one column": rows(50, 0, 1),
    "one column of one value": np.ones((30, 1)),
    "two rows": rows(2, 0),
    "five rows": rows(5, 0),
    "two rows alike": np.ones((2, 3)),
    "rows all alike": np.ones((40, 4)),
    "two rows, repeated": np.tile([[0.0, 1.0], [2.0, 5.0]], (20, 1)),
    "constant columns": np.c_[rows(60, 0), np.full((60, 2), 7.0)],
    "1,500 columns": wide(30),
    "categories": goods(80, 0),
    "categories alone": goods(80, 0)[["shop", "grade"]],
    "missing mostly": pd.DataFrame({"a": [1.0, 2.0] + [np.nan] * 58, "b": np.sqrt(np.arange(60.0))}),
    "copies of a column": np.repeat(rows(60, 0, 2), 3, axis=1),
    "more columns than rows": rows(12, 0, 60),
    "zeros mostly": np.where(np.random.default_rng(0).random((90, 5)) < 0.95, 0.0, rows(90, 1, 5)),
    "huge and tiny": rows(60, 0) * [1e12, 1e-12, 1, 1e6, 1e-6, 1],
}


@pytest.mark.filterwarnings("ignore::memae.errors.MemaeWarning")  # few rows promise little
@pytest.mark.parametrize("form", FORMS)
def test_tables_of_any_form_are_kept_scored_and_stored(form: str, tmp_path: Path) -> None:
    X = FORMS[form]
    detector = TabularMemAE().fit(X)
    scores = detector.anomaly_score(X)
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    assert detector.calibration_.scores.isfinite().all()
    assert math.isfinite(detector.threshold_)
    assert (detector.predict(X) == -1).mean() <= 0.5
    np.testing.assert_allclose(detector.contributions(X).sum(axis=1), scores, rtol=1e-7, atol=1e-9)
    detector.save(tmp_path / "m")
    np.testing.assert_array_equal(load(tmp_path / "m").anomaly_score(X), scores)
    names = detector.contributions(X).columns
    assert len(next(iter(detector.explain(X, only={0, 1}))).contributions) == len(names)
    other = X.copy() if isinstance(X, pd.DataFrame) else pd.DataFrame(X)
    number = [name for name in other.columns if pd.api.types.is_numeric_dtype(other[name])]
    if number:
        other[number] = other[number] * 50.0 + 1e15
        moved = detector.anomaly_score(other if isinstance(X, pd.DataFrame) else other.to_numpy())
        assert (moved > scores.max()).mean() > 0.9


@pytest.mark.filterwarnings("ignore::memae.errors.MemaeWarning")
def test_of_rows_all_alike_another_one_is_flagged() -> None:
    detector = TabularMemAE(false_alarm_rate=0.05).fit(np.ones((60, 4)))
    assert (detector.predict(np.ones((5, 4))) == 1).all()
    other = np.ones((4, 4))
    other[np.arange(4), np.arange(4)] = 5.0
    assert (detector.predict(other) == -1).all()


def test_a_score_is_the_same_in_any_company() -> None:
    for X, new in ((rows(700, 0), rows(300, 1)), (repeated(700, 0), repeated(300, 1)), (goods(300, 0), goods(100, 1))):
        detector = TabularMemAE().fit(X)
        together = detector.anomaly_score(new)
        alone = np.concatenate([detector.anomaly_score(new[row : row + 1]) for row in range(0, 100, 9)])
        np.testing.assert_allclose(alone, together[:100:9], rtol=1e-11)
        np.testing.assert_allclose(detector.anomaly_score(new[::-1])[::-1], together, rtol=1e-11)


# ---------------------------------------------------------------------------------------------------- names of rows


def test_items_are_the_rows_that_they_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = goods(150, 0)
    frame.to_csv(tmp_path / "t.csv", index=False)
    odd = pd.concat([frame.assign(size=400.0).head(8), frame], ignore_index=True)
    whole, clean = TabularMemAE().fit(frame), TabularMemAE(contamination=0.06).fit(odd)
    monkeypatch.setattr("memae.estimators.tabular.IN_MEMORY", 0)
    streamed = TabularMemAE(kept_samples=70).fit(tmp_path / "t.csv")
    for detector, source in ((whole, frame), (clean, odd), (streamed, pd.read_csv(tmp_path / "t.csv"))):
        assert detector.examples_ is not None
        numbers = [int(name.removeprefix("row ")) for name in detector.examples_.names]
        assert len(numbers) == len(set(numbers))
        x = detector.scorer_.normalise(detector.encode(source.iloc[numbers]))
        assert torch.equal(x, detector.scorer_.kept_samples)
    assert min(int(name.removeprefix("row ")) for name in clean.examples_.names) >= 8  # type: ignore[union-attr]
    (evidence,) = whole.explain(frame.iloc[[17]])
    first = evidence.items[0]
    (itself,) = first.neighbours
    assert itself.distance == 0
    number = int(itself.sample.removeprefix("row "))
    told = {cell.column: cell.value for cell in first.row}
    assert told["size"] == pytest.approx(frame["size"][number])
    assert told["shop"] == frame["shop"][number]
    assert sum(item.weight for item in evidence.items) <= 1 + 1e-9


# ---------------------------------------------------------------------------------------------------------- update


def test_an_update_names_rows_old_and_new() -> None:
    old = TabularMemAE().fit(rows(100, 0))
    one = old.update(rows(60, 1) + 5)
    two = one.update(rows(50, 2) - 5)
    assert old.examples_ is not None
    assert two.examples_ is not None
    assert all(name.startswith("row ") and "update" not in name for name in old.examples_.names)
    sources = {"": rows(100, 0), " of update 1": rows(60, 1) + 5, " of update 2": rows(50, 2) - 5}
    assert len(two.examples_.names) == len(set(two.examples_.names)) == 210
    for name, item in zip(two.examples_.names, two.scorer_.kept_samples, strict=True):
        number, _, update = name.removeprefix("row ").partition(" of update ")
        source = sources[f" of update {update}" if update else ""]
        torch.testing.assert_close(two.scorer_.normalise(two.encode(source[[int(number)]]))[0], item)
    assert old.learned_ + 60 == one.learned_ == two.learned_ - 50
    assert [epoch.epoch for epoch in two.history_] == [1, 2, 3]


def test_an_update_keeps_no_more_than_allowed_and_leaves_the_old_as_it_was() -> None:
    old = TabularMemAE(kept_samples=80).fit(rows(200, 0))
    state = {name: value.clone() for name, value in old.scorer_.state_dict().items()}
    new = old.update(rows(150, 1) + 4)
    assert len(new.scorer_.kept_samples) == 80
    old_rows, new_rows = known(new, rows(200, 0)).sum(), known(new, rows(150, 1) + 4).sum()
    assert old_rows + new_rows == 80
    assert min(old_rows, new_rows) > 10
    assert all(torch.equal(value, state[name]) for name, value in old.scorer_.state_dict().items())
    assert torch.equal(new.scorer_.scaling.center, old.scorer_.scaling.center)


def test_an_update_needs_as_many_rows_as_the_threshold() -> None:
    old = TabularMemAE(false_alarm_rate=0.1).fit(rows(100, 0))
    with pytest.raises(InputError, match=r"8 new rows are too few .* false-alarm rate of 0\.1 needs 9"):
        old.update(rows(8, 1))
    assert old.update(rows(9, 1)).calibration_.false_alarm_rate == 0.1
    old.recalibrate(false_alarm_rate=0.2)
    assert old.update(rows(4, 1)).calibration_.false_alarm_rate == 0.2  # that of the detector, not the parameter


# ------------------------------------------------------------------------------------------------------- surprises


def test_surprises_are_bits() -> None:
    normal = torch.stack([torch.arange(1.0, 2001), torch.arange(1.0, 2001) ** 2], 1).double()
    balance = Balance.of_surprise(normal, torch.ones(2))
    for bit in range(KNOTS):
        at = normal.quantile(1 - 0.5**bit, 0)[None]
        np.testing.assert_allclose(balance.surprise(at), [[bit, bit]], atol=1e-9)
    assert (balance.surprise(normal[:1] - 5) == 0).all()
    excess = torch.stack([balance.knots[:, -1] + step * balance.halving for step in (1, 2, 10)])  # type: ignore[index]
    np.testing.assert_allclose(balance.surprise(excess), [[4, 4], [5, 5], [13, 13]])


def test_an_exponential_tail_is_continued_as_such() -> None:
    normal = -torch.rand(100_000, 1, generator=torch.Generator().manual_seed(0)).double().log()
    balance = Balance.of_surprise(normal, torch.ones(1))
    for bits in (4, 6, 10, 20):
        found = float(balance.surprise(torch.tensor([[bits * math.log(2)]]).double()))
        assert found == pytest.approx(bits, rel=0.02)


@pytest.mark.parametrize("values", ["normal", "ties", "alike", "zeros", "one", "steps"])
def test_a_surprise_never_falls_as_the_measure_rises(values: str) -> None:
    normal = {
        "normal": torch.randn(200, 1, generator=torch.Generator().manual_seed(0)),
        "ties": torch.tensor([0.0] * 150 + [1.0] * 40 + [5.0] * 10)[:, None],
        "alike": torch.full((50, 1), 3.0),
        "zeros": torch.zeros(50, 1),
        "one": torch.ones(1, 1),
        "steps": torch.tensor([0.0] * 60 + [1.0] * 20 + [2.0] * 20)[:, None],
    }[values].double()
    balance = Balance.of_surprise(normal, torch.ones(1))
    grid = torch.linspace(float(normal.min()) - 1, float(normal.max()) + 20, 4000, dtype=torch.float64)[:, None]
    bits = balance.surprise(grid)
    assert bits.isfinite().all()
    assert (bits.diff(dim=0) >= 0).all()
    assert (bits[grid <= normal.min()] == 0).all()
    assert (bits[grid > normal.max()] > 0).all()
    assert (balance.knots.diff(dim=1) > 0).all()  # type: ignore[union-attr]


def test_factors_times_measures_are_the_score() -> None:
    normal = torch.rand(300, 3, generator=torch.Generator().manual_seed(0)).double()
    weights = torch.tensor([0.2, 0.5, 0.3]).double()
    balance = Balance.of_surprise(normal, weights)
    values = 2 * torch.rand(40, 3, generator=torch.Generator().manual_seed(1)).double()
    values[0] = 0
    wanted = (balance.surprise(values) * weights).sum(1)
    torch.testing.assert_close(balance(values), wanted)
    torch.testing.assert_close((balance.factors(values) * values).sum(1), wanted)


# ------------------------------------------------------------------------------------------------------ regression


@pytest.mark.parametrize("fields", [(1, 1, 1, 1, 1, 1), (1, 3, 2), (2, 1, 1, 2)])
def test_residuals_are_those_of_least_squares(fields: tuple[int, ...]) -> None:
    x = rows(400, 0)
    x = x - x.mean(0)
    matrix = residual_matrix(torch.from_numpy(np.linalg.inv(x.T @ x / len(x))), fields).numpy()
    start = 0
    for width in fields:
        own = np.arange(start, start + width)
        others = np.delete(np.arange(6), own)
        wanted = x[:, own] - x[:, others] @ np.linalg.lstsq(x[:, others], x[:, own], rcond=None)[0]
        np.testing.assert_allclose(x @ matrix[own].T, wanted, atol=1e-10)
        start += width


def test_residuals_of_a_category() -> None:
    """A block of zeros and a one is singular with its sum: with a ridge, it is regressed as a whole."""
    random = np.random.default_rng(0)
    kind = random.integers(0, 3, 500)
    x = np.c_[np.eye(3)[kind], kind + 0.1 * random.normal(size=500), random.normal(size=500)]
    x = x - x.mean(0)
    covariance = torch.from_numpy(ledoit_wolf(x)[0])
    covariance.diagonal().add_(1e-9)
    matrix = residual_matrix(torch.linalg.inv(covariance), (3, 1, 1)).numpy()
    assert np.isfinite(matrix).all()
    inverse = np.linalg.inv(covariance[3:, 3:].numpy())
    wanted = x[:, :3] - x[:, 3:] @ inverse @ covariance[3:, :3].numpy()
    np.testing.assert_allclose(x @ matrix[:3].T, wanted, atol=1e-6)


def test_the_regression_error_is_a_sum_of_its_parts() -> None:
    x = torch.from_numpy(rows(50, 0))
    mean, expected = x.mean(0), torch.rand(6, generator=torch.Generator().manual_seed(0)).double() + 0.5
    matrix = residual_matrix(torch.linalg.inv(torch.cov(x.T)), (1,) * 6)
    measure = RegressionError(mean, matrix, expected)
    value, parts = measure(x, Found(x, None, x, None, torch.zeros(50, dtype=torch.bool)))
    torch.testing.assert_close(parts, ((x - mean) @ matrix.T).abs() / expected)
    torch.testing.assert_close(value, parts.sum(1))
    measure.check((6,), (6,), torch.float64)
    for shape, dtype in (((5,), torch.float64), ((6,), torch.float32)):
        with pytest.raises(ValueError, match="the regression does not fit the model"):
            measure.check(shape, shape, dtype)


def test_a_row_that_breaks_a_sum_is_found_by_the_regression() -> None:
    """Each value is usual, and so are any two: only all columns together tell."""
    random = np.random.default_rng(0)
    parts = random.normal(size=(600, 12))
    normal, new = np.c_[parts, parts.sum(1)][:500], np.c_[parts, parts.sum(1)][500:]
    odd = new.copy()
    odd[:, -1] = np.roll(odd[:, -1], 1)
    detector = TabularMemAE().fit(normal)
    at = detector.scorer_.measured.index("regression")
    values = torch.cat([part.measures for part in detector.scores(np.r_[new, odd], maps=False)])
    found = [auroc(np.repeat([0, 1], 100), each.numpy()) for each in values.unbind(1)]
    assert found[at] > 0.85
    assert found[at] > max(each for place, each in enumerate(found) if place != at) + 0.1


def test_measures_of_one_column_have_no_regression() -> None:
    assert TabularMemAE().fit(rows(50, 0, 1)).scorer_.measured == ("error", "distance", "local distance")
    detector = TabularMemAE().fit(rows(50, 0, 2))
    assert detector.scorer_.measured == ("error", "distance", "local distance", "regression")
