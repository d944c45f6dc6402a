"""Table 3 on a small table of its form: every method runs and its figures are those of its scores."""

import numpy as np
import pandas as pd
import pytest

from memae.metrics import auroc
from memae.options import Epoch
from recording import records
from reproduction import datasets
from reproduction.datasets import Rows
from reproduction.table3 import methods, recipes, runs
from reproduction.table3.methods import TABLE


def frame(n: int = 1200) -> pd.DataFrame:
    """Normal rows of few kinds, as attacks are, most of them equal, and others that vary."""
    random = np.random.default_rng(0)
    other = random.random(n) < 0.2
    kind = random.integers(3, size=n)
    varies = other | (random.random(n) < 0.3)
    count = np.where(other, random.normal(200, 60, n), kind * 10)
    found = {f"number_{place}": count * place + random.normal(0, 2, n) * varies for place in range(1, 21)}
    found["service"] = np.where(other, random.choice(["http", "smtp", "ftp"], n), "ecr_i")
    return pd.DataFrame(found | {"label": other.astype(int)})


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    table = frame()

    def features(columns: int) -> Rows:
        assert columns == 120
        labels = table["label"].to_numpy()
        return Rows(pd.get_dummies(table.drop(columns="label"), dtype=float).to_numpy(), labels)

    runs.load.cache_clear()
    monkeypatch.setattr(datasets, "kddcup", table.copy)
    monkeypatch.setattr(datasets, "kddcup_features", features)
    monkeypatch.setattr(recipes, "EPOCHS", 4)
    monkeypatch.setattr(recipes, "BATCH", 64)
    monkeypatch.setattr(runs, "EPOCHS", dict.fromkeys(runs.EPOCHS, 4))


def test_every_method_has_a_row_and_every_row_a_method():
    assert len({method.key for method in TABLE.methods}) == len(TABLE.methods)
    found = [each.name for each in TABLE.jobs()]
    assert len(found) == len(set(found))
    assert len(found) == sum(method.seeds["120"] for method in TABLE.methods) + 6 * (len(TABLE.cells) - 1)
    assert found.index("table3/memae_paper/0") < found.index("table3/ae/1") < found.index("table3/ae_118/0")
    assert [each.name for each in TABLE.jobs(None, [TABLE.method("pca_2")], [4, 5])] == ["table3/pca_2/4"]


@pytest.mark.parametrize("method", [each.key for each in TABLE.methods])
def test_every_method_runs_and_gives_all_figures(method, tmp_path):
    found = methods.measure(method, seed=0, columns=120, checkpoint=tmp_path / "checkpoint")
    assert found["sets"].keys() == {"paper", "all anomalies", "without duplicates"}
    for each in found["sets"].values():
        assert 0 <= each["auroc"] <= 1
        assert {"precision", "recall", "f1"} == each["top 20 %"].keys() == each["held-out 1 %"].keys()
    assert found["sets"]["paper"]["rows"] == 600
    assert found["sets"]["all anomalies"]["anomalies"] == frame()["label"].sum()
    if not method.startswith("untrained"):
        assert found["sets"]["paper"]["auroc"] > 0.9
    if "curve" in found:
        assert len(found["curve"]) == len(found["held_out_error"]) == 4
    if method.endswith("longest"):
        assert found["epoch"] == np.argmin(found["held_out_error"]) + 1


def test_training_ends_on_a_plateau_of_the_held_out_error():
    def ends(*errors: float) -> bool:
        return recipes.on_a_plateau([Epoch(n, 0.0, 0.0, 0.0, error, None, 0.0) for n, error in enumerate(errors, 1)])

    assert ends(9, 1.0, 0.995, 0.991, 0.99)
    assert not ends(1.0, 0.995, 0.991)  # too few
    assert not ends(1.0, 0.98, 0.979, 0.978)
    assert ends(1.0, 1.1, 1.2, 1.3)  # no gain at all


def test_a_training_that_ended_keeps_its_last_epoch(monkeypatch, tmp_path):
    monkeypatch.setattr(recipes, "GAIN", 1.0)  # no gain is enough
    monkeypatch.setattr(recipes, "EPOCHS", 6)
    found = methods.measure("ae", seed=0, columns=120, checkpoint=tmp_path / "checkpoint")
    assert found["epoch"] == len(found["curve"]) == 4


def test_figures_are_those_of_the_scores_and_thresholds_come_from_where_they_say():
    labels = np.repeat([0, 1], [90, 10])
    scores = np.r_[np.arange(90.0), np.arange(85, 95) + 0.5]
    found = runs.figures(labels, scores, held_out=np.arange(100.0))
    assert found["auroc"] == auroc(labels, scores)
    assert found["true ratio"]["f1"] == pytest.approx(0.8)  # 10 flagged: 8 of them are anomalies
    assert found["top 20 %"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3)}
    assert found["held-out 1 %"]["recall"] == 0.0  # 98.01 is the 99th percentile


def test_rows_are_scaled_by_the_learned_ones_and_duplicates_of_them_are_known():
    rows = datasets.kddcup_features(120)
    problem = runs.Problem.draw(rows, seed=1)
    assert problem.training.min() == 0
    assert problem.training.max() == 1
    assert problem.test.max() > 1  # anomalies lie outside
    seen = {tuple(row) for index in problem.halves[:2] for row in rows.values[index]}
    expected = [tuple(row) not in seen for row in rows.values[problem.halves.wider]]
    np.testing.assert_array_equal(problem.fresh, expected)
    assert 0 < problem.fresh.sum() < len(expected)


def test_the_variants_of_memae_differ_by_their_memory_alone():
    plain, full = recipes.autoencoder(120, 0), recipes.paper(120, 0)
    assert plain.spec.widths == (60, 30, 10, 3)
    assert plain.spec.memory is None
    assert full.spec.memory.items == 50
    assert full.options == plain.options
    assert recipes.without_sparsity(120, 0).options.alpha == 0
    assert recipes.authors(120, 0).signed


def test_the_page_shows_every_method_and_the_figures_of_its_runs(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra bench")
    from reproduction.table3 import page

    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(page, "PICTURES", tmp_path / "reproduce")
    assert page.section() == []
    f1 = {"ae": 0.94, "memae_paper": 0.95, "memae_authors": 0.96, "pca_2": 0.97, "ours": 0.98, "ae_longest": 0.9}
    for each in TABLE.jobs(None, map(TABLE.method, f1), [0, 1, 2]):
        seed, method = each.arguments["seed"], each.arguments["method"]
        flags = {key: {"precision": 0.5, "recall": 0.6, "f1": f1[method] + seed / 1000} for key in page.THRESHOLDS}
        sets = {key: {"auroc": 0.99, "average_precision": 0.9, **flags} for key in page.SETS}
        found = {"sets": sets, "seconds": 7.0, "provenance": {"command": "c", "commit": "1234"}}
        if method in ("ae", "ae_longest"):
            found |= {"epoch": 3 + seed, "curve": [0.9, None, 0.8], "held_out_error": [3.0, 2.0, 1.0]}
        records.write(each.path, {"arguments": each.arguments, **found})
    lines = page.section()
    assert (
        "| AE | 0.9328 / 0.9356 / 0.9342 | 0.5000 / 0.6000 | 0.9410 ± 0.0010 | +0.0068 | 0.9900 | 3 | 3–5 | 7 |"
        in lines
    )
    assert any(
        line.startswith("| **ours**: `TabularMemAE()` | 0.9810 | 0.9810 | 0.9810 | 0.9900 / 0.9000") for line in lines
    )
    assert "| AE" + 4 * " | 0.9410 ± 0.0010 (3 runs)" + " |" in lines
    figures = records.read(tmp_path / "results" / "table3.json")["kddcup"]["figures"]
    assert figures["table3/kddcup/memae/f1"]["value"] == pytest.approx(0.961)  # the better of the two settings
    assert figures["table3/kddcup/ours_minus_best_control/f1"]["value"] == pytest.approx(0.01)
    assert (tmp_path / "reproduce" / "curves_kddcup.png").stat().st_size > 5000
