"""Files as other programs write them, through fit, score, evaluate, explain, report and the service."""

import gzip
import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from tests.asked import served
from tests.test_reading import workbook

ROWS = 120
ODD = slice(100, 110)


def measurements(*, odd: bool) -> pd.DataFrame:
    """Pressure and heat that go together, a machine, and a label; the heat of some rows is odd."""
    random = np.random.default_rng(1 + odd)
    pressure = random.normal(1200, 40, ROWS).round(2)
    heat = (pressure / 30 + random.normal(0, 0.3, ROWS)).round(3)
    label = np.zeros(ROWS, dtype=int)
    if odd:
        heat[ODD] += 15
        label[ODD] = 1
    machine = random.choice(["presse rot", "presse blau"], ROWS)
    return pd.DataFrame({"pressure": pressure, "heat": heat, "machine": machine, "fault": label})


def r_write_csv(frame: pd.DataFrame) -> bytes:
    """R's write.csv: row names from "1" in a first column called "", texts in quotes, NA."""
    frame = frame.set_axis([str(number) for number in range(1, ROWS + 1)])
    frame.loc["3", "heat"] = np.nan
    return frame.to_csv(quoting=2, na_rep="NA", index_label="").encode()


def r_write_table(frame: pd.DataFrame) -> bytes:
    """R's write.table: white space, row names that the header does not name."""
    lines = frame.set_axis([str(number) for number in range(1, ROWS + 1)]).to_csv(sep=" ", quoting=2, header=False)
    return (" ".join(f'"{name}"' for name in frame.columns) + "\n" + lines).encode()


def german_excel(frame: pd.DataFrame) -> bytes:
    """Excel's CSV with a byte-order mark, semicolons, decimal commas, a point for thousands, and CR LF."""
    shown = frame.assign(pressure=frame["pressure"].map(lambda value: f"{value:,.2f}".translate({44: ".", 46: ","})))
    return ("\ufeff" + shown.to_csv(sep=";", decimal=",", index=False, lineterminator="\r\n")).encode()


def libreoffice(frame: pd.DataFrame) -> bytes:
    """LibreOffice's CSV, as latin-1 with texts in quotes."""
    return frame.assign(machine="größe " + frame["machine"]).to_csv(index=False, quoting=2).encode("latin-1")


def pandas_index(frame: pd.DataFrame) -> bytes:
    """pandas with its index."""
    return frame.to_csv().encode()


def sql_dump(frame: pd.DataFrame) -> bytes:
    r"""COPY of PostgreSQL or SELECT INTO OUTFILE of MySQL: tabs, no header, \N."""
    frame.loc[5:95:10, "heat"] = None
    return frame.to_csv(sep="\t", index=False, na_rep="\\N").encode()


def api(frame: pd.DataFrame) -> bytes:
    """A list of objects, as web services answer."""
    return json.dumps(json.loads(frame.to_json(orient="records")), indent=1).encode()


def json_lines(frame: pd.DataFrame) -> bytes:
    """JSON lines, packed."""
    return gzip.compress(frame.to_json(orient="records", lines=True).encode())


def european_time(frame: pd.DataFrame) -> bytes:
    """A logger's file: lines of comments, times of day, a separator at the end of each line."""
    times = pd.date_range("2024-05-01", periods=ROWS, freq="7h").strftime("%d.%m.%Y %H:%M")
    body = frame.assign(time=times)[["time", *frame.columns]].assign(end="").rename(columns={"end": ""})
    return ("# logger 7\n# of May\n" + body.to_csv(sep=";", index=False)).encode("cp1252")


def r_feather(frame: pd.DataFrame) -> bytes:
    """Feather of R: texts as factors, numbers as they are."""
    import io

    file = io.BytesIO()
    frame.assign(machine=frame["machine"].astype("category"), fault=frame["fault"].astype("float64")).to_feather(file)
    return file.getvalue()


def spark_parquet(frame: pd.DataFrame) -> bytes:
    """Parquet with nullable integers and texts of Arrow."""
    import io

    file = io.BytesIO()
    frame.astype({"fault": "Int64", "machine": "string"}).to_parquet(file, compression="snappy")
    return file.getvalue()


FILES: dict[str, tuple[str, Callable[[pd.DataFrame], bytes]]] = {
    "R, write.csv": ("t.csv", r_write_csv),
    "R, write.table": ("t.txt", r_write_table),
    "R, Feather": ("t.feather", r_feather),
    "Excel in Germany": ("t.csv", german_excel),
    "LibreOffice": ("t.csv", libreoffice),
    "pandas with its index": ("t.csv", pandas_index),
    "a dump of SQL": ("t.tsv", sql_dump),
    "an API": ("t.json", api),
    "JSON lines, packed": ("t.jsonl.gz", json_lines),
    "a logger": ("t.dat", european_time),
    "Spark": ("t.parquet", spark_parquet),
}


@pytest.mark.parametrize("program", [*FILES, "Excel"])
def test_a_strangers_file_goes_all_the_way(program, run, tmp_path):
    name, write = FILES.get(program, ("t.xlsx", None))
    paths = []
    for part in ("normal", "test"):
        path = tmp_path / part / name
        path.parent.mkdir()
        frame = measurements(odd=part == "test")
        if write is None:
            workbook(path, {"Messwerte": [["Messwerte"], [], list(frame.columns), *frame.to_numpy().tolist()]})
        else:
            path.write_bytes(write(frame))
        paths.append(path)
    normal, test = paths
    model, ignore = tmp_path / "m.memae", ("--ignore", "fault")

    def done(*arguments: object) -> str:
        ran = run(*arguments)
        assert ran.code == 0, ran.err
        return ran.out

    done("fit", "table", normal, *ignore, "-o", model)
    known = {column["name"]: column["kind"] for column in json.loads(done("inspect", model, "--json"))["columns"]}
    assert known.items() >= {"pressure": "number", "heat": "number", "machine": "category"}.items()
    scored = tmp_path / "s.csv"
    done("score", model, test, "-o", scored)
    rows = pd.read_csv(scored)
    assert len(rows) == ROWS
    assert rows["is_anomaly"][ODD].all()
    facts = json.loads(done("evaluate", model, test, "--labels", "fault", "--json"))
    assert facts["auroc"]["value"] > 0.95
    why = [json.loads(line) for line in done("explain", model, test, "--json", "--top", 1).splitlines()]
    assert why[0]["contributions"][0]["column"] in ("heat", "pressure")
    done("report", model, test, "-o", tmp_path / "r.html")
    assert "heat" in (tmp_path / "r.html").read_text(encoding="utf-8")
    if test.suffix == ".feather":  # nothing in it tells how large it is unpacked, so that the service takes none
        return
    np.testing.assert_allclose(served(model, [(test.name, test.read_bytes())]), rows["score"], rtol=1e-12)
