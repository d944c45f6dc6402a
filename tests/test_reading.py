"""Tables as programs write them: each file with the frame that it holds, and what is said of it."""

import bz2
import gzip
import io
import json
import lzma
import math
import warnings
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import feather

import memae
from memae import TabularMemAE
from memae.data import dialects
from memae.data.dialects import Dialect, Reading
from memae.data.table_files import table_chunks
from memae.errors import MemaeError, MemaeNotice, MemaeWarning, OptionError, SourceError

NAN = math.nan
XY = {"x": [1.5, 2.5, -3.0], "y": ["a", "b", "c"]}


def read(path, *, text=None, rows=65_536, **wanted):
    """The frame of a file, and all that was said."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        reading = Reading(Dialect(**wanted))
        frame = pd.concat(table_chunks(path, rows, text=text, reading=reading)(), ignore_index=True)
    assert all(issubclass(each.category, MemaeWarning) for each in told)
    return frame, [str(each.message).removeprefix(f"{path}: ") for each in told]


def check(frame, expected):
    assert list(frame.columns) == list(expected)
    for name, values in expected.items():
        found = frame[name].tolist()
        if all(isinstance(value, int | float) for value in values):
            assert pd.api.types.is_numeric_dtype(frame[name].dtype), name
            np.testing.assert_array_equal(np.array(found, dtype=float), np.array(values, dtype=float))
        else:
            assert [None if pd.isna(value) else value for value in found] == values, name


WRITTEN = {
    # separators
    "plain": ("t.csv", "x,y\n1.5,a\n2.5,b\n-3,c\n", XY, []),
    "semicolon, decimal comma": ("t.csv", "x;y\n1,5;a\n2,5;b\n-3;c\n", XY, ["separated by ';', decimal comma"]),
    "semicolon, decimal point": ("t.csv", "x;y\n1.5;a\n2.5;b\n-3;c\n", XY, ["separated by ';'"]),
    "tabs": ("t.tsv", "x\ty\n1.5\ta\n2.5\tb\n-3\tc\n", XY, ["separated by tabs"]),
    "tabs in .txt": ("t.txt", "x\ty\n1,5\ta\n2,5\tb\n-3\tc\n", XY, ["separated by tabs, decimal comma"]),
    "pipes": ("t.csv", "x|y\n1.5|a\n2.5|b\n-3|c\n", XY, [r"separated by '|'"]),
    "white space": ("t.dat", "x z\n1.5 2\n2.5  3\n", {"x": [1.5, 2.5], "z": [2, 3]}, ["separated by white space"]),
    "text with commas": (
        "t.csv",
        "x;y\n1;a, b\n2;b, c\n",
        {"x": [1, 2], "y": ["a, b", "b, c"]},
        ["separated by ';'"],
    ),
    "without a header, decimal commas": (
        "t.csv",
        "1,5;2,5\n3,5;4,5\n",
        {"x0": [1.5, 3.5], "x1": [2.5, 4.5]},
        ["separated by ';', decimal comma, no header: its columns are called x0, x1"],
    ),
    "a single column of decimal commas": (
        "t.csv",
        "x\n1,5\n2,5\n",
        {"x": [1.5, 2.5]},
        ["separated by ';', decimal comma"],
    ),
    "a name with a semicolon": ("t.csv", "a;b\n1\n2\n", {"a;b": [1, 2]}, []),
    # encodings
    "latin-1": ("t.csv", "größe,y\n1,ä\n2,ö\n".encode("latin-1"), {"größe": [1, 2], "y": ["ä", "ö"]}, ["cp1252"]),
    "cp1252": ("t.csv", "x,y\n1,5 €\n2,6 €\n".encode("cp1252"), {"x": [1, 2], "y": ["5 €", "6 €"]}, ["cp1252", "unit"]),
    "UTF-8 with a mark": ("t.csv", "x,y\n1,ä\n".encode("utf-8-sig"), {"x": [1], "y": ["ä"]}, []),
    "UTF-16": (
        "t.csv",
        "x\ty\n1\tä\n2\tö\n".encode("utf-16"),
        {"x": [1, 2], "y": ["ä", "ö"]},
        ["separated by tabs, UTF-16"],
    ),
    "UTF-16 without a mark": (
        "t.csv",
        "x,y\n1,a\n2,b\n".encode("utf-16-le"),
        {"x": [1, 2], "y": ["a", "b"]},
        ["UTF-16-le"],
    ),
    # numbers
    "thousands, English": (
        "t.csv",
        'x,z\n"1,234.50",2.5\n"12,345.00",3.5\n17,4\n',
        {"x": [1234.5, 12345, 17], "z": [2.5, 3.5, 4]},
        ["thousands separated by ','"],
    ),
    "thousands, German": (
        "t.csv",
        "x;z\n1.234,50;2,5\n12.345,00;3,5\n",
        {"x": [1234.5, 12345], "z": [2.5, 3.5]},
        ["separated by ';', decimal comma, thousands separated by '.'"],
    ),
    "thousands, French": (
        "t.csv",
        "x;z\n1\u202f234,5;1\u00a0000\n12,5;2 000\n",
        {"x": [1234.5, 12.5], "z": [1000, 2000]},
        ["separated by ';', decimal comma, thousands separated by spaces"],
    ),
    "thousands, Swiss": (
        "t.csv",
        "x;z\n1'234.5;2\n17;3\n",
        {"x": [1234.5, 17], "z": [2, 3]},
        ["thousands separated by"],
    ),
    "1,234 among decimal commas": (
        "t.csv",
        "x;z\n1,234;0,5\n2,345;1,5\n",
        {"x": [1.234, 2.345], "z": [0.5, 1.5]},
        ["separated by ';', decimal comma"],
    ),
    "1.234 among decimal commas": (
        "t.csv",
        "x;z\n1.234;0,5\n999;1,5\n",
        {"x": [1234, 999], "z": [0.5, 1.5]},
        ["decimal comma, thousands separated by '.'"],
    ),
    "1,234 in quotes": (
        "t.csv",
        'x,y\n"1,234",a\n999,b\n',
        {"x": [1234, 999], "y": ["a", "b"]},
        ["thousands separated by ','", "column 'x': '1,234' is read as 1234, not 1.234; --decimal ',' overrules"],
    ),
    "1,234 alone, with small whole numbers": (
        "t.csv",
        "x;y\n1,234;a\n999;b\n",
        {"x": [1234, 999], "y": ["a", "b"]},
        ["thousands", "'1,234' is read as 1234, not 1.234"],
    ),
    "1,234 alone": (
        "t.csv",
        "x;y\n1,234;a\n2,345;b\n",
        {"x": [1.234, 2.345], "y": ["a", "b"]},
        ["decimal comma", "'1,234' is read as 1.234, not 1234; --decimal '.' overrules"],
    ),
    "three decimals": ("t.csv", "x,y\n1.234,a\n2.345,b\n", {"x": [1.234, 2.345], "y": ["a", "b"]}, []),
    "a point and a comma": ("t.csv", "x;z\n1,5;2.5\n3,5;4.5\n", {"x": [1.5, 3.5], "z": [2.5, 4.5]}, ["decimal comma"]),
    "an exponent": ("t.csv", "x;z\n1,5e3;1\n2E-1;2\n", {"x": [1500, 0.2], "z": [1, 2]}, ["decimal comma"]),
    "a version": ("t.csv", "x,y\n1,1.2.3\n2,1.2.4\n", {"x": [1, 2], "y": ["1.2.3", "1.2.4"]}, []),
    "lists of numbers": ("t.csv", 'x,y\n1,"3,5"\n2,"1,2,3"\n', {"x": [1, 2], "y": ["3,5", "1,2,3"]}, []),
    "nearly numeric": (
        "t.csv",
        "x,y\n" + "".join(f"{n},{n}.5\n" for n in range(39)) + "39,n.v.\n",
        {"x": list(range(40)), "y": [f"{n}.5" for n in range(39)] + ["n.v."]},
        [],  # told once, when its columns are surveyed
    ),
    "percent": (
        "t.csv",
        "x,y\n1,5 %\n2,6 %\n",
        {"x": [1, 2], "y": ["5 %", "6 %"]},
        ["its numbers have a unit, as '5 %'"],
    ),
    # missing values
    "words of pandas": ("t.csv", "x,y\nNA,\n2,None\nnull,b\n", {"x": [NAN, 2, NAN], "y": [None, None, "b"]}, []),
    "other words": (
        "t.csv",
        "x,y\n?,?\n2,-\n-,b\n",
        {"x": [NAN, 2, NAN], "y": ["?", "-", "b"]},
        ["'-' counts as missing in 'x', '?' counts as missing in 'x'"],
    ),
    "other words among decimal commas": (
        "t.csv",
        "x;z\n1,5;-\n-;2\n",
        {"x": [1.5, NAN], "z": [NAN, 2]},
        ["'-' counts as missing in 'x', 'z'"],
    ),
    # quotes, lines and headers
    "quotes": ("t.csv", '"x","y"\n1,"a ""b"""\n2,"c\nd"\n', {"x": [1, 2], "y": ['a "b"', "c\nd"]}, []),
    "carriage returns": ("t.csv", "x,y\r\n1,a\r\n2,b\r\n", {"x": [1, 2], "y": ["a", "b"]}, []),
    "old Macintosh": ("t.csv", "x,y\r1,a\r2,b\r", {"x": [1, 2], "y": ["a", "b"]}, []),
    "a separator at the end of each row": ("t.csv", "x,y\n1,a,\n2,b,\n", {"x": [1, 2], "y": ["a", "b"]}, []),
    "a separator at the end of each line": ("t.csv", "x,y,\n1,a,\n2,b,\n", {"x": [1, 2], "y": ["a", "b"]}, []),
    "blank lines": ("t.csv", "\n\nx,y\n\n1,a\n\n2,b\n\n", {"x": [1, 2], "y": ["a", "b"]}, []),
    "comments above": (
        "t.csv",
        "# of May\n#\nx,y\n1,a\n2,b\n",
        {"x": [1, 2], "y": ["a", "b"]},
        ["2 lines of comments above"],
    ),
    "comments inside": (
        "t.csv",
        "x,y\n1,a\n# half\n2,b\n",
        {"x": [1, 2], "y": ["a", "b"]},
        ["lines that begin with # are comments"],
    ),
    "a hash in a cell": ("t.csv", "x,y\n1,#1\n2,C#\n", {"x": [1, 2], "y": ["#1", "C#"]}, []),
    "a name twice": (
        "t.csv",
        "x,x\n1,2\n",
        {"x": [1], "x.1": [2]},
        ["2 columns are called 'x': the second is read as 'x.1'"],
    ),
    "no header": (
        "t.csv",
        "0.5,1.5\n1,2\n",
        {"x0": [0.5, 1], "x1": [1.5, 2]},
        ["no header: its columns are called x0, x1"],
    ),
    "no header, with text": (
        "t.data",
        "5.1,3.5,setosa\n4.9,3.0,setosa\n",
        {"x0": [5.1, 4.9], "x1": [3.5, 3.0], "x2": ["setosa", "setosa"]},
        ["no header: its columns are called x0, x1, x2"],
    ),
    "years as names": (
        "t.csv",
        "2019,2020\n5.5,6\n7,8\n",
        {"2019": [5.5, 7], "2020": [6, 8]},
        ["all column names are numbers"],
    ),
    "numbers of columns": ("t.csv", "0,1\n5,6\n7,8\n", {"0": [5, 7], "1": [6, 8]}, []),
    "a title above": (
        "t.csv",
        "Report\n\nx;y;z\n1;a;2\n2;b;3\n",
        {"x": [1, 2], "y": ["a", "b"], "z": [2, 3]},
        ["separated by ';', its first 2 lines are a title"],
    ),
    "a short row": (
        "t.csv",
        "x,y\n1,a\n2\n3,c\n",
        {"x": [1, 2, 3], "y": ["a", None, "c"]},
        [
            "1 row has fewer cells",
        ],
    ),
    # other programs
    "R, write.csv": (
        "t.csv",
        '"","x","y"\n"1",1.5,"a"\n"2",NA,NA\n',
        {"x": [1.5, NAN], "y": ["a", None]},
        ["its first column, which has no name, numbers the rows and is left out"],
    ),
    "R, write.csv2": (
        "t.csv",
        '"";"x"\n"1";1,5\n"2";NA\n',
        {"x": [1.5, NAN]},
        ["separated by ';', decimal comma, its first"],
    ),
    "R, write.table": (
        "t.txt",
        '"x" "z"\n"1" 1.5 2\n"2" 2.5 3\n',
        {"x": [1.5, 2.5], "z": [2, 3]},
        ["its first column, which the header"],
    ),
    "pandas, to_csv": (
        "t.csv",
        pd.DataFrame(XY).to_csv(),
        XY,
        ["its first column, which has no name, numbers the rows"],
    ),
    "pandas, of some rows": ("t.csv", ",x\n17,1\n5,2\n", {"x": [1, 2]}, ["its first column, which has no name"]),
    "NumPy, savetxt": (
        "t.csv",
        "# x,z\n1.0e+00,2.0e+00\n3.0e+00,4.0e+00\n",
        {"x": [1, 3], "z": [2, 4]},
        ["no header: its columns are called x, z"],
    ),
    "Excel, sep=": (
        "t.csv",
        "sep=;\r\nx;y\r\n1,5;a\r\n2,5;b\r\n",
        {"x": [1.5, 2.5], "y": ["a", "b"]},
        ["separated by ';', decimal comma"],
    ),
    "LibreOffice, German": (
        "t.csv",
        'Datum;Größe;Preis\n01.02.2024;"groß";1.234,50\n02.02.2024;"klein";7,00\n'.encode("cp1252"),
        {"Datum": ["01.02.2024", "02.02.2024"], "Größe": ["groß", "klein"], "Preis": [1234.5, 7]},
        ["separated by ';', decimal comma, thousands separated by '.', cp1252"],
    ),
    "a dump of SQL": (
        "t.tsv",
        "x\ty\n1\ta\n\\N\t\\N\n3\tc\n",
        {"x": [1, NAN, 3], "y": ["a", None, "c"]},
        [
            "separated by tabs",
        ],
    ),
    "MATLAB, writetable": ("t.txt", "x,y\n1.5,a\nNaN,b\n", {"x": [1.5, NAN], "y": ["a", "b"]}, []),
}


def arrows_own():
    out = io.BytesIO()
    arrow_csv.write_csv(pa.table(XY), out)
    return out.getvalue()


WRITTEN["Arrow"] = ("t.csv", arrows_own(), XY, [])


@pytest.mark.parametrize("rows", [1, 65_536])
@pytest.mark.parametrize("case", WRITTEN)
def test_text_as_programs_write_it(tmp_path, case, rows):
    name, content, expected, said = WRITTEN[case]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    frame, told = read(path, rows=rows)
    check(frame, expected)
    assert len(told) == len(said), told
    for words, line in zip(said, told, strict=True):
        assert words in line


@pytest.mark.parametrize("case", [case for case in WRITTEN if "nearly" not in case])
def test_a_file_to_score_is_read_like_the_one_of_training(tmp_path, case):
    name, content, expected, _ = WRITTEN[case]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    text = [name for name, values in expected.items() if not all(isinstance(value, int | float) for value in values)]
    check(read(path, text=text)[0], expected)


@pytest.mark.parametrize(
    ("packed", "pack"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", lambda data: pa.compress(data, "zstd", asbytes=True)),
    ],
)
@pytest.mark.parametrize("form", [".csv", ".tsv", ".jsonl"])
def test_packed_files(tmp_path, packed, pack, form):
    text = {
        ".csv": "x;y\n1,5;a\n2,5;b\n-3;c\n",
        ".tsv": "x\ty\n1.5\ta\n2.5\tb\n-3\tc\n",
        ".jsonl": pd.DataFrame(XY).to_json(orient="records", lines=True),
    }[form]
    path = tmp_path / f"t{form}{packed}"
    path.write_bytes(pack(text.encode()))
    for _ in range(2):
        check(read(path)[0], XY)
    if packed != ".zst":
        path.write_bytes(pack(text.encode() * 1000)[:-9])
        with pytest.raises(SourceError, match="cannot be read as a table"):
            read(path)


def test_json_lines(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"x": 1, "y": "a", "z": true}\n\n{"x": null, "y": 2, "z": false}\n{"x": 2.5, "z": true}\n')
    check(read(path)[0], {"x": [1, NAN, 2.5], "y": ["a", 2, None], "z": [True, False, True]})
    (tmp_path / "t.json").write_text(json.dumps([{"x": 1}, {"x": 2}], indent=2))
    check(read(tmp_path / "t.json")[0], {"x": [1, 2]})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"x": 1}\n{"x": 2', "its line 2 is not JSON .*may be cut off"),
        ('{"x": 1}\n[2]\n', "line 2 is list, not an object"),
        ('{"x": 1}\n' * 300 + '{"x": 1, "more": 2}\n', "row 300 has the field 'more', which none of the first 256"),
        ("[1, 2]", "must be a list of objects"),
    ],
)
def test_json_that_is_no_table(tmp_path, content, words):
    (tmp_path / "t.jsonl").write_text(content)
    with pytest.raises(SourceError, match=words):
        read(tmp_path / "t.jsonl", rows=256)


def test_feather_and_arrow(tmp_path):
    table = pa.table(XY)
    feather.write_feather(table, str(tmp_path / "t.feather"), chunksize=2)
    with pa.OSFile(str(tmp_path / "t.arrows"), "w") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    for name in ("t.feather", "t.arrows"):
        for rows in (1, 100):
            check(read(tmp_path / name, rows=rows)[0], XY)
        whole = (tmp_path / name).read_bytes()
        for length in range(1, len(whole) - 8, 97):
            (tmp_path / name).write_bytes(whole[:length])
            with pytest.raises(MemaeError):
                read(tmp_path / name)


def workbook(path, sheets):
    """Writes a minimal Excel file: {sheet: rows}."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    mime = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    numbers = range(1, len(sheets) + 1)

    def cell(value):
        if value is None:
            return "<c/>"
        text = f'<c t="inlineStr"><is><t>{value}</t></is></c>'
        return text if isinstance(value, str) else f"<c><v>{value}</v></c>"

    def relations(*given):
        listed = "".join(f'<Relationship Id="{i}" Type="{office}/{kind}" Target="{to}"/>' for i, kind, to in given)
        return f'<Relationships xmlns="{package}/relationships">{listed}</Relationships>'

    parts = {"/xl/workbook.xml": "sheet.main"} | {f"/xl/worksheets/sheet{n}.xml": "worksheet" for n in numbers}
    kinds = "".join(f'<Override PartName="{part}" ContentType="{mime}.{kind}+xml"/>' for part, kind in parts.items())
    rels = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in zip(numbers, sheets, strict=True)
    )
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("[Content_Types].xml", f'<Types xmlns="{package}/content-types">{rels}{kinds}</Types>')
        file.writestr("_rels/.rels", relations(("r", "officeDocument", "xl/workbook.xml")))
        file.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{listed}</sheets></workbook>'
        )
        given = relations(*((f"r{n}", "worksheet", f"worksheets/sheet{n}.xml") for n in numbers))
        file.writestr("xl/_rels/workbook.xml.rels", given)
        for n, rows in zip(numbers, sheets.values(), strict=True):
            data = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
            sheet = f'<worksheet xmlns="{main}"><sheetData>{data}</sheetData></worksheet>'
            file.writestr(f"xl/worksheets/sheet{n}.xml", sheet)


def test_excel(tmp_path):
    pytest.importorskip("python_calamine")
    path = tmp_path / "t.xlsx"
    rows = [["x", "y", "z"], [1.5, "a", 1], [2.5, None, "-"], [-3, "c", 3]]
    workbook(path, {"data": rows, "notes": [["n"], [1], [2]]})
    frame, told = read(path)
    check(frame, {"x": [1.5, 2.5, -3], "y": ["a", None, "c"], "z": [1, NAN, 3]})
    assert "sheet 'data', the first; --sheet reads another: 'notes'" in told[0]
    assert "'-' counts as missing in 'z'" in told[1]
    check(read(path, sheet="notes")[0], {"n": [1, 2]})
    with pytest.raises(SourceError, match="has no sheet 'nope'; its sheets are 'data', 'notes'"):
        read(path, sheet="nope")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(SourceError, match="cannot be read as a table"):
        read(path)


def test_excel_without_its_library(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "python_calamine", None)
    workbook(tmp_path / "t.xlsx", {"data": [["x"], [1]]})
    with pytest.raises(MemaeError, match=r"needs the extra memae\[excel\], which is not installed"):
        read(tmp_path / "t.xlsx")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_folder_of_files_is_one_table(tmp_path, form):
    for number, part in enumerate(np.split(np.arange(12.0), 3)):
        frame = pd.DataFrame({"x": part, "y": ["a", "b"] * 2})
        frame = frame[["y", "x"]] if number == 1 else frame  # in any order
        path = tmp_path / f"year={2020 + number}" / f"shop={'ab'[number % 2]}" / f"part.{form}"
        path.parent.mkdir(parents=True)
        frame.to_csv(path, index=False) if form == "csv" else frame.to_parquet(path)
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "notes.md").write_text("notes")
    frame, told = read(tmp_path)
    expected = {
        "x": list(range(12)), "y": ["a", "b"] * 6, "year": [2020] * 4 + [2021] * 4 + [2022] * 4,
        "shop": ["a"] * 4 + ["b"] * 4 + ["a"] * 4,
    }  # fmt: skip
    check(frame, expected)
    assert told == [
        f"3 .{form} files as one table, with the columns 'year', 'shop' from the names of their folders; 1 other files "
        "are left out, such as notes.md"
    ]


def test_folders_that_are_no_table(tmp_path):
    with pytest.raises(SourceError, match="has no table in it"):
        read(tmp_path)
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    with pytest.raises(SourceError, match=r"b\.csv lacks the column 'y'"):
        read(tmp_path)
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(SourceError, match=r"files of several formats, \.csv, \.parquet"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x,y\n1,a\n2,b\n3", "ends in the middle of a row, '3': it is cut off"),
        (b'x,y\n1,"a\n', "EOF inside string"),
        (b"x,y\n1,\0\n", "its byte 6 is 0, which no text has"),
        (b"x,y\n1,2,3\n", "names 2 columns but has 3 values in its first row"),
        (b"x,y\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        (b"x" * 2_000_000, "a line of more than 1,048,576 characters"),
    ],
)
def test_files_that_are_damaged(tmp_path, content, words):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(SourceError, match=words):
        read(tmp_path / "t.csv")


def test_what_the_user_says_holds(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x;y\n1,234;a\n2,345;b\n")
    check(read(path, decimal=".")[0], {"x": [1234, 2345], "y": ["a", "b"]})
    check(read(path, thousands=",")[0], {"x": [1234, 2345], "y": ["a", "b"]})
    check(read(path, decimal=",")[0], {"x": [1.234, 2.345], "y": ["a", "b"]})
    check(read(path, header=False)[0], {"x0": ["x", "1,234", "2,345"], "x1": ["y", "a", "b"]})
    path.write_bytes("x,y\n1,ä\n".encode("cp850"))
    check(read(path, encoding="cp850")[0], {"x": [1], "y": ["ä"]})
    with pytest.raises(SourceError, match="it is not in utf-8"):
        read(path, encoding="utf-8")
    path.write_text("x,y;z\n1,2;3\n")
    check(read(path, separator=";")[0], {"x,y": [1.2], "z": [3]})


@pytest.mark.parametrize(
    "said",
    [{"separator": "ab"}, {"decimal": ";"}, {"thousands": "x"}, {"encoding": "no"}, {"decimal": ",", "thousands": ","}],
)
def test_dialects_that_are_not_possible(said):
    with pytest.raises(OptionError):
        Dialect(**said)


def test_a_model_knows_how_its_training_file_was_written(tmp_path):
    rng = np.random.default_rng(0)
    lines = [f"{a:.3f};{b:.2f}".replace(".", ",") for a, b in rng.normal(5, 1, size=(50, 2))]
    (tmp_path / "t.csv").write_text("x;z\n" + "\n".join(lines) + "\n")
    with pytest.warns(MemaeNotice, match="separated by ';', decimal comma"):
        detector = TabularMemAE().fit(tmp_path / "t.csv")
    detector.save(tmp_path / "m")
    (tmp_path / "one.csv").write_text("x;z\n5,123;5\n")  # which might be 5123
    kind = memae.load(tmp_path / "m").kind_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MemaeNotice)
        (part,) = kind.open(tmp_path / "one.csv")
    assert part.raw.tolist() == [[5.123, 5.0]]


def test_what_the_sample_does_not_show_is_noticed_later(tmp_path, monkeypatch):
    monkeypatch.setattr(dialects, "SAMPLE", 64)
    monkeypatch.setattr("memae.data.csv_files.SAMPLE", 64)
    path = tmp_path / "t.csv"
    path.write_bytes(("x,y\n" + "1,a\n" * 50 + "2,ä\n").encode("latin-1"))
    with pytest.raises(SourceError, match=r"utf-8.*--encoding, such as cp1252"):
        read(path)
    path.write_text("x,y\n" + "1,a\n" * 50 + "-,b\n2,c\n")
    frame, _ = read(path, text=["y"])
    assert frame["x"].isna().sum() == 1
    path.write_text("x,y\n" + "1,a\n" * 50 + "oops,b\n")
    assert read(path, text=["y"])[0]["x"].iloc[-1] == "oops"  # which the encoder refuses
