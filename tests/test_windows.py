"""Windows of neighbouring rows: where they lie, what stands for them, and whose score a row has."""

import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from tests.test_service import asking

from memae import TabularMemAE, load
from memae.data.tables import TableEncoder
from memae.data.windows import Span, Windows, span
from memae.deployment import export
from memae.errors import InputError, MemaeWarning, ModelFileError, OptionError, SchemaError
from memae.estimators.windowing import parts_of
from memae.kinds import Notes
from memae.kinds.windows import joined
from memae.service.app import Service

LENGTH = 40


def series(rows: int, seed: int = 0, *, start: str = "2024-03-01") -> pd.DataFrame:
    """Two sensors of one machine, once a second."""
    random = np.random.default_rng(seed)
    t = np.arange(rows)
    return pd.DataFrame(
        {
            "time": pd.date_range(start, periods=rows, freq="s"),
            "pressure": np.sin(t / 5) + 0.1 * random.normal(size=rows),
            "heat": np.cos(t / 7) + 0.1 * random.normal(size=rows),
            "mode": random.choice(["on", "off"], rows),
        }
    )


def stuck(table: pd.DataFrame, first: int, last: int) -> pd.DataFrame:
    """A table whose sensor of pressure holds its value in some rows."""
    table = table.copy()
    table.loc[first:last, "pressure"] = table["pressure"][first]
    return table


@pytest.fixture(scope="module")
def detector() -> TabularMemAE:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TabularMemAE(window=LENGTH).fit(series(3000))


def windows_of(length: Span, step: Span, frame: pd.DataFrame, **more) -> Windows:
    return Windows(length, step, TableEncoder.fit([frame])[0], **more)


def bounds(table: pd.DataFrame, length: int, step: int, *, files=None, whole: bool = True, **more) -> list[list[int]]:
    files = np.zeros(len(table), dtype=np.int64) if files is None else np.array(files)
    found = windows_of(Span(length, False), Span(step, False), pd.DataFrame({"x": [0.0]}), **more)
    return found.placed(table, files, whole=whole).bounds.tolist()


# ------------------------------------------------------------------------------------------------------------- placing


def test_windows_cover_a_stretch_to_its_end():
    assert bounds(pd.DataFrame({"x": range(11)}), 4, 3) == [[0, 4], [3, 7], [6, 10], [7, 11]]


def test_no_window_spans_two_files():
    assert bounds(pd.DataFrame({"x": range(8)}), 4, 2, files=[0] * 4 + [1] * 4) == [[0, 4], [4, 8]]


def test_no_window_spans_two_groups_and_mixed_ones_are_put_apart():
    table = pd.DataFrame({"machine": ["a", "b"] * 4})
    windows = windows_of(Span(4, False), Span(1, False), pd.DataFrame({"x": [0.0]}), group="machine")
    placed = windows.placed(table, np.zeros(8, dtype=np.int64), whole=True)
    assert placed.order.tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert placed.bounds.tolist() == [[0, 4], [4, 8]]
    assert placed.of_rows().tolist() == [0, 1] * 4
    assert placed.ends(1) == (1, 7)


def test_no_window_spans_a_gap_but_one_lost_row_is_no_gap(detector):
    table = series(200)
    table = table.drop(index=[50, *range(100, 140)]).reset_index(drop=True)
    placed = detector.windows_.placed(table, np.zeros(len(table), dtype=np.int64), whole=True)
    first, last = placed.bounds.T
    assert not ((first < 99) & (last > 99)).any()  # row 99 is the first behind the gap
    assert ((first < 50) & (last > 50)).any()
    assert detector.windows_.gap == 3.0


def test_short_stretches_are_not_learned_but_scored_as_shorter_windows():
    table = pd.DataFrame({"x": range(7)})
    assert bounds(table, 4, 2, files=[0] * 4 + [1] * 3) == [[0, 4]]
    assert bounds(table, 4, 2, files=[0] * 4 + [1] * 3, whole=False) == [[0, 4], [4, 7]]


def test_windows_of_time_hold_what_falls_into_them():
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta([0, 1, 2, 10, 11, 30, 31, 32, 33, 40], unit="s")
    table = pd.DataFrame({"time": times, "x": [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]})
    detector = TabularMemAE(window="20s", step="10s")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector.fit(table)
    placed = detector.windows_.placed(table, np.zeros(10, dtype=np.int64), whole=True)
    assert placed.bounds.tolist() == [[0, 5], [3, 5], [5, 10]]
    assert (placed.of_rows() >= 0).all()


@pytest.mark.parametrize("length", [3, 7, 50])
def test_each_row_has_the_window_with_the_nearest_middle(length):
    table = pd.DataFrame({"x": range(200)})
    windows = windows_of(Span(length, False), Span(2, False), pd.DataFrame({"x": [0.0]}))
    placed = windows.placed(table, np.arange(200) // 60, whole=False)
    middles = placed.bounds.sum(1) / 2
    for row, window in enumerate(placed.of_rows()):
        inside = np.flatnonzero((placed.bounds[:, 0] <= row) & (row < placed.bounds[:, 1]))
        assert window in inside
        assert abs(middles[window] - row - 0.5) == pytest.approx(np.abs(middles[inside] - row - 0.5).min())


@pytest.mark.parametrize(
    ("value", "expected"),
    [(60, Span(60, False)), ("60", Span(60, False)), ("60s", Span(60, True)), ("5min", Span(300, True))],
)
def test_lengths_as_users_write_them(value, expected):
    assert span(value, "window") == expected


@pytest.mark.parametrize("value", [0, -3, "0", "fast", "", "-5s", "nan"])
def test_impossible_lengths_are_refused(value):
    with pytest.raises(OptionError, match="window must be a number of rows, or a time such as 60s"):
        span(value, "window")


# ------------------------------------------------------------------------------------------------------------- numbers


def test_numbers_of_a_window_are_those_of_numpy():
    random = np.random.default_rng(3)
    frame = pd.DataFrame({"x": 1e6 + random.normal(size=50), "kind": random.choice(["a", "b"], 50)})
    windows = windows_of(Span(8, False), Span(3, False), frame)
    placed = windows.placed(frame, np.zeros(50, dtype=np.int64), whole=True)
    found = windows.summed_up(frame, placed)
    for (first, last), (_, row) in zip(placed.bounds, found.iterrows(), strict=True):
        x = frame["x"][first:last].to_numpy()
        assert_allclose(row["x, mean"], x.mean(), rtol=1e-12)
        assert_allclose(row["x, deviation"], x.std(), rtol=1e-7)
        assert_allclose(row["x, slope"], np.polyfit(np.arange(8), x - x.mean(), 1)[0], rtol=1e-6, atol=1e-9)
        assert_allclose(row["x, change from row to row"], np.abs(np.diff(x)).mean(), rtol=1e-9)
        assert_allclose(row["kind=b, share"], (frame["kind"][first:last] == "b").mean())
    assert list(found.columns) == windows.columns


def test_the_slope_of_a_window_of_time_is_per_second():
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(0, 100, 2), unit="s")
    table = pd.DataFrame({"time": times, "x": 3.5 * np.arange(0, 100, 2) + 0.25})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = TabularMemAE(window="20s").fit(table)
    part = next(detector.kind_.parts(iter([table])))
    assert_allclose(part.read.frame["x, slope"], 3.5)
    assert_allclose(part.read.frame["rows in the window"][:-1], 10)


# ------------------------------------------------------------------------------------------------------------ scoring


def test_rows_have_scores_in_their_order_and_a_stuck_sensor_is_found(detector):
    table = stuck(series(1000, 1), 400, 499)
    scores = detector.anomaly_score(table)
    assert scores.shape == (1000,)
    assert (scores[410:490] > detector.threshold_).all()
    assert (np.delete(scores, range(360, 540)) > detector.threshold_).mean() < 0.12
    assert_array_equal(detector.predict(table) == -1, scores > detector.threshold_)


def test_single_rows_do_not_find_what_windows_find(detector):
    table = stuck(series(1000, 1), 400, 499)
    with pytest.warns(MemaeWarning):
        rows = TabularMemAE().fit(series(3000))
    assert (rows.anomaly_score(table)[410:490] > rows.threshold_).mean() < 0.5


def test_false_alarms_are_as_promised_on_new_series():
    rates = []
    for seed in range(4):
        with pytest.warns(MemaeWarning):
            detector = TabularMemAE(window=LENGTH, step=5, false_alarm_rate=0.1).fit(series(1500, seed))
        rates.append((detector.anomaly_score(series(3000, 100 + seed)) > detector.threshold_).mean())
    assert 0.04 < np.mean(rates) < 0.2, rates  # 0.4 if overlapping windows are among the kept ones


def test_calibrating_windows_are_compared_with_other_parts_alone():
    table = pd.DataFrame({"x": range(400)})
    windows = windows_of(Span(10, False), Span(2, False), pd.DataFrame({"x": [0.0]}))
    placed = windows.placed(table, np.zeros(400, dtype=np.int64), whole=True)
    label, inside = (part.numpy() for part in parts_of(placed))
    assert 1 < len(np.unique(label)) <= 10
    for one in np.flatnonzero(inside):
        others = placed.bounds[label != label[one]]
        assert ((others[:, 1] <= placed.bounds[one, 0]) | (others[:, 0] >= placed.bounds[one, 1])).all()


def test_scores_of_consecutive_windows_count_as_fewer(detector):
    assert detector.correlated
    assert detector.independent_ < len(detector.calibration_.scores)


def test_chunks_do_not_matter(detector, tmp_path):
    table = stuck(series(1000, 1), 400, 499)
    table.to_csv(tmp_path / "t.csv", index=False)
    assert_allclose(detector.anomaly_score(tmp_path / "t.csv"), detector.anomaly_score(table), rtol=1e-9)
    parts = detector.kind_.parts(iter([table[:333], table[333:]]))
    assert_array_equal(next(parts).raw, next(detector.kind_.parts(iter([table]))).raw)


def test_files_of_a_folder_are_stretches_of_their_own(detector, tmp_path):
    for number in range(3):
        series(100, number, start=f"2024-03-0{number + 1}").to_csv(tmp_path / f"{number}.csv", index=False)
    whole = joined(detector.kind_.read(iter([series(10)])))
    assert whole.files.tolist() == [0] * 10
    fitted = TabularMemAE(window=30, step=10, ignore=["time"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted.fit(tmp_path)
        part = next(fitted.kind_.open(tmp_path))
    assert len(part.raw) == 3 * 8
    assert fitted.windows_.time is None


def test_groups_are_scored_as_if_alone():
    one, other = series(600, 1), series(600, 2)
    mixed = pd.concat([one.assign(machine="a"), other.assign(machine="b")]).sort_values(["time", "machine"])
    mixed = mixed.reset_index(drop=True)
    with pytest.warns(MemaeWarning, match="times"):
        detector = TabularMemAE(window=LENGTH, group="machine").fit(mixed)
    assert "machine" not in {name for column in detector.encoder_.columns for name in [column.name.split(",")[0]]}
    scores = detector.anomaly_score(mixed)
    assert_allclose(scores[mixed["machine"] == "b"], detector.anomaly_score(other.assign(machine="x")), rtol=1e-9)
    evidence = next(detector.explain(mixed, only=[1]))
    assert evidence.name.startswith("rows 1 to 79 of b, 2024-03-01")


def test_explanations_name_sensor_and_time(detector):
    evidence = next(detector.explain(stuck(series(1000, 1), 400, 499), only=[450]))
    assert evidence.name == "rows 430 to 469, 2024-03-01 00:07:10 to 2024-03-01 00:07:49"
    assert {each.column.split(",")[0] for each in evidence.contributions[:3]} == {"pressure"}
    assert evidence.items[0].title.startswith("rows ")
    table = stuck(series(1000, 1), 400, 499)
    assert_allclose(detector.contributions(table).sum(axis=1), detector.anomaly_score(table), rtol=1e-6)


# ---------------------------------------------------------------------------------------------------------- model file


def test_a_model_file_scores_to_the_bit(detector, tmp_path):
    detector.save(tmp_path / "m.memae")
    again = load(tmp_path / "m.memae")
    table = series(500, 7)
    assert_array_equal(again.anomaly_score(table), detector.anomaly_score(table))
    assert (again.independent_, again.windows_) == (detector.independent_, detector.windows_)


def test_a_model_file_whose_windows_do_not_fit_is_refused(detector, tmp_path):
    other = TabularMemAE(**detector.get_params())
    other.__dict__ |= detector.__dict__
    other.windows_ = replace(detector.windows_, length=Span(20.0, True))
    other.save(tmp_path / "m.memae")
    with pytest.raises(ModelFileError, match="its windows give"):
        load(tmp_path / "m.memae")


def test_an_exported_graph_describes_the_numbers_of_a_window(detector, tmp_path):
    pytest.importorskip("onnxruntime")
    found = export(detector, tmp_path / "m.onnx", check=series(200, 5))
    assert [place.name for place in found.description.columns][:2] == ["pressure, mean", "pressure, deviation"]


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("parameters", "error", "said"),
    [
        ({"window": 1}, OptionError, "2 rows or more"),
        ({"window": 40, "step": "10s"}, OptionError, "step must be a number of rows"),
        ({"window": 40, "step": 50}, OptionError, "step must not exceed the window"),
        ({"window": 40, "n_items": 10}, OptionError, "leave n_items out"),
        ({"window": 40, "contamination": 0.1}, OptionError, "leave contamination out"),
        ({"window": 40, "kept_samples": 0}, OptionError, "leave kept_samples=0 out"),
        ({"window": "40s", "ignore": ["time"]}, OptionError, "needs a column of times"),
        ({"window": 40, "group": "plant"}, SchemaError, "no column 'plant' to group by"),
        ({"window": 4000}, InputError, "no stretch of rows is as long as a window"),
        ({"window": [3]}, OptionError, "window must be"),
    ],
)
def test_what_does_not_go_with_windows_is_said(parameters, error, said):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(error, match=said):
            TabularMemAE(**parameters).fit(series(300))


def test_step_and_group_need_windows():
    with pytest.warns(MemaeWarning, match="step, group have no effect"):
        TabularMemAE(step=3, group="mode").fit(series(300)[["pressure", "heat"]])


def test_updating_is_refused(detector):
    with pytest.raises(OptionError, match="cannot be updated"):
        detector.update(series(200))


def test_a_missing_column_of_times_is_named(detector):
    with pytest.raises(SchemaError, match="column 'time' missing"):
        detector.anomaly_score(series(200).drop(columns="time"))


def test_rows_of_short_stretches_are_counted(detector):
    notes = Notes()
    list(detector.kind_.open(series(10), notes=notes))
    assert any("10 rows lie in stretches shorter than a window" in remark for remark in notes.remarks)


# ------------------------------------------------------------------------------------------------------------ surfaces


def test_the_command_line_goes_from_fit_to_evaluate(tmp_path, run):
    series(2000).to_csv(tmp_path / "normal.csv", index=False)
    test = stuck(series(1000, 1), 400, 499).assign(label=[int(400 <= row < 500) for row in range(1000)])
    test.to_csv(tmp_path / "test.csv", index=False)
    model = str(tmp_path / "m.memae")

    def done(*arguments: str) -> str:
        found = run(*arguments)
        assert found.code == 0, found.err
        return found.out

    done("fit", "table", str(tmp_path / "normal.csv"), "--window", "60s", "--step", "10s", "-o", model)
    test_file = str(tmp_path / "test.csv")
    done("score", model, test_file, "--ignore", "label", "-o", str(tmp_path / "s.csv"))
    rows = pd.read_csv(tmp_path / "s.csv")
    assert rows["row"].tolist() == list(range(1000))
    done("score", model, test_file, "--ignore", "label", "--windows", "-o", str(tmp_path / "w.csv"))
    windows = pd.read_csv(tmp_path / "w.csv")
    assert list(windows.columns) == ["row", "last_row", "score", "p_value", "is_anomaly"]
    assert set(rows["score"].round(9)) <= set(windows["score"].round(9))
    facts = json.loads(done("evaluate", model, test_file, "--labels", "label", "--json"))
    assert facts["auroc"]["value"] > 0.9
    said = [json.loads(line) for line in done("explain", model, test_file, "--json", "--top", "3").splitlines()]
    assert said[0]["contributions"][0]["column"].startswith("pressure")
    assert len({each["name"] for each in said}) == 3
    done("report", model, test_file, "-o", str(tmp_path / "r.html"))
    assert "pressure, " in (tmp_path / "r.html").read_text()
    assert "of 60 s, one every 10 s" in done("inspect", model)
    assert "windows of neighbouring rows" in done("inspect", model, "--card")


def test_windows_are_refused_where_there_are_none(tmp_path, run):
    with pytest.warns(MemaeWarning):
        TabularMemAE().fit(series(200)).save(tmp_path / "m.memae")
    series(20).to_csv(tmp_path / "t.csv", index=False)
    found = run("score", tmp_path / "m.memae", tmp_path / "t.csv", "--windows")
    assert found.code == 1
    assert "--windows is for a table's model that was fitted with --window" in found.err


def test_the_service_scores_and_explains_rows_in_their_windows(detector):
    table = stuck(series(200, 1), 60, 139)
    rows = json.loads(table.assign(time=table["time"].astype(str)).to_json(orient="records"))
    csv = table.to_csv(index=False).encode()
    served = Service({"m": detector})
    ask = asking(served)
    scored = ask("POST", "/score", json={"rows": rows})
    assert scored.status_code == 200, scored.text
    assert_allclose([each["score"] for each in scored.json()["samples"]], detector.anomaly_score(table), rtol=1e-9)
    filed = ask("POST", "/score", files={"files": ("t.csv", csv)})
    assert_allclose([each["score"] for each in filed.json()["samples"]], detector.anomaly_score(table), rtol=1e-6)
    why = ask("POST", "/explain?sample=100", files={"files": ("t.csv", csv)}).json()["samples"]
    assert why[0]["row"] == 100
    assert why[0]["contributions"][0]["column"].startswith("pressure")
    lost = ask("POST", "/score", json={"rows": [{name: row[name] for name in row if name != "time"} for row in rows]})
    assert lost.status_code == 422
    assert "'time' missing" in lost.json()["error"]
    served.close()


def test_gaps_without_bound_are_stored(tmp_path):
    detector = TabularMemAE(window=10).fit(series(300)[["pressure", "heat"]])
    assert math.isinf(detector.windows_.gap)
    detector.save(tmp_path / "m.memae")
    assert math.isinf(load(tmp_path / "m.memae").windows_.gap)


def test_scores_do_not_depend_on_the_batch(detector):
    raw = detector.encode(series(800, 3))
    whole = torch.cat([each.score for each in detector.scorer_.batched([raw], maps=False)])
    single = torch.cat([each.score for each in detector.scorer_.batched(list(raw.split(1))[:5], maps=False)])
    assert_allclose(single, whole[:5], rtol=1e-9)
