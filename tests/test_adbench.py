"""Tables of ADBench: read, split, measured by a real detector of PyOD, and ranked on the page."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from measurements.adbench import ablation, page, recorded, runs, subsets, tables, unclean
from measurements.adbench import jobs as adbench
from measurements.adbench.detectors import DETECTORS, LEARNED, LEARNING, MIXED, OURS, TIMED, Detector, Given
from memae import TabularMemAE
from memae.errors import SourceError
from memae.metrics import auroc
from recording import records
from reproduction import datasets, protocol
from reproduction.datasets import Frame, Rows


def write(data: Path, name: str, values: np.ndarray, labels: np.ndarray) -> None:
    folder = data / "ADBench" / "Classical"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}.npz", X=values, y=labels)


def table(rows: int = 200, anomalies: int = 20) -> Rows:
    """Normal rows on a line, anomalies beside it."""
    random = np.random.default_rng(0)
    along = random.normal(size=(rows, 1))
    values = np.hstack([along, along, random.normal(size=(rows, 1))])
    values[:anomalies, 1] += 5
    return Rows(values, (np.arange(rows) < anomalies).astype(np.int64))


def test_tables_are_read_from_the_publishers_layout_and_listed_by_number(tmp_path):
    with pytest.raises(SourceError, match=r"holds no .npz files; copy adbench/datasets/Classical"):
        datasets.adbench_names(tmp_path)
    write(tmp_path, "12_fault", np.ones((3, 2)), np.array([0, 1, 0]))
    write(tmp_path, "2_annthyroid", np.arange(6).reshape(3, 2), np.array([[0], [1], [0]]))
    assert datasets.adbench_names(tmp_path) == ["2_annthyroid", "12_fault"]
    values, labels = datasets.adbench("2_annthyroid", tmp_path)
    assert values.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert labels.tolist() == [0, 1, 0]
    with pytest.raises(SourceError, match=r"3_x.npz is missing; there are 2_annthyroid, 12_fault"):
        datasets.adbench("3_x", tmp_path)
    write(tmp_path, "4_odd", np.ones((3, 2)), np.array([0, 1, 2]))
    with pytest.raises(SourceError, match=r"expected \(n, d\) and n of 0 and 1"):
        datasets.adbench("4_odd", tmp_path)


def test_only_normal_rows_are_learned_and_every_other_row_is_tested(monkeypatch):
    rows = table()
    rows = Rows(np.hstack([rows.values, np.arange(200.0)[:, None]]), rows.labels)  # each row has its number
    problem = protocol.one_class_rows(rows, seed=1)
    assert len(problem.training) == 126  # 70 % of 180
    assert problem.labels.sum() == 20
    learned, tested = set(problem.training[:, 3]), set(problem.test[:, 3])
    assert not learned & tested
    assert learned | tested == set(range(200))
    assert not rows.labels[problem.training[:, 3].astype(int)].any()
    np.testing.assert_array_equal(rows.labels[problem.test[:, 3].astype(int)], problem.labels)
    again, other = (protocol.one_class_rows(rows, seed) for seed in (1, 2))
    np.testing.assert_array_equal(again.training, problem.training)
    assert set(other.training[:, 3]) != learned
    monkeypatch.setattr(protocol, "MOST_ROWS", 50)
    fewer = protocol.one_class_rows(rows, seed=1)
    np.testing.assert_array_equal(fewer.training, problem.training[:50])
    np.testing.assert_array_equal(fewer.test, problem.test)


@pytest.mark.parametrize("method", ["ours", "KNN", "AutoEncoder"])
def test_a_run_measures_a_detector(method, monkeypatch):
    if method != "ours":
        pytest.importorskip("pyod", reason="needs the extra bench")
    monkeypatch.setattr(datasets, "adbench", lambda name: {"1_line": table()}[name])
    found = runs.measure("1_line", method, seed=0)
    assert found["auroc"] > 0.95
    assert 0.8 < found["average_precision"] <= 1
    assert found["fit_seconds"] > 0
    assert found["rows"] == {"training": 126, "test": 74, "anomalies": 20}
    again = runs.measure("1_line", method, seed=0)
    assert again["auroc"] == found["auroc"]


def test_a_detector_that_says_nothing_ranks_in_the_middle(monkeypatch):
    class Silent:
        def fit(self, rows: np.ndarray) -> None: ...

        def decision_function(self, rows: np.ndarray) -> np.ndarray:
            return np.full(len(rows), np.nan)

    monkeypatch.setattr(datasets, "adbench", lambda _: table())
    monkeypatch.setitem(runs.BY_KEY, "PCA", Detector("PCA", lambda *_: Silent()))
    found = runs.measure("1_line", "PCA", seed=0)
    assert found["auroc"] == 0.5
    assert found["scores_missing"] == 74


@pytest.fixture
def results(tmp_path, monkeypatch):
    """An empty folder of results, where the page is written as well."""
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(page, "PAGE", tmp_path / "quality.md")
    monkeypatch.setattr(page, "PICTURE", tmp_path / "quality" / "ranks.png")
    monkeypatch.setattr(unclean, "PICTURE", tmp_path / "quality" / "unclean.png")
    monkeypatch.setattr(page, "find_spec", lambda _: None)  # see the test of the picture
    return tmp_path / "results"


PROVENANCE = {"command": "c", "commit": "1234"}


def record(job, **found) -> None:
    records.write(job.path, {"arguments": job.arguments, "provenance": PROVENANCE, **found})


def record_clean(best: dict[str, str], but: tuple[str, str, int] | None = None) -> None:
    """Runs of all detectors on tables, one of which is the best on each; `but` is left out."""
    for name, winner in best.items():
        for place, method in enumerate(DETECTORS):
            for seed in range(adbench.SEEDS):
                value = (0.95 if method.key == winner else 0.9 - place / 100) + seed / 1000
                figures = {"auroc": value, "average_precision": 0.5, "fit_seconds": 1.0 + place, "score_seconds": 0.1}
                if method is OURS:  # each missing measure costs 0.01, except local distance, which costs as much itself
                    figures["subsets"] = {
                        subsets.key(each): value - 0.01 * (4 - len(each)) + 0.02 * ("local distance" not in each)
                        for each in subsets.subsets()
                    }
                if (name, method.key, seed) != but:
                    record(adbench.job(name, method, seed), **figures)


def rows_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_page_ranks_the_detectors_by_complete_seeds_alone(results):
    page.render()
    assert not page.PAGE.exists()
    record_clean({"2_b": "KNN", "10_a": "ours", "3_c": "ours"}, but=("10_a", "VAE", 4))
    page.render()
    text = page.PAGE.read_text()
    rows = rows_of(text)
    assert rows[2].startswith("| **ours**: `TabularMemAE()` | 1.33 | 0.9348 ± 0.0011 | 0.5000 | 2 | 1.00 | 0.100 |")
    each = rows.index(
        "| AUROC | ours | IForest | ECOD | COPOD | KNN | LOF | OCSVM | PCA | AutoEncoder | DeepSVDD | VAE |"
    )
    assert [row.split(" | ")[0] for row in rows[each + 2 : each + 5]] == ["| 2_b", "| 3_c", "| 10_a"]
    assert text.splitlines()[-1] == page.NOTES.read_text().splitlines()[-1]
    assert "; 4 of 5 seeds so far." in text
    assert "ranks.png" not in text
    figures = records.read(results / "summary.json")
    assert figures["adbench/ours/auroc"] == pytest.approx(
        {**figures["adbench/ours/auroc"], "value": 0.9348, "n": 4}, abs=1e-4
    )
    assert figures["adbench/ours/rank_among_detectors"]["value"] == 1
    assert figures["adbench/ours/auroc_minus_best_neural"]["value"] == pytest.approx(0.9348 - 0.8215, abs=1e-4)
    # Of three differences, one is negative and the smallest: 2 of the 8 signs give as high a sum of ranks.
    assert figures["adbench/ours_minus_knn/p_value"]["value"] == pytest.approx(2 / 8)
    assert "| ours minus KNN | +0.0433 | 2 | 1 | 0.2500 | 0.5000 |" in rows


def test_the_picture_of_ranks_is_drawn_where_it_can_be(results, monkeypatch):
    pytest.importorskip("scikit_posthocs", reason="needs the extra bench")
    monkeypatch.undo()
    monkeypatch.setattr(page, "PICTURE", results / "ranks.png")
    values = np.random.default_rng(0).random((6, 3))
    assert page.plot(pd.DataFrame(values, columns=["ours", "KNN", "LOF"]))
    assert page.PICTURE.stat().st_size > 5000


def test_the_page_shows_training_rows_that_are_not_clean(results):
    record_clean({"2_b": "KNN", "10_a": "ours", "3_c": "ours"})
    for job in adbench.unclean_jobs(["2_b", "3_c", "10_a"], DETECTORS, range(5)):
        told, share = job.arguments["method"] == "ours told", job.arguments["share"]
        small = job.arguments["name"] == "10_a"
        record(job, auroc=None if small else 0.9 - share * (0.1 if told else 0.5))
    page.render()
    rows = rows_of(page.PAGE.read_text())
    assert "| ours, share given | 0.9000 | -0.0050 | -0.0100 | -0.0200 |" in rows
    assert "| KNN | 0.9000 | -0.0250 | -0.0500 | -0.1000 |" in rows
    figures = records.read(results / "summary.json")
    assert figures["adbench/ours/auroc_loss_at_10_percent_contamination"]["value"] == pytest.approx(0.01)
    assert unclean.PICTURE.stat().st_size > 5000


def test_the_page_compares_times_of_one_run(results):
    record_clean({"2_b": "KNN", "10_a": "ours"})
    seconds = {"ours": [2.0, 1.0, 9.0], "KNN": [1.0, 1.0, 1.0], "AutoEncoder": [8.0, 16.0, 4.0]}
    record(adbench.times_job("2_b"), fit_cpu_seconds=seconds)
    page.render()
    assert "## Time to fit" not in page.PAGE.read_text()  # a table is missing
    record(adbench.times_job("10_a"), fit_cpu_seconds={key: [3 * each for each in s] for key, s in seconds.items()})
    page.render()
    figures = records.read(results / "summary.json")
    assert figures["adbench/ours/fit_time_vs_pyod_autoencoder"]["value"] == pytest.approx(2 / 8)
    assert figures["adbench/ours/fit_time_vs_pyod_knn"]["value"] == pytest.approx(2)
    assert "| KNN | 2.0000 | 3.00 | 2.000 | 2.000 |" in rows_of(page.PAGE.read_text())


def test_the_page_shows_what_each_measure_adds(results):
    record_clean({"2_b": "KNN", "10_a": "ours", "3_c": "ours"})
    for name in ("2_b", "10_a", "3_c"):
        for seed in (0, 1):
            record(
                adbench.job(name, LEARNED, seed),
                auroc=0.5 + seed / 10, average_precision=0.5, fit_seconds=1, score_seconds=1,
            )  # fmt: skip
    page.render()
    rows = rows_of(page.PAGE.read_text())
    assert "| all four: `TabularMemAE()` | 5 | 0.9353 ± 0.0014 |  |  |  |" in rows
    assert "| without restoring | 5 | 0.9253 ± 0.0014 | -0.0100 | 0 / 3 | 0.250 |" in rows
    assert "| without local distance | 5 | 0.9453 ± 0.0014 | +0.0100 | 3 / 0 | 0.250 |" in rows
    assert "| distance alone | 5 | 0.9253 ± 0.0014 | -0.0100 | 0 / 3 | 0.250 |" in rows
    learned = next(row for row in rows if row.startswith("| learned memory and"))
    assert "| 2 | 0.5500 ± 0.0500 | -0.3838 | 0 / 3 |" in learned  # all four: 0.9338 on these two seeds
    assert not any(row.startswith("| learned memory alone") for row in rows)  # not recorded


def halves_of(subset_auroc: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> list[ablation.Half]:
    names = [f"{number}_x" for number in range(len(others))]
    return ablation.halves(
        pd.DataFrame(subset_auroc, index=names, columns=["error", "distance"]),
        pd.DataFrame(others, index=names, columns=["KNN", "LOF"]),
    )


def test_measures_are_chosen_on_one_half_and_compared_on_the_other():
    first, second = halves_of(
        [(0.9, 0.5), (0.6, 0.8), (0.9, 0.7), (0.5, 0.8)],  # "error" wins on the even tables, "distance" on the odd ones
        [(0.5, 0.6), (0.7, 0.5), (0.8, 0.5), (0.4, 0.7)],
    )
    assert (first.chosen, first.chosen_on, first.left_out) == ("error", ["0_x", "2_x"], ["1_x", "3_x"])
    assert first.seen == pytest.approx(0.9)
    assert first.unseen == pytest.approx(0.55)
    assert first.minus_knn == pytest.approx(0.0)  # 0.6 − 0.7 and 0.5 − 0.4
    assert first.minus_better == pytest.approx(-0.15)  # 0.6 − 0.7 and 0.5 − 0.7
    assert (second.chosen, second.left_out) == ("distance", ["0_x", "2_x"])
    assert second.minus_knn == pytest.approx(-0.05)
    assert second.minus_better == pytest.approx(-0.1)
    figures = ablation.scoreboard([first, second], seeds=5)
    assert figures["adbench/halves/ours_minus_knn"] == {"value": pytest.approx(-0.025), "std": 0.0, "n": 5}
    assert figures["adbench/halves/ours_minus_better_of_knn_and_lof"]["value"] == pytest.approx(-0.125)


def test_each_table_of_halves_of_different_size_counts_once():
    found = halves_of([(0.9, 0.1)] * 3, [(0.6, 0.5), (0.9, 0.5), (0.6, 0.5)])
    assert [len(half.left_out) for half in found] == [1, 2]
    figures = ablation.scoreboard(found, seeds=1)
    assert figures["adbench/halves/ours_minus_knn"]["value"] == pytest.approx(0.2)


@pytest.mark.parametrize("columns", [1, 3])
def test_a_subset_sums_its_measures_as_the_detector_does(columns):
    values, labels = table()
    values = (values + np.random.default_rng(1).normal(size=values.shape))[:, [1, 0, 2][:columns]]  # not too easy
    detector = TabularMemAE(random_state=0).fit(values[labels == 0])
    measured = next(detector.scores(values, maps=False)).measures
    found = subsets.subset_aurocs(detector.scorer_, measured, labels)
    assert len(found) == 15
    assert found["+".join(subsets.MEASURES)] == auroc(labels, detector.anomaly_score(values))
    for index, name in enumerate(detector.scorer_.measured):
        alone = detector.scorer_.balance.surprise(measured)[:, index]
        assert found[name] == auroc(labels, alone.numpy())
    if columns == 1:  # nothing to regress on
        assert found["regression"] == 0.5
        assert found["distance+regression"] == found["distance"]
    else:
        assert detector.scorer_.measured == subsets.MEASURES
        assert found["error+distance"] != found["distance"]


def test_detectors_compare_over_tables():
    first, second = pd.Series([0.9, 0.8, 0.7, 0.6, 0.5]), pd.Series([0.8, 0.6, 0.4, 0.2, 0.5])
    found = recorded.compare(first, second)
    assert found.difference == pytest.approx(0.2)
    assert (found.wins, found.losses) == (4, 0)
    assert found.two_sided == pytest.approx(2 * found.greater)
    assert found.greater == pytest.approx(1 / 16)
    assert recorded.compare(second, first).greater == pytest.approx(1)
    assert recorded.compare(first, first) == (0, 0, 0, 1, 1)


def test_frames_are_split_as_rows_are():
    rows = table()
    frame = Frame(pd.DataFrame(rows.values), rows.labels)
    by_rows, by_frame = protocol.one_class_rows(rows, 3), protocol.one_class_frame(frame, 3)
    np.testing.assert_array_equal(by_frame.training, by_rows.training)
    np.testing.assert_array_equal(by_frame.test, by_rows.test)
    np.testing.assert_array_equal(by_frame.labels, by_rows.labels)
    few = protocol.one_class_frame(frame, 3, most=20)
    np.testing.assert_array_equal(few.training, by_rows.training[:20])
    assert len(few.test) == len(by_rows.test)


def mixed_table() -> Frame:
    """Two columns of categories that agree in normal rows, and a number that is sometimes missing."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [200, 20])
    one = random.integers(4, size=220)
    other = (one + labels * random.integers(1, 4, size=220)) % 4
    number = np.where(random.random(220) < 0.2, np.nan, one + 0.1 * random.normal(size=220))
    frame = pd.DataFrame({"one": np.array(list("abcd"))[one], "other": np.array(list("efgh"))[other], "number": number})
    return Frame(frame, labels)


@pytest.mark.parametrize("method", ["ours", "learned", "KNN"])
def test_a_run_measures_a_detector_on_a_mixed_table(method, monkeypatch):
    if method == "KNN":
        pytest.importorskip("pyod", reason="needs the extra bench")
    monkeypatch.setitem(runs.TABLES, "zoo-3", tables.Table(mixed_table, most=100))
    found = runs.measure_mixed("zoo-3", method, seed=0)
    assert found["auroc"] > 0.9
    assert found["rows"] == {"training": 100, "test": 80, "anomalies": 20}
    assert (found["columns"], found["categories"]) == (3, 2)
    assert found["features"] == 4 + 1 + 4 + 1 + 2  # each category, any other, a number and whether it is missing
    assert 0.2 / 3 / 2 < found["missing"] < 0.2 / 3 * 2
    assert 0 < found["repeated"] < 0.5
    assert found["scores_missing"] == 0


def test_the_page_shows_mixed_tables_apart(results):
    record_clean({"2_b": "KNN", "10_a": "ours"})
    traits = {"rows": {"training": 1000}, "columns": 3, "categories": 2, "features": 9, "missing": 0.1, "repeated": 0.5}
    for job in adbench.mixed_jobs(["sparse", "crx"], MIXED, range(5)):
        better = job.arguments["method"] == "KNN" and job.arguments["name"] == "crx"
        figures = {"average_precision": 0.5, "fit_seconds": 1, "score_seconds": 1}
        record(job, auroc=0.8 if better else 0.75, **figures, **traits)
    page.render()
    text = page.PAGE.read_text()
    rows = rows_of(text)
    traits = [f"| {name} | 1,000 | 3 | 2 | 9 | 10% | 50% |" for name in ("crx", "sparse")]
    assert [row for row in rows if row in traits] == traits
    assert "| crx | 0.750 | 0.750 | **0.800** | 0.750 | 0.750 | 0.750 | 0.750 |" in rows
    assert "- sparse: generated: 1,200 counts of words" in text
    assert "Ours minus KNN: -0.0250 on average, better in 0 tables and worse in 1" in text
    assert "| ours minus KNN | +0.0200 | 1 | 1 |" in text  # they are not mixed into the others


def test_generated_tables_are_what_their_recipes_say():
    words = tables.sparse()
    assert words.columns.shape == (1100, 1200)
    assert words.columns.eq(0).to_numpy().mean() > 0.95
    assert words.labels.sum() == 100
    per_row = words.columns.ne(0).sum(axis=1)
    assert per_row[words.labels == 0].mean() == pytest.approx(per_row[words.labels == 1].mean(), rel=0.05)
    again = tables.repeated()
    normal, odd = (again.columns[again.labels == label] for label in (0, 1))
    assert len(normal) == 2000
    assert len(normal.drop_duplicates()) <= 200
    assert again.columns.isna().to_numpy().mean() == pytest.approx(0.1, abs=0.03)
    assert len(odd.merge(normal.drop_duplicates())) < 5  # only by chance
    pd.testing.assert_frame_equal(again.columns, tables.repeated().columns)


def test_values_are_taken_out_at_random(monkeypatch):
    monkeypatch.setattr(datasets, "keel", lambda _: Frame(mixed_table().columns.fillna(0.0), mixed_table().labels))
    found = tables.with_gaps("crx", share=0.3)
    assert found.columns.isna().to_numpy().mean() == pytest.approx(0.3, abs=0.05)
    assert [str(found.columns[name].dtype) for name in ("number",)] == ["float64"]
    kept = found.columns["one"].notna()
    assert (found.columns["one"][kept] == mixed_table().columns["one"][kept]).all()


def test_times_are_measured_side_by_side(monkeypatch):
    pytest.importorskip("pyod", reason="needs the extra bench")
    monkeypatch.setattr(datasets, "adbench", lambda _: table())
    found = runs.measure_times("1_line", seed=0)["fit_cpu_seconds"]
    assert set(found) == {detector.key for detector in TIMED}
    assert all(len(each) == runs.ROUNDS and min(each) >= 0 for each in found.values())
    assert max(found["AutoEncoder"]) > 0


def test_the_learned_memory_of_before_grows_with_the_rows():
    assert [LEARNED.make(Given(rows, 3, 0)).n_items for rows in (8, 100, 1000)] == [10, 50, 200]
    assert LEARNING[1].make(Given(8, 3, 0)).kept_samples == 0


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    adbench.add_options(parser)
    return parser.parse_args(words)


def test_options_choose_parts(monkeypatch):
    monkeypatch.setattr(datasets, "adbench_names", lambda: ["2_b", "10_a"])
    monkeypatch.setattr(datasets, "keel_names", lambda: list(datasets.KEEL))
    parts = {part: adbench.chosen(options("--parts", part)) for part in adbench.PARTS}
    assert {part: len(found) for part, found in parts.items()} == {
        "clean": 5 * 2 * 13,
        "unclean": 3 * 2 * (4 * 3 + 3),
        "mixed": 3 * len(tables.TABLES) * len(MIXED),
        "times": 2,
    }
    assert {found.name.split("/")[0] for part in parts.values() for found in part} == {
        "adbench", "adbench_unclean", "adbench_mixed", "adbench_times",
    }  # fmt: skip
    every = [found.name for part in parts.values() for found in part]
    assert [found.name for found in adbench.chosen(options())] == [
        *(name for part in ("clean", "unclean", "times", "mixed") for name in (found.name for found in parts[part])),
    ]
    assert len(set(every)) == len(every)
    few = adbench.chosen(options("--sets", "zoo-3", "2_b", "--seeds", "0", "--methods", "ours", "learned alone"))
    assert [found.name for found in few if "unclean" not in found.name] == [
        "adbench/2_b/ours-0", "adbench/2_b/learned_alone-0", "adbench_times/2_b", "adbench_mixed/zoo-3/ours-0",
    ]  # fmt: skip


def test_anomalies_among_the_training_rows_are_not_tested_and_all_else_stays():
    rows = table(1000, 100)
    rows = Rows(np.hstack([rows.values, np.arange(1000.0)[:, None]]), rows.labels)  # each row has its number
    found = {share: protocol.contaminated_rows(rows, share, seed=1) for share in protocol.SHARES}
    clean = found[0.0]
    assert len(clean.training) == 200  # four times the half of the anomalies
    for share, problem in found.items():
        learned = problem.training[:, 3].astype(int)
        assert rows.labels[learned].mean() == pytest.approx(share, abs=0.003)
        np.testing.assert_array_equal(problem.training[:200], clean.training)
        np.testing.assert_array_equal(problem.test, clean.test)
        assert not set(learned) & set(problem.test[:, 3].astype(int))
        np.testing.assert_array_equal(rows.labels[problem.test[:, 3].astype(int)], problem.labels)
    assert clean.labels.sum() == 50
    assert protocol.contaminated_rows(table(300, 40), 0.1, seed=1) is None


@pytest.mark.parametrize("method", ["ours", "ours told"])
def test_a_detector_learns_from_rows_that_are_not_clean(method, monkeypatch):
    monkeypatch.setattr(datasets, "adbench", lambda name: {"1_line": table(1000, 100), "2_small": table()}[name])
    found = runs.measure_contaminated("1_line", method, share=0.2, seed=0)
    assert found["auroc"] > (0.9 if method == "ours told" else 0.6)
    assert found["rows"] == {"training": 250, "test": 320}
    assert runs.measure_contaminated("2_small", method, share=0.2, seed=0) == {"auroc": None}
