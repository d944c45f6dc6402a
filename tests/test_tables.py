"""Columns of a table become features by rules that do not depend on how the table was cut into chunks."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memae.data.column import MAX_CATEGORIES
from memae.data.table_files import table_chunks
from memae.data.tables import TableEncoder, frame_of_array, without
from memae.errors import InputError, MemaeError, SchemaError, SourceError

NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.none())
NAMES = st.one_of(st.sampled_from(["a", "b", "c d", "ü"]), st.none())


def fitted(frame):
    return TableEncoder.fit([frame])[0]


def cut(frame, cuts):
    """The frame in chunks; none is empty."""
    places = sorted({place % len(frame) for place in cuts} - {0})
    return [frame.iloc[a:b] for a, b in zip([0, *places], [*places, len(frame)], strict=True)]


@given(
    st.lists(st.tuples(NUMBERS, NAMES, st.integers(-(2**40), 2**40), st.booleans()), min_size=2, max_size=30),
    st.lists(st.integers(0, 1000), max_size=6),
)
def test_statistics_are_those_of_pandas_however_the_table_is_cut(rows, cuts):
    rows = [(0.5, "a", 7, True), *rows]
    frame = pd.DataFrame(rows, columns=["x", "name", "n", "flag"])
    frame["x"] = frame["x"].astype(float)
    encoder, count = TableEncoder.fit(cut(frame, cuts))
    assert count == len(frame)
    x, name, n, flag = encoder.columns
    for column in (x, n, flag):
        series = frame[column.name].astype(float)
        size = float(series.abs().max()) + 1e-300
        assert column.kind == "number"
        assert column.mean == pytest.approx(series.mean(), rel=1e-9, abs=1e-12 * size)
        assert column.spread == pytest.approx(series.std(ddof=0), rel=1e-6, abs=1e-9 * size)
        assert (column.least, column.most, column.missing) == (series.min(), series.max(), series.isna().sum())
    assert name.kind == "category"
    assert list(name.categories) == sorted(frame["name"].fillna("").unique())
    assert name == fitted(frame).columns[1]


@given(st.lists(NAMES, min_size=1, max_size=20), st.lists(st.integers(0, 1000), max_size=6))
def test_categories_do_not_depend_on_where_missing_values_came(names, cuts):
    frame = pd.DataFrame({"name": pd.Series([*names, "a"], dtype=object)})
    assert TableEncoder.fit(cut(frame, cuts))[0] == fitted(frame)


def test_a_mean_far_from_zero_costs_no_digits():
    values = 1e9 + np.random.default_rng(0).random(1000)
    encoder, _ = TableEncoder.fit(pd.DataFrame({"x": part}) for part in np.split(values, 10))
    assert encoder.columns[0].spread == pytest.approx(values.std(), rel=1e-6)


MIXED = pd.DataFrame(
    {
        "x": [1.0, 2.0, np.nan, 5.0],
        "kind": ["b", None, "a", "b"],
        "same": [3, 3, 3, 3],
        "flag": [True, False, True, True],
        "text number": pd.Series(["1", "2.5", None, "4"], dtype=object),
    }
)


def test_the_features_of_each_sort_of_column():
    encoder = fitted(MIXED)
    assert encoder.features == [
        "x", "x missing", "kind=", "kind=a", "kind=b", "kind=other", "same", "flag", "text number",
        "text number missing",
    ]  # fmt: skip
    assert encoder.width == 10
    assert encoder.owner.tolist() == [0, 0, 1, 1, 1, 1, 2, 3, 4, 4]
    found = encoder.encode(MIXED)
    assert found.dtype == torch.float64
    assert found.tolist() == [
        [1.0, 0, 0, 0, 1, 0, 3, 1, 1.0, 0],
        [2.0, 0, 1, 0, 0, 0, 3, 0, 2.5, 0],
        [8 / 3, 1, 0, 1, 0, 0, 3, 1, 2.5, 1],
        [5.0, 0, 0, 0, 1, 0, 3, 1, 4.0, 0],
    ]


def test_values_that_training_never_showed():
    encoder = fitted(MIXED)
    frame = MIXED.head(2).assign(kind=["c", "a"], same=[np.nan, 9.0])
    found = encoder.encode(frame)
    assert found[:, 2:7].tolist() == [[0, 0, 0, 1, 3.0], [0, 1, 0, 0, 9.0]]
    assert encoder.novelties(frame) == {"kind": 1, "same": 1}
    assert encoder.novelties(MIXED) == {}


def test_novelties_work_for_names_that_are_numbers():
    frame = pd.DataFrame(np.arange(6.0).reshape(3, 2))
    encoder = fitted(frame)
    assert encoder.encode(frame).tolist() == frame.to_numpy().tolist()
    assert encoder.novelties(frame) == {}


def test_a_frame_is_encoded_the_same_in_parts_and_with_any_index():
    encoder = fitted(MIXED)
    whole = encoder.encode(MIXED)
    assert torch.equal(torch.cat([encoder.encode(MIXED.iloc[[place]]) for place in range(4)]), whole)
    assert torch.equal(encoder.encode(MIXED.set_index(pd.Index([5, 5, 1, 0]))), whole)


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1, 2, None], dtype="Int64"),
        pd.Series([1.0, 2.0, None], dtype="Float64"),
        pd.Series([True, False, None], dtype="boolean"),
        pd.Series([True, False, None], dtype=object),
        pd.Series(["1", " 2 ", None], dtype=object),
        pd.Series([1, 2.5, pd.NA], dtype=object),
        pd.Series(["1", "2e3", None], dtype="string"),
        pd.Series([1, 2, 3], dtype=np.uint8),
    ],
    ids=lambda series: f"{series.dtype} {series[0]!r}",
)
def test_all_ways_to_store_numbers(series):
    encoder = fitted(pd.DataFrame({"x": series}))
    column = encoder.columns[0]
    assert column.kind == "number"
    assert column.missing == series.isna().sum()
    wanted = [column.mean if pd.isna(value) else float(value) for value in series]
    assert encoder.encode(pd.DataFrame({"x": series}))[:, 0].tolist() == pytest.approx(wanted)


def test_all_ways_to_store_categories_are_the_same():
    values = ["b", "a", None, "b"]
    stored = [pd.Series(values, dtype=dtype) for dtype in (object, "category", "string", "str")]
    encoders = [fitted(pd.DataFrame({"x": series})) for series in stored]
    assert all(encoder == encoders[0] for encoder in encoders)
    codes = [encoders[0].encode(pd.DataFrame({"x": series})).tolist() for series in stored]
    assert all(code == [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]] for code in codes)


def test_numbers_in_a_categorical_column_stay_categories():
    encoder = fitted(pd.DataFrame({"x": pd.Categorical([10, 9, 10])}))
    assert encoder.columns[0].categories == ("10", "9")


@given(st.lists(st.tuples(NUMBERS, NAMES), min_size=1, max_size=10))
def test_an_encoder_survives_json(rows):
    frame = pd.DataFrame([(1.5, "a"), *rows], columns=["x", "name"]).astype({"x": float})
    encoder = fitted(frame)
    other = TableEncoder.from_json(json.loads(json.dumps(encoder.as_json())))
    assert other == encoder
    assert torch.equal(other.encode(frame), encoder.encode(frame))


def test_center_and_scale():
    encoder = fitted(MIXED)
    x = MIXED["x"]
    center, scale = encoder.center_and_scale("standard")
    scaled = (encoder.encode(MIXED) - center) / scale
    varied = encoder.encode(MIXED).std(0, correction=0) > 0
    torch.testing.assert_close(scaled.mean(0), torch.zeros(10, dtype=torch.float64))
    complete = [place for place, name in enumerate(encoder.features) if name not in ("x", "text number")]
    torch.testing.assert_close(scaled.std(0, correction=0)[complete], varied[complete].double())
    assert float(scale[0]) == pytest.approx(x.std(ddof=0))  # of the values that are there
    other = torch.tensor([name.endswith("=other") for name in encoder.features])
    assert scale[other].eq(0.1).all()  # none was seen: one would lie 10 deviations away
    assert scale[~varied & ~other].eq(1).all()
    center, scale = encoder.center_and_scale("minmax")
    assert center.tolist() == [1, 0, 0, 0, 0, 0, 3, 0, 1, 0]
    assert scale.tolist() == [4, 1, 1, 1, 1, 1, 1, 1, 3, 1]
    low = (encoder.encode(MIXED) - center) / scale
    assert float(low.min()) == 0.0
    assert float(low.max()) == 1.0


def test_columns_with_a_single_value_are_only_shifted_and_reported():
    frame = pd.DataFrame({"a": [0.1] * 3, "b": ["q"] * 3, "c": [1e-300, 0.0, 0.0]})
    encoder = fitted(frame)
    assert [column.constant for column in encoder.columns] == [True, True, False]
    center, scale = encoder.center_and_scale("standard")
    assert ((encoder.encode(frame) - center) / scale)[:, 0].tolist() == pytest.approx([0.0] * 3)
    assert encoder.report() == [
        f"column {name!r} has a single value in training: any other will count as anomalous" for name in "ab"
    ]
    assert "'x' misses 1 values" in " ".join(fitted(MIXED).report())


def test_more_categories_than_are_told_apart():
    values = [f"v{number:03}" for number in range(MAX_CATEGORIES + 20)]
    frame = pd.DataFrame({"x": [*values, *values[20:]]})
    encoder = fitted(frame)
    assert encoder.columns[0].categories == tuple(values[20:])  # the most frequent
    assert encoder.encode(frame)[:, -1].sum() == 20
    assert "only its 100 most frequent values are told apart" in encoder.report()[0]
    exact = fitted(pd.DataFrame({"x": values[:MAX_CATEGORIES]}))
    assert exact.encode(pd.DataFrame({"x": values[:MAX_CATEGORIES]}))[:, -1].sum() == 0
    assert exact.report() == []  # all its values are told apart


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="x"), "column 'x' missing"),
        (lambda f: f.drop(columns=["x", "flag"]), "columns 'x', 'flag' missing"),
        (lambda f: f.assign(more=1), "column 'more' not known to the model"),
        (lambda f: f[f.columns[::-1]], "columns are in another order; expected 'x', 'kind'"),
        (lambda f: f.rename(columns={"x": "y"}), "column 'x' missing"),
        (lambda f: f.assign(same=["3", "3", "oops", "3"]), "column 'same' holds numbers, but row 2 has 'oops'"),
        (lambda f: pd.concat([f, f[["x"]]], axis=1), "column"),
    ],
)
def test_a_table_of_another_form_is_refused(change, message):
    with pytest.raises(SchemaError, match=message):
        fitted(MIXED).encode(change(MIXED))


def test_many_names_are_cut_short():
    frame = pd.DataFrame(np.zeros((2, 9)), columns=list("abcdefghi"))
    with pytest.raises(SchemaError, match="'b', 'c', 'd', 'e', 'f' and 3 more missing"):
        fitted(frame).check(frame[["a"]])


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (pd.Series([1.0, np.inf, -np.inf]), r"infinite values \(2, the first in row 1\)"),
        (pd.Series(["1", "inf", "2"]), "infinite values"),
        (pd.Series([None, None]), "column 'x' has no values at all"),
        (pd.Series([np.nan, np.nan]), "column 'x' has no values at all"),
        (pd.Series([1 + 2j, 0]), "Complex data not supported: column 'x'"),
        (pd.Series(pd.to_datetime(["2020-01-01"])), "column 'x' holds dates or durations"),
        (pd.Series(pd.to_datetime(["2020-01-01"]).tz_localize("UTC")), "column 'x' holds dates or durations"),
        (pd.Series(pd.to_timedelta(["1 days"])), "column 'x' holds dates or durations"),
        (pd.Series([], dtype=float), "0 rows"),
    ],
)
def test_columns_that_cannot_be_used_are_refused(series, message):
    with pytest.raises(InputError, match=message):
        fitted(pd.DataFrame({"x": series}))


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, dt.date(2020, 1, 1)])
def test_containers_are_refused_in_the_words_that_scikit_learn_expects(value):
    with pytest.raises(TypeError, match="argument must be a string or a real number"):
        fitted(pd.DataFrame({"x": [value, value]}))


def test_two_columns_of_one_name_are_refused():
    for names in (["a", "a"], [1, "1"]):
        frame = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=names)
        with pytest.raises(InputError, match="two columns have the same name"):
            fitted(frame)
    with pytest.raises(InputError, match="0 rows"):
        TableEncoder.fit([])


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(3, 2), [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]])
def test_arrays_become_tables(array):
    frame = frame_of_array(array)
    assert list(frame.columns) == ["x0", "x1"]
    assert frame.to_numpy().tolist() == np.arange(6.0).reshape(3, 2).tolist()
    assert frame_of_array(frame) is frame


@pytest.mark.parametrize("array", [np.arange(3.0), np.zeros((2, 2, 2)), 5.0])
def test_arrays_of_another_dimension_are_refused(array):
    with pytest.raises(InputError, match="Expected 2D array"):
        frame_of_array(array)


def test_columns_can_be_left_out():
    assert list(without(MIXED, ["x", "flag"], strict=True).columns) == ["kind", "same", "text number"]
    assert without(MIXED, [], strict=True) is MIXED
    assert list(without(MIXED[["x"]], ["x", "nope"], strict=False).columns) == []
    with pytest.raises(SchemaError, match="there is no column 'nope' to leave out; the columns are 'x', 'kind'"):
        without(MIXED, ["nope"], strict=True)
    assert list(without(pd.DataFrame([[1, 2]]), ["1"], strict=True).columns) == [0]


FILED = pd.DataFrame({"x": [1.5, -2.0, np.nan, 4.0, 5.0], "name": ["a", "b", "a", None, "c"], "n": [1, 2, 3, 4, 5]})


@pytest.mark.parametrize("rows", [1, 2, 5, 100])
def test_csv_and_parquet_give_the_same_features(tmp_path, rows):
    FILED.to_csv(tmp_path / "t.csv", index=False)
    FILED.to_parquet(tmp_path / "t.PARQUET")
    encoder = fitted(FILED)
    for name in ("t.csv", "t.PARQUET"):
        chunks = table_chunks(tmp_path / name, rows)
        for _ in range(2):  # again and again
            assert [len(chunk) for chunk in chunks()] == [min(rows, 5 - at) for at in range(0, 5, rows)]
        assert torch.equal(torch.cat([encoder.encode(chunk) for chunk in chunks()]), encoder.encode(FILED))
        found, count = TableEncoder.fit(chunks())
        assert count == 5
        assert found.features == encoder.features


@pytest.mark.parametrize("cell", ["1", "1.0", "01", ""])
@pytest.mark.parametrize("rows", [2, 10])
def test_a_category_is_the_same_in_whatever_chunk_it_comes(tmp_path, cell, rows):
    """The rest of a chunk must not decide how a cell is read: alone among numbers it is still that category."""
    (tmp_path / "t.csv").write_text(f"k,z\na,0\n{cell},0\n{cell},0\n,0\n{cell},0\n2,0\n")
    encoder, _ = TableEncoder.fit(table_chunks(tmp_path / "t.csv", rows)())
    assert set(encoder.columns[0].categories) == {"a", cell, "", "2"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", r"is empty \(0 bytes\)"),
        ("t.parquet", b"", r"is empty \(0 bytes\)"),
        ("t.parquet", b"no parquet at all", "cannot be read as a table"),
        ("t.csv", b"\xff\x00\x00\x01" * 9, "cannot be read as a table"),
        ("t.csv", b"\n\n\n", "cannot be read as a table"),
        ("t.csv", b'a,b\n"1,2\n', "cannot be read as a table"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n1,2\n", "cannot be read as a table"),
        ("t.docx", b"PK\x03\x04", "is no table that can be read"),
        ("t.zip", b"PK\x03\x04", "is no table that can be read"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        list(table_chunks(tmp_path / name)())
    assert str(tmp_path / name) in str(caught.value)


def test_a_missing_table_and_a_folder_are_refused_at_once(tmp_path):
    for path, words in ((tmp_path / "none.csv", "is not a file"), (tmp_path, "has no table in it")):
        with pytest.raises(SourceError, match=words):
            table_chunks(path)


def test_a_parquet_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    FILED.to_parquet(path)
    whole = path.read_bytes()
    for length in range(1, len(whole), 101):
        path.write_bytes(whole[:length])
        with pytest.raises(MemaeError):
            list(table_chunks(path)())


def test_a_table_with_a_header_alone_has_no_rows(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n")
    FILED.head(0).to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        with pytest.raises(InputError, match="0 rows"):
            TableEncoder.fit(table_chunks(tmp_path / name)())
