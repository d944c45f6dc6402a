"""Many models: one for each group, fitted, kept on a shelf, and scored by the key of each row."""

import datetime as dt
import json
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load as tensors_of

import memae
from memae.errors import GroupError, InputError, ModelFileError, OptionError, SchemaError
from memae.estimators import TabularMemAE
from memae.parallel import Fitting, ShelfScoring
from memae.shelves.fitting import Recipe
from memae.shelves.groups import TYPES, Group
from memae.shelves.keys import Keys, shown
from memae.shelves.partition import FILES, Partition
from memae.shelves.spool import Spool

Run = Callable[..., Any]
COLUMNS = [f"c{index}" for index in range(4)]


def rows(seed: int, count: int = 60, scale: float = 1.0) -> pd.DataFrame:
    """Rows of one group: columns that depend on each other in its own way."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, 2)) @ random.normal(size=(2, 4)) + random.normal(0, 0.2, (count, 4))
    return pd.DataFrame(scale * values, columns=COLUMNS)


def devices(groups: dict[Any, pd.DataFrame], name: str = "device") -> pd.DataFrame:
    """Groups as one table, their rows mixed."""
    whole = pd.concat([frame.assign(**{name: key}) for key, frame in groups.items()], ignore_index=True)
    return whole.sample(frac=1, random_state=0, ignore_index=True)


NORMAL = {f"d{number}": rows(number) for number in range(6)}
BAD = {
    "one": rows(10, 1),
    "same": pd.concat([rows(11, 1)] * 30),
    "endless": rows(12).assign(c1=np.inf),
    "empty": rows(13).assign(c2=np.nan),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "all.parquet"
    devices(NORMAL | BAD).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shelf") / "models.parquet"
    fit = Fitting("device")
    fit.save(fit(devices(NORMAL | BAD)), path)
    return path


def equal(one: bytes, other: bytes) -> bool:
    a, b = tensors_of(one), tensors_of(other)
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


# -------------------------------------------------------------------------------------------------------------- fitting


def test_each_group_gets_the_model_of_its_rows_alone(shelf):
    found = memae.shelf(shelf)
    assert list(found) == sorted([*NORMAL, "same", "empty"])
    for key, frame in NORMAL.items():
        whole = devices(NORMAL | BAD)
        of_group = whole[whole["device"] == key][COLUMNS].reset_index(drop=True)
        alone = TabularMemAE().fit(of_group)
        np.testing.assert_array_equal(found[key].anomaly_score(frame), alone.anomaly_score(frame))
        assert found[key].threshold_ == alone.threshold_


def test_what_cannot_be_fitted_is_a_row_with_an_error(shelf):
    found = memae.shelf(shelf)
    assert {key[0]: error.split(";")[0] for key, error in found.errors.items()} == {
        "one": "1 row given",
        "endless": "column 'c1' has infinite values (60, the first in row 0)",
    }
    assert "had no value in training" in (found.groups["empty",].remarks or "")
    assert "all 30 rows are alike" in (found.groups["same",].remarks or "")
    assert found.groups["d1",].lowest_false_alarm_rate == 1 / 61
    assert found.groups["same",].rows == 30


def test_the_command_says_what_was_not_fitted_and_workers_change_nothing(table, tmp_path, run: Run):
    ran = run("fit", "table", table, "--by", "device", "-o", tmp_path / "one.parquet", "--json")
    assert ran.code == 1
    facts = json.loads(ran.out)
    assert (facts["groups"], facts["fitted"], facts["by"]) == (10, 8, ["device"])
    assert set(facts["errors"]) == {"'one'", "'endless'"}
    assert "memae: error: 'one': 1 row given" in ran.err
    assert "'same': all 30 rows are alike" in ran.err
    two = run("fit", "table", table, "--by", "device", "-o", tmp_path / "two.parquet", "--workers", 2)
    assert two.code == 1
    assert "8 models for 10 groups" in two.out
    shelves = [memae.shelf(tmp_path / name) for name in ("one.parquet", "two.parquet")]
    assert shelves[0].groups.keys() == shelves[1].groups.keys()
    for key in shelves[0].groups:
        assert shelves[0].groups[key].error == shelves[1].groups[key].error
        if shelves[0].groups[key].error is None:
            assert equal(*(each.content(key) for each in shelves))
    assert [*tmp_path.glob(".*")] == [], "no temporary file is left"
    assert [*tmp_path.glob("*.checkpoint*")] == []


def test_one_key_is_one_row_group(tmp_path):
    fit = Fitting("device", {"kept_samples": 5})
    whole = devices({f"d{number:03d}": rows(number, 6) for number in range(120)})
    fit.save(fit(whole), tmp_path / "m.parquet")
    file = pq.ParquetFile(tmp_path / "m.parquet")
    statistics = [file.metadata.row_group(number).column(0).statistics for number in range(file.num_row_groups)]
    assert [(each.min, each.max) for each in statistics] == [("d000", "d049"), ("d050", "d099"), ("d100", "d119")]
    model = file.schema_arrow.names.index("model")
    assert file.metadata.row_group(0).column(model).statistics is None
    found = pq.read_table(tmp_path / "m.parquet", filters=[("device", "==", "d073")], columns=["device", "model"])
    assert found["device"].to_pylist() == ["d073"]
    assert memae.load(found["model"][0].as_py()).n_features_in_ == 4


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_continues(tmp_path, run: Run, stop):
    whole = devices({f"d{number:04d}": rows(number, 20) for number in range(300)})
    whole.to_parquet(tmp_path / "all.parquet")
    command = ["fit", "table", tmp_path / "all.parquet", "--by", "device", "-o", tmp_path / "m.parquet"]
    start = "import sys; from memae.cli import main; sys.argv[0] = 'memae'; main()"
    arguments = [sys.executable, "-c", start, *map(str, command), "--workers", "2"]
    spool = tmp_path / "m.parquet.checkpoint"
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "100 of 300 groups are fitted\n"
        process.send_signal(stop)
        _, err = process.communicate()
    assert process.returncode == (130 if stop == signal.SIGINT else -signal.SIGKILL), err
    assert not (tmp_path / "m.parquet").exists()
    assert stop == signal.SIGKILL or "--resume continues" in err
    assert "continue it with --resume" in run(*command).err
    assert "was written for other data or options" in run(*command, "--resume", "--fewest", 3).err
    again = run(*command, "--resume")
    assert again.code == 0, again.err
    assert "groups were fitted before" in again.err
    assert not spool.exists()
    found = memae.shelf(tmp_path / "m.parquet")
    assert len(found) == 300
    for key in ("d0000", "d0123", "d0299"):
        of_group = whole[whole["device"] == key][COLUMNS].reset_index(drop=True)
        alone = TabularMemAE().fit(of_group)
        np.testing.assert_array_equal(found[key].anomaly_score(of_group), alone.anomaly_score(of_group))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "plant"], "there is no column 'plant' to tell groups by; the columns are"),
        (["--by", "device", "-o", "m.memae"], "give -o "),
        (["--by", "device", "--by", "device"], "give each column once"),
        (["--by", "device", "--mlflow", "x"], "--log-dir and --mlflow log one training"),
        (["--by", "device", "--shared", "--window", "5"], "leave out --shared, or --window"),
        (["--by", "c0"], "column 'c0' has "),
    ],
)
def test_bad_options_are_refused(table, tmp_path, run: Run, options, message):
    output = [] if "-o" in options else ["-o", "m.parquet"]
    options = [tmp_path / each if each.startswith("m.") else each for each in [*options, *output]]
    ran = run("fit", "table", table, *options)
    assert ran.code == 1
    assert message in ran.err
    assert [*tmp_path.iterdir()] == []


def test_workers_without_groups_are_refused(table, tmp_path, run: Run):
    assert run("fit", "table", table, "-o", tmp_path / "m.memae", "--workers", 2).code == 2


# ----------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("values", "kind", "asked", "not_there"),
    [
        ([7, 12], "whole numbers", ["7", 7, 7.0, np.int32(7)], [8, "07", "x", None]),
        (["007", "12"], "text", ["007", 12], [7, "7"]),
        (
            [dt.date(2026, 1, 1), dt.date(2026, 1, 2)],
            "dates",
            ["2026-01-01", pd.Timestamp("2026-01-02")],
            ["2026-01-03"],
        ),
        (pd.to_datetime(["2026-01-01", "2026-01-02"]), "times", ["2026-01-01", dt.date(2026, 1, 1)], ["2026-01-03"]),
        (
            pd.to_datetime(["2026-01-01 12:00", "2026-01-02 00:00"]).tz_localize("Europe/Berlin"),
            "times with a zone",
            [pd.Timestamp("2026-01-01T11:00Z"), "2026-01-01T12:00+01:00"],
            ["2026-01-01T12:00"],
        ),
        ([True, False], "truth values", [True, np.bool_(False)], ["yes"]),
    ],
)
def test_keys_of_any_kind(tmp_path, run: Run, values, kind, asked, not_there):
    one, two = values
    whole = pd.concat([rows(1).assign(key=one), rows(2).assign(key=two)], ignore_index=True)
    whole.to_parquet(tmp_path / "all.parquet")
    assert run("fit", "table", tmp_path / "all.parquet", "--by", "key", "-o", tmp_path / "m.parquet").code == 0
    found = memae.shelf(tmp_path / "m.parquet")
    assert found.keys_.kinds == (kind,)
    assert len(found) == 2
    for key in asked:
        assert key in found
        assert found[key].n_features_in_ == 4
    assert not any(key in found for key in not_there)
    scored = run("score", tmp_path / "m.parquet", tmp_path / "all.parquet", "-o", tmp_path / "s.parquet")
    assert scored.code == 0, scored.err
    assert pd.read_parquet(tmp_path / "s.parquet")["score"].notna().all()


def test_keys_of_text_files_are_literal(tmp_path, run: Run):
    whole = devices({"007": rows(1), "7": rows(2)})
    whole.to_csv(tmp_path / "all.csv", index=False)
    assert run("fit", "table", tmp_path / "all.csv", "--by", "device", "-o", tmp_path / "m.parquet").code == 0
    assert list(memae.shelf(tmp_path / "m.parquet")) == ["007", "7"]
    assert run("score", tmp_path / "m.parquet", tmp_path / "all.csv", "-o", tmp_path / "s.csv").code == 0
    found = pd.read_csv(tmp_path / "s.csv", dtype={"device": str})
    assert found["device"].tolist() == whole["device"].tolist()


def test_several_columns_of_keys_and_rows_without_one(tmp_path, run: Run):
    whole = devices({"a": rows(1), "b": rows(2)}).assign(site=["north", "south", None] * 40)
    whole.to_parquet(tmp_path / "all.parquet")
    fit = ["fit", "table", tmp_path / "all.parquet", "--by", "device", "--by", "site", "-o", tmp_path / "m.parquet"]
    ran = run(*fit)
    assert ran.code == 1
    assert "no key: 40 rows without a value in 'device', 'site'" in ran.err
    found = memae.shelf(tmp_path / "m.parquet")
    assert list(found) == [("a", "north"), ("a", "south"), ("b", "north"), ("b", "south")]
    assert found["a", "north"].n_features_in_ == 4
    with pytest.raises(GroupError, match="a key has 2 values, for 'device', 'site'; got 'a'"):
        found["a"]


def test_two_kinds_of_keys_and_what_is_no_key_are_refused():
    frame = rows(1, 4)
    with pytest.raises(InputError, match="column 'device' holds text and whole numbers"):
        Partition(iter([frame.assign(device="a"), frame.assign(device=1)]), ["device"])
    with pytest.raises(InputError, match=r"column 'device' has 0\.5; a key is text"):
        Fitting("device")(frame.assign(device=0.5))
    with pytest.raises(OptionError, match="'score' is what memae calls another column; rename it"):
        Fitting(["score"])
    with pytest.raises(SchemaError, match="no column 'device' to tell groups by"):
        Fitting("device")(frame)


def test_a_partition_has_each_row_once_in_order():
    chunks = [devices({f"d{number}": rows(number, 7) for number in range(3 * FILES)}) for _ in range(2)]
    chunks[1].loc[:9, "device"] = None
    with Partition(iter(chunks), ["device"]) as found:
        assert found.without_key == 10
        whole = pd.concat(chunks)
        parts = dict(found)
    assert found.rows == {key: len(frame) for key, frame in parts.items()}
    for (key,), frame in parts.items():
        pd.testing.assert_frame_equal(frame, whole[whole["device"] == key][COLUMNS].reset_index(drop=True))


# -------------------------------------------------------------------------------------------------------------- a shelf


def test_a_shelf_is_a_mapping_with_clear_errors(shelf):
    found = memae.shelf(shelf)
    assert len(found) == 8
    assert "d1" in found
    assert "one" not in found
    assert repr(found).startswith("<shelf of 8 models by device: ")
    assert found.get("nothing") is None
    with pytest.raises(KeyError, match=r"^'d11' is not on the shelf; its neighbours there are 'd1' and 'd2'$"):
        found["d11"]
    with pytest.raises(GroupError, match=r"^'one' has no model: 1 row given; at least 2 are needed"):
        found["one"]


def test_few_models_are_held_and_loaded_again(shelf, monkeypatch):
    loaded: list[Any] = []
    real = memae.Shelf._loaded
    monkeypatch.setattr(
        memae.Shelf, "_loaded", lambda self, key, content: loaded.append(key) or real(self, key, content)
    )
    small = memae.shelf(shelf, megabytes=0.35)
    for key in ("d0", "d1", "d0", "d2", "d0", "d1"):
        assert small[key].n_features_in_ == 4
    assert loaded == [("d0",), ("d1",), ("d2",), ("d1",)], "d0 was used last when d2 came"


def test_another_false_alarm_rate(shelf):
    found = memae.shelf(shelf, false_alarm_rate=0.2)
    assert found["d1"].calibration_.false_alarm_rate == 0.2
    strict = memae.shelf(shelf, false_alarm_rate=0.001)
    assert strict["d1"].calibration_.false_alarm_rate == 1 / 61
    assert strict.rougher == {("d1",)}


@pytest.mark.parametrize("left", [0.3, 0.9, 0.999])
def test_half_a_shelf_is_refused(shelf, tmp_path, run: Run, left):
    content = shelf.read_bytes()
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(content[: int(left * len(content))])
    with pytest.raises(ModelFileError, match="is damaged or not a shelf"):
        memae.shelf(cut)
    for command in (["score", cut, shelf, "-o", tmp_path / "s.csv"], ["inspect", cut], ["serve", cut, "--port", 0]):
        ran = run(*command)
        assert ran.code == 1
        assert "is damaged or not a shelf" in ran.err


def test_changed_bytes_are_found_and_other_groups_are_read(shelf, tmp_path):
    table = pq.read_table(shelf)
    models = table["model"].to_pylist()
    at = table["device"].to_pylist().index("d3")
    models[at] = models[at][:-9] + b"\xff" + models[at][-8:]
    changed = table.set_column(table.schema.get_field_index("model"), table.schema.field("model"), [models])
    pq.write_table(changed, tmp_path / "m.parquet")
    found = memae.shelf(tmp_path / "m.parquet")
    assert found["d2"].n_features_in_ == 4
    with pytest.raises(ModelFileError, match=r"the model of 'd3': .* its checksum does not match"):
        found["d3"]


def test_what_is_no_shelf_is_refused(shelf, table, tmp_path, run: Run):
    with pytest.raises(ModelFileError, match="is a Parquet file, but not a shelf"):
        memae.shelf(table)
    with pytest.raises(ModelFileError, match="is no shelf of models"):
        memae.shelf(tmp_path / "none.parquet")
    with pytest.raises(ModelFileError, match="if it holds the models of many groups, take one"):
        memae.load(shelf)
    ran = run("evaluate", shelf, table, "--labels", "c0")
    assert ran.code == 1
    assert "if it holds the models of many groups" in ran.err


def test_a_folder_of_files_is_a_shelf_as_engines_write_it(tmp_path):
    fit = Fitting("device")
    whole = devices(NORMAL)
    for number, (_, frame) in enumerate(whole.groupby("device")):
        fit(frame).to_parquet(tmp_path / f"part-{number}.parquet")
    (tmp_path / "_SUCCESS").touch()
    found = memae.shelf(tmp_path)
    assert list(found) == list(NORMAL)
    assert found["d3"].n_features_in_ == 4
    fit(whole[whole["device"] == "d3"]).to_parquet(tmp_path / "again.parquet")
    with pytest.raises(ModelFileError, match="has the group 'd3' twice"):
        memae.shelf(tmp_path)


def test_inspect_lists_groups_and_takes_one(shelf, tmp_path, run: Run):
    ran = run("inspect", shelf)
    assert ran.code == 0
    for text in ("8 models for 10 groups by device", "at best they can promise 0.016 to 0.032", "1 row given"):
        assert text in " ".join(ran.out.split()), text
    facts = json.loads(run("inspect", shelf, "--json").out)
    assert [each["key"] for each in facts["models"]] == [[key[0]] for key in memae.shelf(shelf).groups]
    assert run("inspect", shelf, "--group", "d2", "-o", tmp_path / "d2.memae").code == 0
    found = memae.load(tmp_path / "d2.memae").anomaly_score(NORMAL["d2"])
    np.testing.assert_array_equal(found, memae.shelf(shelf)["d2"].anomaly_score(NORMAL["d2"]))
    assert "its neighbours there are" in run("inspect", shelf, "--group", "d22").err
    assert run("inspect", shelf, "--card").code == 2


# -------------------------------------------------------------------------------------------------------------- scoring


NEW = devices({key: rows(100 + number, 8) for number, key in enumerate([*NORMAL, "unknown", "one", "endless"])})


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_rows_stay_in_order_and_none_is_dropped(shelf, tmp_path, run: Run, ending):
    new = NEW.copy()
    new.loc[3, "device"] = None
    new.to_parquet(tmp_path / "new.parquet")
    ran = run("score", shelf, tmp_path / "new.parquet", "-o", tmp_path / f"s.{ending}", "--keep", "--json")
    assert ran.code == 1
    readers: dict[str, Any] = {
        "csv": pd.read_csv,
        "parquet": pd.read_parquet,
        "jsonl": lambda path: pd.read_json(path, lines=True),
    }
    found = readers[ending](tmp_path / f"s.{ending}")
    assert found["row"].tolist() == list(range(len(new)))
    np.testing.assert_allclose(found[COLUMNS], new[COLUMNS], rtol=1e-9)  # pandas reads JSON to some digits only
    reasons = {
        "unknown": "'unknown' is not on the shelf",
        "one": "'one' has no model: 1 row given",
        "endless": "'endless' has no model: column 'c1' has infinite values",
        None: "it has no value in 'device'",
    }
    models = memae.shelf(shelf)
    for row, key in enumerate(new["device"].astype(object).where(new["device"].notna(), None)):
        if key in reasons:
            assert found["reason"][row].startswith(reasons[key])
            assert pd.isna(found["score"][row])
            assert pd.isna(found["is_anomaly"][row])
        else:
            expected = models[key].anomaly_score(new[COLUMNS].iloc[[row]])[0]
            np.testing.assert_allclose(found["score"][row], expected, rtol=1e-9 if ending == "jsonl" else 1e-13)
            assert pd.isna(found["reason"][row])
    facts = json.loads(ran.out)
    assert facts["samples"] == len(new)
    assert facts["unscored"] == found["score"].isna().sum() == sum(facts["reasons"].values())
    assert "not scored: 'unknown' is not on the shelf" in ran.err


def test_chunks_change_nothing_and_the_columns_may_have_another_name(shelf, tmp_path, run: Run, monkeypatch):
    NEW.rename(columns={"device": "machine"}).to_parquet(tmp_path / "new.parquet")
    whole = run("score", shelf, tmp_path / "new.parquet", "--by", "machine", "-o", tmp_path / "a.parquet")
    assert whole.code == 1
    monkeypatch.setattr("memae.data.table_files._rows_at_once", lambda *_: 7)
    assert run("score", shelf, tmp_path / "new.parquet", "--by", "machine", "-o", tmp_path / "b.parquet").code == 1
    a, b = (pd.read_parquet(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    pd.testing.assert_frame_equal(a, b, rtol=1e-13)
    assert "machine" in a
    lost = run("score", shelf, tmp_path / "new.parquet", "-o", tmp_path / "c.parquet")
    assert "there is no column 'device' to tell groups by" in lost.err


def test_one_bad_row_has_a_reason_and_the_others_scores(shelf, tmp_path, run: Run):
    new = devices({"d1": rows(50, 9), "d2": rows(51, 9)})
    new.loc[4, "c1"] = np.inf
    new.to_parquet(tmp_path / "new.parquet")
    ran = run("score", shelf, tmp_path / "new.parquet", "-o", tmp_path / "s.parquet")
    found = pd.read_parquet(tmp_path / "s.parquet")
    assert ran.code == 1
    assert found.index[found["score"].isna()].tolist() == [4]
    assert "infinite" in found["reason"][4]


def test_discoveries_over_all_groups(shelf, tmp_path, run: Run):
    new = devices({key: rows(number, 20) for number, key in enumerate([*NORMAL, "unknown"])})
    new.loc[new["device"] == "d3", COLUMNS] += 30
    new.to_parquet(tmp_path / "new.parquet")
    ran = run("score", shelf, tmp_path / "new.parquet", "-o", tmp_path / "s.parquet", "--fdr", 0.2, "--json")
    found = pd.read_parquet(tmp_path / "s.parquet")
    scored = found["score"].notna()
    ordered = np.sort(found["p_value"][scored])
    below = np.flatnonzero(ordered <= 0.2 * np.arange(1, len(ordered) + 1) / len(ordered) * (1 + 1e-9))
    expected = found["p_value"][scored] <= ordered[below[-1]]
    assert 0 < expected.sum() < scored.sum()
    assert (found["is_discovery"][scored] == expected.astype(int)).all()
    assert found["is_discovery"][~scored].isna().all()
    assert json.loads(ran.out)["discoveries"] == expected.sum()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", 2], "--workers and --part cannot be used"),
        (["--maps", "maps"], "--maps and --masks cannot be used"),
        (["--engine", "onnxruntime"], "--engine cannot be used"),
        (["--windows"], "--windows cannot be used"),
        (["--by", "a", "--by", "b"], "2 columns are given, groups are told by 1"),
        (["-o", "folder"], "score into one file; give -o "),
    ],
)
def test_options_that_do_not_go_with_groups_are_refused(shelf, table, tmp_path, run: Run, options, message):
    ran = run(
        "score",
        shelf,
        table,
        "-o",
        tmp_path / "s.csv",
        *(tmp_path / str(each) if each == "folder" else each for each in options),
    )
    assert ran.code == 1
    assert message in ran.err
    assert not (tmp_path / "s.csv").exists()


def test_nothing_is_written_if_no_row_can_be_scored(shelf, tmp_path, run: Run):
    rows(1).assign(device="unknown").to_parquet(tmp_path / "new.parquet")
    ran = run("score", shelf, tmp_path / "new.parquet", "-o", tmp_path / "s.csv")
    assert ran.code == 1
    assert "can be scored: 'unknown' is not on the shelf" in ran.err
    rows(1).drop(columns="c3").assign(device="d1").to_parquet(tmp_path / "new.parquet")
    assert "column 'c3' missing" in run("score", shelf, tmp_path / "new.parquet", "-o", tmp_path / "s.csv").err
    assert [*tmp_path.glob("*.csv")] == []


def test_by_is_for_shelves_alone(tmp_path, table, run: Run):
    TabularMemAE().fit(NORMAL["d1"]).save(tmp_path / "m.memae")
    ran = run("score", tmp_path / "m.memae", table, "--by", "device")
    assert "--by and --shared are for the models of many groups" in ran.err


@pytest.mark.parametrize("more", [[], ["--window", 5]])
def test_rows_that_depend_on_the_rows_before_are_scored_within_their_group(tmp_path, run: Run, monkeypatch, more):
    def timed(seed: int) -> pd.DataFrame:
        times = pd.date_range("2026-01-01", periods=200, freq="1min") + pd.to_timedelta(
            np.random.default_rng(seed).integers(0, 20, 200), unit="s"
        )
        return rows(seed, 200).assign(time=times)

    groups = {"a": timed(1), "b": timed(2)}
    whole = pd.concat([frame.assign(device=key) for key, frame in groups.items()]).sort_values(
        "time", ignore_index=True
    )
    whole.to_parquet(tmp_path / "all.parquet")
    assert (
        run("fit", "table", tmp_path / "all.parquet", "--by", "device", "-o", tmp_path / "m.parquet", *more).code == 0
    )
    monkeypatch.setattr("memae.data.table_files._rows_at_once", lambda *_: 11)
    assert run("score", tmp_path / "m.parquet", tmp_path / "all.parquet", "-o", tmp_path / "s.parquet").code == 0
    found, models = pd.read_parquet(tmp_path / "s.parquet"), memae.shelf(tmp_path / "m.parquet")
    for key, frame in groups.items():
        expected = models[key].anomaly_score(frame)
        np.testing.assert_allclose(found["score"][found["device"] == key], expected, rtol=1e-12)


# --------------------------------------------------------------------------------------------------- the shared model


def test_small_groups_borrow_the_shared_model_and_unknown_ones_on_request(tmp_path, run: Run):
    alike = {f"d{number:02d}": rows(3).sample(frac=1, random_state=number) for number in range(12)}
    whole = devices(alike | {"small": rows(3, 10), "endless": rows(3).assign(c1=np.inf)})
    whole.to_parquet(tmp_path / "all.parquet")
    ran = run("fit", "table", tmp_path / "all.parquet", "--by", "device", "-o", tmp_path / "m.parquet", "--shared")
    assert ran.code == 1, "a group that cannot be read gets no model, shared or not"
    assert "12 models for 14 groups" in ran.out
    assert "1 has the shared one" in ran.out
    models = memae.shelf(tmp_path / "m.parquet")
    assert models.shared is not None
    assert "small" in models
    assert "endless" not in models
    new = devices({"d01": rows(3, 9), "small": rows(3, 9), "unknown": rows(3, 9)})
    new.to_parquet(tmp_path / "new.parquet")
    score = ["score", tmp_path / "m.parquet", tmp_path / "new.parquet", "-o", tmp_path / "s.parquet"]
    assert run(*score).code == 1
    found = pd.read_parquet(tmp_path / "s.parquet")
    assert found["score"].isna().equals(found["device"] == "unknown")
    assert (found["shared"] == (found["device"] == "small")).all()
    assert run(*score, "--shared").code == 0
    found = pd.read_parquet(tmp_path / "s.parquet")
    assert found["score"].notna().all()
    assert (found["shared"] == (found["device"] != "d01")).all()
    expected = models.find(None, shared=True).detector.anomaly_score(new[COLUMNS])
    of_unknown = (found["device"] == "unknown").to_numpy()
    np.testing.assert_allclose(found["score"][of_unknown], expected[of_unknown], rtol=1e-13)


def test_the_shared_model_keeps_its_promise_for_groups_it_has_not_seen():
    def device(seed: int) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        return pd.DataFrame(random.normal(0, 1, (200, 4)) + random.normal(0, 2, 4), columns=COLUMNS)

    frame = pd.concat([device(seed) for seed in range(40)], ignore_index=True)
    group = Recipe(shared=True).shared_model(frame, np.repeat(np.arange(40), 200))
    shared = memae.load(group.model or b"")
    naive = TabularMemAE().fit(frame)
    new = [device(1000 + seed) for seed in range(60)]
    flagged, naively = (
        np.mean([each.predict(one).tolist().count(-1) / 200 for one in new]) for each in (shared, naive)
    )
    assert naively > 0.08, "the rows of a group know each other"
    assert flagged < 0.065


def test_fewest_rows_of_a_model():
    assert Recipe().least == 2
    assert Recipe(shared=True).least == 19
    assert Recipe({"false_alarm_rate": 0.01}, shared=True).least == 99
    assert Recipe(fewest=50).fitted(("a",), rows(1, 49)).error == "49 rows given; at least 50 are needed"
    assert Recipe(fewest=50, shared=True).fitted(("a",), rows(1, 49)) == Group(key=("a",), shared=True, rows=49)


# -------------------------------------------------------------------------------------------------------------- engines


def test_functions_for_engines_equal_the_command(shelf, tmp_path, run: Run):
    NEW.to_parquet(tmp_path / "new.parquet")
    run("score", shelf, tmp_path / "new.parquet", "-o", tmp_path / "s.parquet")
    expected = pd.read_parquet(tmp_path / "s.parquet")
    score = pickle.loads(pickle.dumps(ShelfScoring(shelf, keep=["c0"])))  # noqa: S301 (our own)
    found = pd.concat(score.each([NEW[:20], NEW[20:20], NEW[20:]]))
    assert found.columns.tolist() == ["device", "c0", "score", "p_value", "is_anomaly", "shared", "reason"]
    np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-13)
    assert found["p_value"].equals(expected["p_value"])
    assert (found["reason"].isna() == expected["reason"].isna()).all()
    assert score.meta(type("Frame", (), {"_meta": NEW})).columns.tolist() == found.columns.tolist()
    spark = type("Frame", (), {"dtypes": [("device", "string"), ("c0", "double")]})
    assert score.schema(spark).startswith("`device` string, `c0` double, `score` double")
    assert Fitting("device").schema(spark).startswith("`device` string, `model` binary, `error` string")


def test_a_column_that_engines_fill_with_nulls_is_refused(shelf):
    score = ShelfScoring(shelf)
    lost = score(NEW[NEW["device"] == "d1"].assign(c2=np.nan))
    assert lost["score"].isna().all()
    assert lost["reason"].str.contains("column 'c2' is missing in all 8 rows").all()
    allowed = ShelfScoring(shelf, may_lack=["c2"])(NEW[NEW["device"] == "d1"].assign(c2=np.nan))
    assert allowed["score"].notna().all()


def test_joblib_fits_the_same_models(shelf, tmp_path):
    from joblib import Parallel, delayed

    fit = Fitting("device")
    whole = devices(NORMAL | BAD)
    parts = Parallel(n_jobs=2)(delayed(fit)(group) for _, group in whole.groupby("device"))
    fit.save(parts, tmp_path / "m.parquet")
    one, other = memae.shelf(shelf), memae.shelf(tmp_path / "m.parquet")
    assert list(one) == list(other)
    assert all(equal(one.content((key,)), other.content((key,))) for key in one)
    with pytest.raises(InputError, match="the group 'd1' is there twice"):
        fit.save([*parts, fit(whole[whole["device"] == "d1"])], tmp_path / "m.parquet")


# ------------------------------------------------------------------------------------------------------------ the spool


def test_a_spool_keeps_groups_and_refuses_what_is_not_its_own(tmp_path):
    path = tmp_path / "m.checkpoint"
    groups = [
        Group(key=("b",), model=b"x", rows=3, text=("t",)),
        Group(key=("a",), error="no"),
        Group(key=None, shared=True),
    ]
    with Spool(path, "one") as spool:
        for group in groups:
            spool.add(group)
    with Spool(path, "one") as spool:
        assert len(spool) == 3
        assert list(spool.groups([None, ("a",), ("b",), ("c",)])) == [groups[2], groups[1], groups[0]]
        assert spool.failed([("a",), ("b",)]) == {("a",)}
    with pytest.raises(memae.errors.TrainingError, match="other data or options"):
        Spool(path, "two")
    with Spool(path, "one") as spool:
        spool.clear()
    assert not path.exists()
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(memae.errors.TrainingError, match="is not a readable checkpoint"):
        Spool(path, "one")


def test_a_shelf_has_a_column_for_each_field_of_a_group():
    assert [each.name for each in fields(Group)] == ["key", *TYPES]


def test_keys_for_users():
    assert shown((7, "x", dt.date(2026, 1, 2))) == "7, 'x', 2026-01-02"
    assert Keys(("a",)).in_groups(pd.DataFrame({"a": []})).keys == []
