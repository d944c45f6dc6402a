"""Tables that are easily read wrongly in silence: each has the values it must have, or the words that must be said."""

import datetime as dt
import warnings

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memae.data.dialects import Dialect, Reading
from memae.data.meanings import surveyed
from memae.data.table_files import table_chunks
from memae.errors import MemaeError


def written(header, *rows, count=30):
    """Text of a table in which some rows come again and again."""
    return "\n".join([header, *(rows[index % len(rows)] for index in range(count))]) + "\n"


def read(path, **said):
    """The table, what was said of it, and what its columns mean."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = table_chunks(path, reading=Reading(Dialect(**said)))
        frame = pd.concat(table(), ignore_index=True)
        found = surveyed(table())
    kinds = {column.name: column.kind for column in found.encoder.columns}
    return frame, kinds, " ".join([*(str(each.message) for each in told), *found.remarks])


NUMBERS = {
    "mixed ends": ("a,b\r\n1,2\n3,4\r5,6\r\n", [1, 3, 5]),
    "carriage returns alone": ("a,b\r1,2\r3,4\r", [1, 3]),
    "mark of UTF-8 before quotes": ('\ufeff"a",c\n1,2\n3,4\n', [1, 3]),
    "line break in a name": ('"x\ny",a\n1,2\n3,4\n', [2, 4]),
    "tabs and decimal commas": (written("a\tb", "1,5\t2,25", "3,75\t-4,5", count=2), [1.5, 3.75]),
    "narrow spaces": (written("a;b", "1\u202f234;1", "999;2", count=2), [1234, 999]),
    "spaces and decimal commas": (written("a;b", "1 234,5;1", "12 345,25;2", count=2), [1234.5, 12345.25]),
    "exponent behind a comma": (written("a;b", "1,5E+03;1", "2,5E-02;2", count=2), [1500, 0.025]),
    "digits of Arabic": (written("a,b", "١٢,1", "٣٤,2", count=2), [12, 34]),
    "wide digits": (written("a,b", "１２,1", "３４,2", count=2), [12, 34]),
    "typographic minus": (written("a,b", "\u22125.5,1", "12.5,2", count=2), [-5.5, 12.5]),
    "spaces behind commas": ("b, a, c\n1, 2, x\n3, 4, y\n", [2, 4]),
    "beyond 64 bits": (f"a,b\n{10**25},1\n3,2\n", [1e25, 3]),
    "booleans": (written("a,b", "true,1", ",2", "false,3", count=3), [1, None, 0]),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers(tmp_path, case):
    content, values = NUMBERS[case]
    (tmp_path / "t.csv").write_text(content, encoding="utf-8", newline="")
    frame, kinds, _ = read(tmp_path / "t.csv")
    assert kinds["a"] == "number"
    assert pd.Series(values, dtype=float).equals(frame["a"].astype(float))


SAID = {
    "currency behind a sign": (written("a,b", "$1,1", "$2.50,2", "-$3,3"), "have a unit, as '$1'"),
    "unit of letters": (written("a,b", "1.5 kg,1", "2 kg,2", "3.25kg,3"), "have a unit, as '1.5 kg'"),
    "losses in brackets": (written("a,b", "12.50,1", "(5.00),2", "(7.25),3"), "are written as '(5.00)'"),
    "minus behind": (written("a,b", "12.50,1", "5.0-,2"), "are written as '5.0-'"),
    "underscores": (written("a,b", "1_000,1", "2_000,2"), "are written as '1_000'"),
    "dates of several forms": (
        written("a,b", "2024-01-02,1", "02.01.2024,2", "Jan 3 2024,3"),
        "these are written in several ways, such as '2024-01-02' and '02.01.2024'",
    ),
    "zeros in front": (written("a,b", "01234,1", "02345,2"), "'01234' in 'a' is read as the number 1234"),
    "names that pandas numbers on": ("a,a,a.1\n1,2,3\n4,5,7\n", "the second is read as 'a.2'"),
    "no name in the middle": ("a,,c\n1,2,3\n4,5.5,7\n", "its column 2 has no name and is called 'Unnamed: 1'"),
    "separated by something else": (written("a^b", "1^2", "3^4"), "if '^' separates columns, give --separator '^'"),
    "fixed width": ("name  a\nabc   1.5\nde   22.5\n", "if white space separates columns, give --separator ' '"),
}


@pytest.mark.parametrize("case", SAID)
def test_what_may_be_meant_otherwise_is_said(tmp_path, case):
    content, words = SAID[case]
    (tmp_path / "t.csv").write_text(content, encoding="utf-8")
    assert words in read(tmp_path / "t.csv")[2]


@pytest.mark.parametrize(
    "content",
    [
        written("when,b", "10:30,1", "11:45,2"),
        written("a", "some text", "one more here"),
        written("a,b", "3 apples,1", "4 pears,2"),
        written("version,b", "v1.2.3,1", "v1.2.4,2"),
        written("a,b", "0,1", "0.05,2", "10,3"),
    ],
)
def test_ordinary_text_is_not_doubted(tmp_path, content):
    (tmp_path / "t.csv").write_text(content)
    said = read(tmp_path / "t.csv")[2]
    assert "single column" not in said
    assert "unit" not in said
    assert "several ways" not in said
    assert "is read as the number" not in said


REFUSED = {
    "page.csv": ("<!DOCTYPE html><html>Not found</html>", "is a page of HTML or XML"),
    "page.xls": ("<html><table><tr><td>a</td></tr></table></html>", "is a page of HTML or XML"),
    "large.csv": ("a,b\n1e400,1\n2,3\n5,6\n", "column 'a' has infinite values"),
    "twice.jsonl": ('{"a":1,"a":2}\n{"a":3}\n', "the field 'a' is there twice"),
    "clash.jsonl": ('{"a":{"b":1},"a.b":2}\n', "the field 'a.b' twice"),
    "columns.json": ('{"a":{"0":1,"1":2},"b":{"0":3,"1":4}}', "has columns, not rows"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_sentence(tmp_path, name):
    content, words = REFUSED[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(MemaeError, match=words):
        read(tmp_path / name)


def test_thousands_that_the_first_rows_do_not_show(tmp_path, monkeypatch):
    monkeypatch.setattr("memae.data.csv_files.SAMPLE", 200)
    path = tmp_path / "t.csv"
    path.write_text("a;b\n" + "999;2,5\n" * 200 + "1.234;2,5\n")
    with pytest.raises(MemaeError, match=r"column 'a' has '1\.234', but its first numbers have no point"):
        read(path)
    assert read(path, thousands=".")[0]["a"].iloc[-1] == 1234
    assert read(path, thousands=".")[0]["b"].iloc[-1] == 2.5


def test_text_with_the_name_of_excel(tmp_path):
    (tmp_path / "t.xls").write_text("a\tb\n1,5\t2\n2,5\t3\n")
    assert read(tmp_path / "t.xls")[0]["a"].tolist() == [1.5, 2.5]


def test_objects_inside_of_objects_become_columns(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"a":1,"b":{"c":2,"d":{"e":"x"}}}\n{"a":2}\n{"b":{"c":5}}\n')
    frame, kinds, _ = read(tmp_path / "t.jsonl")
    assert list(frame.columns) == ["a", "b.c", "b.d.e"]
    assert frame["b.c"].fillna(-1).tolist() == [2, -1, 5]
    assert kinds["b.d.e"] == "category"
    rows = [{"x": 1, "y": {"z": 2.5}}, None, {"x": 3, "y": None}]
    pq.write_table(
        pa.table({"s": pa.array(rows), "w": pa.array([dt.timedelta(seconds=5)] * 3)}), tmp_path / "t.parquet"
    )
    frame, kinds, _ = read(tmp_path / "t.parquet")
    assert list(frame.columns) == ["s.x", "s.y.z", "w"]
    assert frame["s.x"].fillna(-1).tolist() == [1, -1, 3]
    assert kinds["w"] == "number"
