"""What columns mean: left out, taken as they are, or as times; each case of a table with the right value."""

import datetime as dt
import json
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from memae.data import tallies
from memae.data.contents import EMPTY, FREE, IDENTIFIER
from memae.data.dataframes import as_pandas
from memae.data.meanings import Surveyed, surveyed
from memae.data.tallies import Distinct
from memae.data.times import CLOCK, FORMATS, GAP, HOUR, ISO, WEEKDAY, instants, possible
from memae.errors import InputError, MemaeWarning, OptionError, SchemaError
from memae.estimators import TabularMemAE, load
from memae.kinds import Notes

N = 200
RNG = np.random.default_rng(0)
X = RNG.normal(size=N)
UNIQUE_TEXT = [f"TX{number}" for number in 100_000 + RNG.permutation(N)]


class Case(NamedTuple):
    """A column of a table, and what it means."""

    values: Any
    gone: str = ""  # part of the reason to leave it out
    said: str = ""  # part of a remark
    kinds: tuple[str, ...] = ("number",)  # of the columns that stand for it
    name: str = "c"


def hourly(count: int = N, step: str = "1h", **more: Any) -> pd.DatetimeIndex:
    return pd.date_range("2024-01-01 06:30", periods=count, freq=step, **more)


CASES = {
    # names of rows
    "identifiers": Case(UNIQUE_TEXT, "identifier"),
    "identifiers, some missing": Case([None, *UNIQUE_TEXT[1:]], "identifier"),
    "free text": Case([f"the pump of line {number} was loud" for number in range(N)], "free text"),
    "row numbers from 0": Case(range(N), "numbers the rows"),
    "row numbers from 1, as fractions": Case(np.arange(1.0, N + 1), "numbers the rows"),
    "steady count": Case(range(1_700_000_000, 1_700_000_000 + 60 * N, 60), "numbers the rows"),
    "count down": Case(range(N, 0, -1), "numbers the rows"),
    "few identifiers that say so": Case(UNIQUE_TEXT[:9], "identifier", name="order_id"),
    "few row numbers that say so": Case(range(9), "numbers the rows", name="Unnamed: 0"),
    # no names of rows
    "few different texts": Case(UNIQUE_TEXT[:9], kinds=("category",)),
    "few numbers that count": Case(range(9)),
    "few other numbers, with the name": Case([3, 9, 7, 5, 8], said="another whole number in nearly", name="id"),
    "a measurement, different in each row": Case(X),
    "a sorted measurement": Case(np.sort(X)),
    "even steps that are no whole numbers": Case(np.linspace(0, 1, N)),
    "a sorted whole number that repeats": Case(np.sort(RNG.integers(0, 50, N))),
    "whole numbers that repeat": Case(RNG.integers(0, 1000, N)),
    "amounts, mostly different": Case(np.exp(RNG.normal(10, 2, N)).round()),
    "customers": Case(RNG.integers(10**7, 10**8, N), said="leave it out with --ignore c"),
    "rising invoice numbers": Case(np.cumsum(RNG.integers(1, 9, N)), said="another whole number in nearly every row"),
    "row numbers, shuffled": Case(RNG.permutation(N), said="another whole number in nearly every row"),
    "a count with a gap": Case([*range(9), None, *range(10, N)], said="another whole number"),
    "categories": Case(RNG.choice(["a", "b"], N), kinds=("category",)),
    "many categories": Case(
        [f"v{n}" for n in RNG.integers(0, 400, 1000)], said="most frequent fill", kinds=("category",)
    ),
    "nearly numbers": Case(
        ["n/a?", *X[1:].astype(str)], said="not all of its values are numbers ('n/a?'", kinds=("category",)
    ),
    "texts among a few numbers that come often": Case(
        ["12", "15", "n.v.", "17"] * 1 + ["12"] * (N - 4),
        said="not all of its values are numbers ('n.v.')",
        kinds=("category",),
    ),
    # nothing
    "nothing": Case([None] * N, "had no value"),
    "nothing but empty texts": Case([""] * N, "had no value"),
    "empty texts before times": Case(["", *[""] * 9, *hourly()[10:].astype(str)], said=HOUR, kinds=("hour", "number")),
    "nothing, as numbers": Case([np.nan] * N, "had no value"),
    # times
    "ISO 8601": Case(hourly().astype(str), said=f"{HOUR} and {GAP}", kinds=("hour", "number")),
    "with a T and a zone": Case(
        [f"{t:%Y-%m-%dT%H:%M:%S}+02:00" for t in hourly()], said=HOUR, kinds=("hour", "number")
    ),
    "German": Case(hourly().strftime("%d.%m.%Y %H:%M"), said=HOUR, kinds=("hour", "number")),
    "American": Case(hourly().strftime("%m/%d/%Y %I:%M %p"), said=HOUR, kinds=("hour", "number")),
    "of either": Case(hourly(10).strftime("%d/%m/%Y"), "holds times", kinds=()),
    "days of either": Case(
        pd.date_range("2024-01-01", periods=12, freq="31D").strftime("%d/%m/%y"),
        said=f"{WEEKDAY} and {GAP}",
        kinds=("category", "number"),
    ),
    "in an index of months": Case(
        [f"{day:02}/{month:02}/2024" for month in (1, 2) for day in range(1, 13)],
        said="could be read in 2 ways; it is read as %d/%m/%Y",
        kinds=("category", "number"),
    ),
    "of a web server": Case(hourly().strftime("%d/%b/%Y:%H:%M:%S +0100"), said=HOUR, kinds=("hour", "number")),
    "with a type": Case(hourly(), said=HOUR, kinds=("hour", "number")),
    "with a type and a zone": Case(hourly(tz="Europe/Berlin"), said=HOUR, kinds=("hour", "number")),
    "over weeks": Case(hourly(step="7h"), said=WEEKDAY, kinds=("hour", "category", "number")),
    "within a day": Case(hourly(step="1s"), said=f"holds times: {GAP} of", kinds=("number",)),
    "out of order": Case(RNG.permutation(hourly().astype(str)), said=f"holds times: {HOUR} of", kinds=("hour",)),
    "out of order within a day": Case(RNG.permutation(hourly(step="1s").astype(str)), "holds times", kinds=()),
    "dates": Case(
        [dt.date(2024, 1, 1) + dt.timedelta(n) for n in range(N)], said=WEEKDAY, kinds=("category", "number")
    ),
    "times of day": Case([f"{n % 24}:05" for n in range(N)], said=f"holds times: {HOUR} of", kinds=("hour",)),
    "times of day with a type": Case([dt.time(n % 24, 5) for n in range(N)], said=HOUR, kinds=("hour",)),
    "some missing": Case([None, *hourly()[1:].astype(str)], said=HOUR, kinds=("hour", "number")),
    "no times": Case([*hourly()[1:].astype(str), "unknown"], "identifier"),
    "versions": Case([f"1.2.{n % 9}" for n in range(N)], kinds=("category",)),
    "years": Case(RNG.choice([2020, 2021], N)),
    # durations
    "durations": Case(pd.to_timedelta(RNG.integers(0, 99, N), unit="s"), said="taken in seconds"),
    "durations as text": Case([f"0 days 00:00:{n % 60:02}" for n in range(N)], said="taken in seconds"),
    # labels
    "a label": Case(RNG.integers(0, 2, N), said="holds two values (0, 1): does it say", name="is_fraud"),
    "a constant label": Case(["ok"] * N, said="one value alone (ok)", kinds=("category",), name="Class"),
    "a target that is no label": Case(X, name="target"),
    "a column of 0 and 1": Case(RNG.integers(0, 2, N)),
    # numbers of other types
    "decimals": Case([Decimal("1.5"), None, Decimal("2.25")] * 20),
    "mixed numbers": Case(pd.Series([1, 2.5, np.float32(3), Decimal("4"), True, "5", None] * 10, dtype=object)),
    "nullable integers": Case(pd.array([1, None, 1] * 30, dtype="Int64")),
    "nullable booleans": Case(pd.array([True, None, False] * 30, dtype="boolean")),
    "NumPy's scalars": Case(pd.Series([np.int8(1), np.bool_(True), np.float64(3)] * 30, dtype=object)),
}


def told(frame: pd.DataFrame, chunk: int, keep: tuple[str, ...] = ()) -> Surveyed:
    return surveyed((frame.iloc[start : start + chunk] for start in range(0, len(frame), chunk)), keep)


@pytest.mark.parametrize("chunk", [7, 10**6])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_a_column_means(case: Case, chunk: int) -> None:
    """However the table is cut into chunks."""
    column = pd.Series(case.values)
    found = told(pd.DataFrame({case.name: column, "x": np.resize(X, len(column))}), chunk)
    out = {each.name: each.why for each in found.roles.left_out}
    remarks = " ".join(remark for remark in found.remarks if repr(case.name) in remark)
    if case.gone:
        assert case.gone in out.pop(case.name)
        assert f"column {case.name!r} left out" in remarks
        assert found.roles.names == ("x",)
    else:
        assert tuple(each.kind for each in found.encoder.columns) == (*case.kinds, "number")
        assert bool(case.said) == bool(remarks), remarks
        assert case.said in remarks
    assert not out


def test_what_a_user_wants_to_keep_is_kept() -> None:
    frame = pd.DataFrame({"id": UNIQUE_TEXT, "n": range(N), "number": RNG.permutation(N), "x": X})
    found = told(frame, 50, ("id", "n", "number"))
    assert [each.kind for each in found.encoder.columns] == ["category", "number", "number", "number"]
    assert found.remarks == ()
    with pytest.raises(SchemaError, match="no column 'nope' to keep"):
        told(frame, 50, ("nope",))
    with pytest.raises(OptionError, match="keep_columns and ignore both name 'n'"):
        TabularMemAE(keep_columns=["n"], ignore=["n"]).fit(frame)


def test_a_table_of_names_alone_cannot_be_learned() -> None:
    with pytest.raises(InputError, match="no column is left to learn from: column 'id' left out, since it is an ident"):
        told(pd.DataFrame({"id": UNIQUE_TEXT}), 50)


def test_memory_is_bounded_and_what_is_frequent_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "VALUES", 500)
    monkeypatch.setattr(tallies, "SKETCH", 512)
    tally = tallies.TextTally("c")
    for part in range(40):
        tally.add({f"{part} {number}": 1 for number in range(100)} | {"often": 50, "": 1})
        assert len(tally.seen) <= 500
    assert (tally.seen["often"], tally.missing, tally.rows) == (2000, 40, 6040)
    assert tally.distinct == pytest.approx(4002, rel=0.15)
    column = tally.column()
    assert column.shares[column.categories.index("often")] == pytest.approx(2000 / 6040)
    assert sum(column.shares) == pytest.approx(1)


@pytest.mark.parametrize("values", [np.arange(50_000.0), np.array([f"v{n}" for n in range(50_000)], dtype=object)])
def test_different_values_are_counted_in_constant_memory(values: Any) -> None:
    few, many = Distinct(), Distinct()
    for part in np.split(values, 10):
        few.add(values[:1000])
        many.add(part)
        many.add(part)
    assert few.count == 1000
    assert many.count == pytest.approx(50_000, rel=0.1)


# ----------------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("texts", "forms"),
    [
        (["2024-01-31", "2024-02-01T10:11:12.5Z", "2024-02-01 10:11+02:00"], {ISO}),
        (["31.12.2024"], {"%d.%m.%Y"}),
        (["01/02/2024", "13/02/2024"], {"%d/%m/%Y"}),
        (["9:05", "23:59:01.5"], {CLOCK}),
        (["Tue, 31 Dec 2024 10:00:00 GMT"], {"%a, %d %b %Y %H:%M:%S GMT"}),
        (["25:00"], set()),
        (["2024"], set()),
        (["a", "2024-01-01"], set()),
        (["1.5"], set()),
        ([], set()),
    ],
)
def test_formats_of_times(texts: list[str], forms: set[str]) -> None:
    assert set(possible(texts, FORMATS)) == forms


@pytest.mark.parametrize(
    "values",
    [
        ["2024-03-31T01:30:00+01:00", "2024-03-31T03:30:00+02:00", None],
        pd.to_datetime(["2024-03-31 00:30", "2024-03-31 01:30", None], utc=True).tz_convert("Europe/Berlin"),
        pd.array(pd.to_datetime(["2024-03-31 00:30", "2024-03-31 01:30", None], utc=True).tz_convert("Europe/Berlin")),
    ],
)
def test_hours_are_those_of_the_place_and_gaps_those_of_the_world(values: Any) -> None:
    found = instants(pd.Series(values, index=[3, 3, 1]), ISO, "t")
    assert found.wall.dt.hour.tolist()[:2] == [1, 3]  # the night in which summer begins
    assert np.diff(found.seconds)[0] == 3600
    assert np.isnan(found.seconds[2])


def sensor(rows: int = 400, **more: Any) -> pd.DataFrame:
    """A temperature that follows the hour of the day, every ten minutes."""
    time = pd.date_range("2024-05-06", periods=rows, freq="10min")
    warmth = 10 * np.sin((time.hour + time.minute / 60) / 24 * 2 * np.pi)
    return pd.DataFrame({"time": time, "warmth": warmth + RNG.normal(0, 0.3, rows)} | more)


@pytest.fixture(scope="module")
def following() -> TabularMemAE:
    with pytest.warns(MemaeWarning, match="column 'time' holds times"):
        return TabularMemAE().fit(sensor())


def test_a_value_that_is_odd_at_its_hour_is_found_and_shown_in_its_terms(following: TabularMemAE) -> None:
    later = sensor(145).assign(time=lambda frame: frame["time"] + pd.Timedelta(days=7))
    assert (following.predict(later) == -1).mean() < 0.2
    odd = later.iloc[:40].copy()
    odd.loc[36, "warmth"] = -10.0  # at 6 o'clock it is 10
    [evidence] = following.explain(odd, only=[36])
    assert evidence.is_anomaly
    shown = {each.column: (each.value, each.expected) for each in evidence.contributions}
    assert set(shown) == {"time, hour of day", "time, seconds since the row before", "warmth"}
    assert shown["time, hour of day"][0] == "06:00"
    assert evidence.contributions[0].column in ("warmth", "time, hour of day")


def test_a_pause_is_found_and_known_across_chunks_and_forms(following: TabularMemAE, tmp_path: Path) -> None:
    rows = sensor(60)
    rows.loc[30:, "time"] += pd.Timedelta(days=1)
    rows.to_csv(tmp_path / "t.csv", index=False)
    rows.to_parquet(tmp_path / "t.parquet")
    scores = following.anomaly_score(rows)
    assert np.argmax(scores) == 30
    assert scores[0] < following.threshold_ * 1.5  # nothing is known of the time before
    kind = following.kind_
    parts = [part.read for part in kind.parts(iter([rows[:30], rows[30:31], rows[31:]]))]
    gaps = pd.concat(parts)["time, seconds since the row before"].tolist()
    assert gaps == [600.0] * 30 + [600.0 + 86400] + [600.0] * 29
    for path in (tmp_path / "t.csv", tmp_path / "t.parquet"):
        np.testing.assert_array_equal(following.anomaly_score(path), scores)
    backwards = following.anomaly_score(rows[:30].iloc[::-1])
    assert np.isfinite(backwards).all()
    assert pd.concat([part.read for part in kind.parts(iter([rows[:30].iloc[::-1]]))]).iloc[:, 1].eq(600.0).all()


def test_times_survive_the_model_file(following: TabularMemAE, tmp_path: Path) -> None:
    following.save(tmp_path / "m")
    other = load(tmp_path / "m")
    assert (other.roles_, list(other.feature_names_in_)) == (following.roles_, ["time", "warmth"])
    rows = sensor(30)
    np.testing.assert_array_equal(other.anomaly_score(rows), following.anomaly_score(rows))
    json.dumps(other.kind_.learned())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.assign(time="soon"), "'time' held times in training, but row 0 has 'soon'"),
        (lambda rows: rows.assign(time=5), "'time' held times in training, but row 0 has"),
        (lambda rows: rows.assign(warmth=rows["time"]), "'warmth' held numbers in training but holds dates"),
    ],
)
def test_times_must_be_times_again(following: TabularMemAE, change: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        following.anomaly_score(change(sensor(5)))


def test_rows_left_out_as_anomalous_do_not_change_the_pace() -> None:
    frame = sensor()
    frame.loc[5::40, "warmth"] = 90.0
    with pytest.warns(MemaeWarning, match="holds times"):
        detector = TabularMemAE(contamination=0.05).fit(frame)
    column = detector.encoder_.columns[1]
    assert (column.name, column.least, column.most) == ("time, seconds since the row before", 600.0, 600.0)
    assert [each.kind for each in detector.encoder_.columns] == ["hour", "number", "number"]


# ---------------------------------------------------------------------------------------------------- at scoring


GIVEN = pd.DataFrame(
    {"id": UNIQUE_TEXT, "x": X, "y1": RNG.normal(size=N), "k": RNG.choice(["a", "b"], N), "none": None}
)


@pytest.fixture(scope="module")
def detector() -> TabularMemAE:
    with pytest.warns(MemaeWarning, match="left out"):
        return TabularMemAE().fit(GIVEN)


@pytest.mark.parametrize(
    ("change", "unknown"),
    [
        (lambda rows: rows, []),
        (lambda rows: rows.drop(columns=["id", "none"]), []),
        (lambda rows: rows.assign(id=5, none=7.5), []),
        (lambda rows: rows[["none", "k", "y1", "x", "id"]], []),
        (lambda rows: rows.assign(label=1), ["label"]),
        (lambda rows: rows.assign(label="a", more=2)[["more", "k", "label", "y1", "x"]], ["more", "label"]),
    ],
    ids=["same", "without", "other names of rows", "order", "one more", "two more, in another order"],
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_files_with_columns_in_any_order(
    detector: TabularMemAE, tmp_path: Path, change: Callable[[Any], Any], unknown: list[str], form: str
) -> None:
    path, expected = tmp_path / f"t.{form}", detector.anomaly_score(GIVEN)
    changed = change(GIVEN)
    changed.to_csv(path, index=False) if form == "csv" else changed.to_parquet(path)
    notes = Notes()
    parts = list(detector.kind_.scored(detector.scorer_, detector.kind_.open(path, notes=notes)))
    np.testing.assert_array_equal(np.concatenate([part.judged.score for part in parts]), expected)
    assert notes.unknown == unknown
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(detector.anomaly_score(path), expected)
    said = [str(each.message) for each in caught]
    assert len(said) == bool(unknown)
    assert all(f"{', '.join(map(repr, unknown))} left out, since the model was not fitted" in each for each in said)


def test_data_frames_keep_the_rules_of_scikit_learn(detector: TabularMemAE) -> None:
    assert list(detector.feature_names_in_) == ["x", "y1", "k"]
    assert detector.n_features_in_ == 3
    expected = detector.anomaly_score(GIVEN)
    np.testing.assert_array_equal(detector.anomaly_score(GIVEN.drop(columns="id")), expected)
    for changed in (GIVEN.assign(label=1), GIVEN[["y1", "x", "k"]], GIVEN.drop(columns="x")):
        with pytest.raises(SchemaError):
            detector.anomaly_score(changed)


def test_arrays_have_all_columns() -> None:
    rows = np.column_stack([np.arange(N), X, RNG.normal(size=N)])
    with pytest.warns(MemaeWarning, match="column 'x0' left out, since it numbers the rows"):
        detector = TabularMemAE().fit(rows)
    assert detector.n_features_in_ == 3
    np.testing.assert_array_equal(detector.anomaly_score(rows + np.array([5, 0, 0])), detector.anomaly_score(rows))
    with pytest.raises(SchemaError, match="fitted on 3 columns, the array has 2"):
        detector.anomaly_score(rows[:, 1:])


def test_drift_and_reasons_never_blame_names_of_rows(detector: TabularMemAE) -> None:
    new = GIVEN.assign(id=[f"other {number}" for number in range(N)])
    assert detector.drift(new).p_value == detector.drift(GIVEN).p_value
    [evidence] = detector.explain(new, only=[0])
    assert {each.column for each in evidence.contributions} == {"x", "y1", "k"}


# --------------------------------------------------------------------------------------------- DataFrames of others


class Capsule:
    """A DataFrame of another library, as far as Arrow's interface goes."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


TYPES = pd.DataFrame(
    {
        "number": X,
        "whole": RNG.integers(0, 9, N),
        "flag": X > 0,
        "amount": [Decimal(int(100 * value)) / 100 for value in X],
        "kind": pd.Categorical(RNG.choice(["a", "b", "c"], N)),
        "when": pd.date_range("2024-01-01", periods=N, freq="1h"),
        "took": pd.to_timedelta(RNG.integers(0, 99, N), unit="s"),
    }
)


def frames() -> Iterator[Any]:
    table = pa.Table.from_pandas(TYPES)
    yield TYPES.convert_dtypes(dtype_backend="pyarrow")
    yield TYPES.convert_dtypes()
    yield table
    yield Capsule(table)
    yield TYPES.set_index(pd.Index([7] * N))


@pytest.mark.filterwarnings("ignore:column:memae.errors.MemaeWarning")
@pytest.mark.parametrize("frame", list(frames()), ids=["arrow types", "nullable", "Arrow", "capsule", "index"])
def test_data_frames_of_any_library_score_alike(frame: Any) -> None:
    expected = TabularMemAE().fit(TYPES)
    scores = expected.anomaly_score(TYPES)
    np.testing.assert_allclose(expected.anomaly_score(frame), scores, rtol=1e-9)
    fitted = TabularMemAE().fit(frame)
    np.testing.assert_allclose(fitted.anomaly_score(TYPES), scores, rtol=1e-9)
    assert fitted.contributions(frame).shape == (N, len(expected.encoder_.columns))


def test_levels_that_training_never_showed_are_other_ones() -> None:
    kinds = pd.DataFrame({"x": X, "kind": pd.Categorical(RNG.choice(["a", "b"], N))})
    detector = TabularMemAE().fit(kinds)
    odd = kinds.head(9).assign(kind=pd.Categorical(["new"] * 9, categories=["new", "a", "unused"]))
    assert detector.encoder_.novelties(odd) == {"kind": 9}
    assert (detector.anomaly_score(odd) > detector.threshold_).all()


def test_a_lazy_frame_is_asked_to_be_computed() -> None:
    class LazyFrame:
        collect = lazy = None

    with pytest.raises(InputError, match=r"give X\.collect\(\)"):
        as_pandas(LazyFrame())


# ------------------------------------------------------------------------------------------------- what data is poor


def test_rows_that_are_all_alike_are_one_sentence() -> None:
    for make in (TabularMemAE(), TabularMemAE(n_items=4, epochs=1, warmup=0)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            detector = make.fit(pd.DataFrame({"a": [3.0] * 60, "b": ["x"] * 60}))
        [message] = [str(each.message) for each in caught]
        assert message.startswith("all 60 rows are alike")
        assert detector.encoder_.report() == []


def test_five_rows_are_one_sentence_on_their_number() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        TabularMemAE().fit(RNG.normal(size=(5, 2)))
    [message] = [str(each.message) for each in caught]
    assert message.startswith("5 normal samples are too few for a false-alarm rate of 0.05, which needs 19")


# ------------------------------------------------------------------------------------------------- the command line


def test_the_command_line_from_end_to_end(run: Callable[..., Any], tmp_path: Path) -> None:
    normal, new, model = tmp_path / "normal.csv", tmp_path / "new.csv", tmp_path / "m"
    table = GIVEN.assign(time=hourly(), is_fraud=0)
    table.to_csv(normal, index=False)
    table.assign(extra=1, truth=[0, 1] * (N // 2))[[*table.columns[::-1], "truth", "extra"]].to_csv(new, index=False)
    ran = run("fit", "table", normal, "-o", model, "--ignore", "is_fraud")
    assert ran.code == 0
    said = [line.removeprefix("memae: warning: ") for line in ran.err.splitlines()]
    assert f"column 'id' left out, since it {IDENTIFIER}" in said[0]
    assert f"column 'none' left out, since it {EMPTY}" in said[1]
    assert "column 'time' holds times" in said[2]
    assert FREE not in ran.err
    ran = run("score", model, new, "-o", tmp_path / "s.csv", "--keep")
    assert ran.err.count("columns 'truth', 'extra' left out, since the model was not fitted with them") == 1
    assert list(pd.read_csv(tmp_path / "s.csv").columns) == [
        "row", "score", "p_value", "is_anomaly", *table.columns[::-1], "truth", "extra"
    ]  # fmt: skip
    ran = run("evaluate", model, new, "--labels", "truth", "--json")
    assert json.loads(ran.out)["samples"] == N
    assert ran.err.count("column 'extra' left out") == 1
    ran = run("evaluate", model, new, "--labels", "truth", "--strict")
    assert (ran.code, "column 'extra' not known to the model" in ran.err) == (1, True)
    ran = run("fit", "table", normal, "-o", tmp_path / "kept", "--keep-column", "id")
    assert "'id'" not in ran.err.split("frequent values")[0].split("left out, since it had")[0]
    assert "column 'is_fraud' holds one value alone (0)" in ran.err
    assert "id" in load(tmp_path / "kept").roles_.names
