"""The service: every answer it can give, batches, limits, hostile input and its end."""

import asyncio
import gc
import io
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error, response_schema_conformance, status_code_conformance
from tests.goods import bars, png, table
from tests.serving import encoded

from memae import ImageMemAE, TabularMemAE, VideoMemAE
from memae.errors import OptionError
from memae.service.app import Service
from memae.service.batching import Worker
from memae.service.front import POLICY
from memae.service.limits import Limits
from memae.service.server import Server, bound
from memae.service.uploads import TYPES

RNG = np.random.default_rng(0)
TOKEN = "a-token-of-sixteen-and-more"  # noqa: S105 (of the tests)
JSON = {"content-type": "application/json"}
Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def rows() -> TabularMemAE:
    return TabularMemAE(kept_samples=60).fit(table(300))


@pytest.fixture(scope="module")
def images() -> ImageMemAE:
    return ImageMemAE(8, size=(16, 16), epochs=3, kept_samples=20, widths=(6, 8), strides=[(2, 2), (2, 2)]).fit(
        bars(80)
    )


@pytest.fixture(scope="module")
def service(rows: TabularMemAE, images: ImageMemAE, watcher: VideoMemAE) -> Iterator[Service]:
    served = Service({"rows": rows, "images": images, "film": watcher})
    yield served
    served.close()


@pytest.fixture(scope="module")
def alone(rows: TabularMemAE) -> Iterator[Service]:
    served = Service({"rows": rows}, limits=Limits(megabytes=0.1, samples=500, explained=5, files=3, seconds=20))
    yield served
    served.close()


def asking(service: Service, base: str = "http://localhost") -> Ask:
    """Asks a service, without a socket between."""

    def ask(method: str, path: str, **more: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url=base) as client:
                return await client.request(method, path, **more)

        return asyncio.run(once())

    return ask


@pytest.fixture
def ask(service: Service) -> Ask:
    return asking(service)


@pytest.fixture
def ask_alone(alone: Service) -> Ask:
    return asking(alone)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them, without a digit lost."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def found(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    return response.json()["samples"]


def refused(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.json().keys() == {"error"}
    return response.json()["error"]


# ------------------------------------------------------------------------------------------------------------- scores


def test_rows_of_json_csv_and_parquet_score_as_in_python(ask: Ask, rows: TabularMemAE, tmp_path: Path) -> None:
    frame = table(200, seed=1)
    expected = rows.anomaly_score(frame)
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    by_json = ask("POST", "/score?model=rows", json={"rows": records(frame)})
    by_list = ask("POST", "/score?model=rows", json={"rows": [list(row.values()) for row in records(frame)]})
    by_csv = ask("POST", "/score?model=rows", content=frame.to_csv(index=False), headers={"content-type": "text/csv"})
    by_form = ask("POST", "/score?model=rows", files={"files": ("t.parquet", path.read_bytes())})
    for response in (by_json, by_list, by_csv, by_form):
        samples = found(response)
        assert [sample["row"] for sample in samples] == list(range(200))
        np.testing.assert_array_equal([sample["score"] for sample in samples], expected)
        np.testing.assert_array_equal([sample["p_value"] for sample in samples], rows.p_value(frame))
        np.testing.assert_array_equal([sample["is_anomaly"] for sample in samples], rows.predict(frame) < 0)
    assert by_json.json()["threshold"] == rows.threshold_
    assert by_json.json()["false_alarm_rate"] == rows.calibration_.false_alarm_rate


def test_columns_can_be_left_out(ask_alone: Ask, rows: TabularMemAE) -> None:
    frame = table(5, seed=2)
    more = frame.assign(label=1)
    csv = {"files": ("t.csv", more.to_csv(index=False))}
    assert ask_alone("POST", "/score", files=csv).json()["left_out"] == ["label"]
    by_csv = ask_alone("POST", "/score?ignore=label", files=csv)
    by_json = ask_alone(
        "POST", "/score?ignore=label", json={"rows": records(more[["label", "shop", "weight", "size"]])}
    )
    for response in (by_csv, by_json):
        assert "left_out" not in response.json()
        np.testing.assert_array_equal([each["score"] for each in found(response)], rows.anomaly_score(frame))


def test_a_category_is_the_same_in_any_company(ask_alone: Ask) -> None:
    """1 beside a missing value would become 1.0 in a column of numbers."""
    (alone,) = found(ask_alone("POST", "/score", json={"rows": [[10, 30, 1]]}))
    both = found(ask_alone("POST", "/score", json={"rows": [[10, 30, 1], [10, 30, None]]}))
    assert both[0]["score"] == alone["score"]


def test_pictures_score_as_in_python(ask: Ask, images: ImageMemAE, tmp_path: Path) -> None:
    made = bars(150, seed=3)
    files = [("files", (f"a/{number}.png", png(image))) for number, image in enumerate(made)]
    samples = found(ask("POST", "/score?model=images", files=files))
    assert [sample["file"] for sample in samples] == [f"a/{number}.png" for number in range(150)]
    np.testing.assert_array_equal([sample["score"] for sample in samples], images.anomaly_score(made))
    (one,) = found(ask("POST", "/score?model=images", content=png(made[4]), headers={"content-type": "image/png"}))
    assert one["score"] == samples[4]["score"]


def test_frames_of_a_video_score_as_in_python(ask: Ask, watcher: VideoMemAE, squares: Any, tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(encoded(squares(60, odd=(20, 40)), "mp4"))
    response = ask("POST", "/score?model=film", files={"files": ("v.mp4", path.read_bytes())})
    samples = found(response)
    assert [sample["frame"] for sample in samples] == list(range(60))
    np.testing.assert_allclose([sample["time"] for sample in samples], np.arange(60) / 25, atol=1e-3)
    np.testing.assert_array_equal([sample["score"] for sample in samples], watcher.anomaly_score(path))


# ------------------------------------------------------------------------------------------------------------ reasons


def test_reasons_of_rows(ask: Ask, rows: TabularMemAE) -> None:
    frame = table(40, seed=4)
    frame.loc[7, "weight"] = 90.0
    asked = {"files": ("t.csv", frame.to_csv(index=False))}
    samples = found(ask("POST", "/explain?model=rows&sample=31&sample=7&items=2", files=asked))
    assert [sample["row"] for sample in samples] == [7, 31]
    for sample, expected in zip(samples, rows.explain(frame, items=2, only=[7, 31]), strict=True):
        told = expected.as_json()
        assert {
            name: sample[name] for name in ("score", "p_value", "is_anomaly", "threshold", "contributions", "items")
        } == {name: told[name] for name in ("score", "p_value", "is_anomaly", "threshold", "contributions", "items")}
        assert len(sample["items"]) <= 2
        assert "name" not in sample  # that would be a path of the service's
    assert samples[0]["is_anomaly"]
    assert {each["column"] for each in samples[0]["contributions"][:2]} <= {"weight", "size"}
    by_json = found(ask("POST", "/explain?model=rows&sample=7", json={"rows": records(frame)}))
    assert by_json[0]["score"] == samples[0]["score"]


def test_reasons_of_pictures(ask: Ask, images: ImageMemAE) -> None:
    odd = bars(3, seed=5)
    odd[1, :, 10:] = 255
    files = [("files", (f"{number}.png", png(image))) for number, image in enumerate(odd)]
    samples = found(ask("POST", "/explain?model=images", files=files))
    assert [sample["file"] for sample in samples] == ["0.png", "1.png", "2.png"]
    np.testing.assert_array_equal([sample["score"] for sample in samples], images.anomaly_score(odd))
    for name in ("sample", "reconstruction", "error_map"):
        assert samples[1][name].startswith("data:image/png;base64,")
    (one,) = found(ask("POST", "/explain?model=images&sample=1", files=files))
    assert one["file"] == "1.png"


def test_reasons_of_frames(ask: Ask, watcher: VideoMemAE, squares: Any, tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(encoded(squares(60, odd=(20, 40)), "mp4"))
    scores = watcher.anomaly_score(path)
    asked = {"files": ("v.mp4", path.read_bytes())}
    (peak,) = found(ask("POST", "/explain?model=film", files=asked))
    assert peak["frame"] == int(scores.argmax())
    some = found(ask("POST", "/explain?model=film&sample=50&sample=3", files=asked))
    assert [sample["frame"] for sample in some] == [3, 50]
    for sample in (peak, *some):
        assert sample["score"] == scores[sample["frame"]]
        assert sample["time"] == pytest.approx(sample["frame"] / 25, abs=1e-3)
        assert sample["error_map"].startswith("data:image/png;base64,")
    assert "0 to 59" in refused(ask("POST", "/explain?model=film&sample=60", files=asked), 422)


@pytest.mark.parametrize("way", ["header", "pixels"])
def test_of_several_pictures_those_that_can_be_read_are_answered(ask: Ask, way: str) -> None:
    pictures = [png(each) for each in bars(4)]
    whole = found(
        ask("POST", "/score?model=images", files=[("files", (f"{n}.png", each)) for n, each in enumerate(pictures)])
    )
    pictures[1] = b"no picture" if way == "header" else pictures[1][:-30]
    sent = [("files", (f"{number}.png", each)) for number, each in enumerate(pictures)]
    scored = ask("POST", "/score?model=images", files=sent).json()
    assert scored["samples"] == [whole[0], *whole[2:]]
    (lost,) = scored["unread"]
    assert (lost["sample"], lost["file"]) == (1, "1.png")
    assert lost["reason"].startswith("1.png is")
    explained = ask("POST", "/explain?model=images&sample=1&sample=3", files=sent).json()
    assert [sample["file"] for sample in explained["samples"]] == ["3.png"]
    assert explained["samples"][0]["score"] == whole[3]["score"]
    assert [each["file"] for each in explained["unread"]] == ["1.png"]
    assert refused(ask("POST", "/explain?model=images&sample=1", files=sent), 422).startswith("1.png is")
    assert refused(ask("POST", "/score?model=images", files=sent[1:2]), 422).startswith("1.png is")


def test_the_example_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs" / "service.md").read_text()
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1])  # noqa: S102 (our own docs)
    served = Service({"tumours": TabularMemAE().fit(pd.read_csv("benign.csv"))})
    body = re.search(r"-d \\\n +'(.*)'\n", page)[1]
    told = asking(served)("POST", "/score", content=body, headers=JSON).json()
    shown = json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])
    assert (told["model"], told["false_alarm_rate"]) == (shown["model"], shown["false_alarm_rate"])
    assert told["threshold"] == pytest.approx(shown["threshold"], rel=0.02)  # training rounds as the processor does
    for sample, expected in zip(told["samples"], shown["samples"], strict=True):
        assert sample == pytest.approx(expected, rel=0.05)
    served.close()


# ---------------------------------------------------------------------------------------------------------- questions


def test_models_health_and_the_document(ask: Ask, rows: TabularMemAE) -> None:
    models = ask("GET", "/models").json()["models"]
    assert [(model["name"], model["kind"]) for model in models] == [
        ("rows", "table"),
        ("images", "image"),
        ("film", "video"),
    ]
    assert models[0]["columns"][2] == {"name": "shop", "kind": "category"}
    assert (models[1]["height"], models[1]["width"], models[2]["least_frames"]) == (16, 16, 4)
    assert models[0]["data_sha256"] == rows.checksum_
    assert ask("GET", "/health").json() == {"status": "ok"}
    document = ask("GET", "/openapi.json").json()
    assert set(document["paths"]) == {"/score", "/explain", "/models", "/health", "/metrics"}
    body = document["paths"]["/score"]["post"]["requestBody"]["content"]
    assert set(body) >= {"application/json", "multipart/form-data", "text/csv", "image/png", "video/mp4"}
    example = body["application/json"]["examples"]["one row"]["value"]
    assert len(found(ask("POST", "/score?model=rows", json=example))) == 1  # the example works
    assert set(document["paths"]["/score"]["post"]["responses"]) >= {"200", "401", "413", "415", "422", "429", "503"}


def test_metrics_count(rows: TabularMemAE) -> None:
    served = Service({"rows": rows})
    ask = asking(served)
    for _ in range(3):
        found(ask("POST", "/score", json={"rows": [[1, 2, "a"], [3, 4, "b"]]}))
    refused(ask("POST", "/score", json={"rows": 1}), 422)
    ask("GET", "/a/path/that/is/none")
    told, version = ask("GET", "/metrics").text, rows.versions_["memae"]
    for line in (
        'memae_requests_total{path="/score",status="200"} 3.0',
        'memae_requests_total{path="/score",status="422"} 1.0',
        'memae_requests_total{path="other",status="404"} 1.0',
        'memae_request_seconds_count{path="/score"} 4.0',
        'memae_samples_scored_total{model="rows"} 6.0',
        'memae_batch_samples_bucket{le="2.0",model="rows"} 3.0',
        'memae_queue_requests{model="rows"} 0.0',
        "memae_requests_inside 0.0",
        f'memae_model{{data_sha256="{rows.checksum_}",kind="table",model="rows",version="{version}"}} 1.0',
    ):
        assert line in told
    served.close()


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"rows": []}, "at least one row"),
        ({"rows": [{"size": 1, "weight": 2}]}, "row 0: column 'shop' missing"),
        ({"rows": [[1, 2, "a"], {"size": 1, "weight": 2, "x": 3}]}, "row 1: column 'shop' missing"),
        ({"rows": [[1, 2, "a"], [1, "heavy", "a"]]}, "'weight' holds numbers, but row 1 has 'heavy'"),
        ({"rows": [[1, 2]]}, "row 0 has 2 values"),
        ({"rows": [[10**400, 2, "a"]]}, "'size' has a number that is too large"),
        ({"rows": [[float("inf"), 2, "a"]]}, "Infinity is not a number in JSON"),
        ({"rows": [[1, 2, ["a"]]]}, "row 0, column 'shop': a value must be"),
        ({"rows": ["text"]}, "row 0 is neither"),
        ([1, 2], "must be an object with one list"),
    ],
)
def test_rows_that_cannot_be_used(ask_alone: Ask, body: Any, told: str) -> None:
    for route in ("/score", "/explain"):
        assert told in refused(ask_alone("POST", route, content=json.dumps(body), headers=JSON), 422)


@pytest.mark.parametrize("route", ["/score", "/explain"])
def test_columns_that_the_model_does_not_know_are_left_out_and_told_of(ask_alone: Ask, route: str) -> None:
    known = {"size": 1, "weight": 2, "shop": "a"}
    alone = ask_alone("POST", route, json={"rows": [known, known]}).json()
    more = ask_alone("POST", route, json={"rows": [known, known | {"x": 3}]}).json()
    assert "left_out" not in alone
    assert more == alone | {"left_out": ["x"]}
    csv = {"files": ("a.csv", b"x,shop,weight,size\n3,a,2,1\n3,a,2,1\n")}
    assert ask_alone("POST", route, files=csv).json() == more


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 10_000, b'{"rows": [' + b"9" * 5000 + b"]}"])
def test_bytes_that_are_no_json(ask_alone: Ask, body: bytes) -> None:
    assert "not JSON" in refused(ask_alone("POST", "/score", content=body, headers=JSON), 422)


def test_files_that_cannot_be_used(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def told(model: str, *files: tuple[str, bytes], status: int = 422) -> str:
        sent = [("files", file) for file in files]
        return refused(ask("POST", f"/score?model={model}", files=sent), status)

    picture, csv = png(bars(1)[0]), b"size,weight,shop\n1,2,a\n"
    assert told("images", ("bad one.png", picture[:60])).startswith("bad one.png is damaged")
    both = told("images", ("bad one.png", picture[:60]), ("bad two.png", b"x"))
    assert both.startswith("bad one.png is damaged")
    assert told("images", ("../../etc/passwd.png", b"root:x")).startswith("../../etc/passwd.png is not a PNG")
    assert told("images", ("notes.txt", b"x")).startswith("notes.txt is not of a kind that the model 'images' takes")
    assert "holds numbers, but row 0 has 'x'" in told("rows", ("t.csv", b"size,weight,shop\nx,2,a\n"))
    assert "2 tables are given" in told("rows", ("a.csv", csv), ("b.csv", csv))
    assert told("rows", ("t.parquet", b"PAR1 and so on")).startswith("t.parquet cannot be read")
    assert told("film", ("v.mp4", b"\x00" * 500)).startswith("v.mp4 is damaged")
    assert told("film", ("v.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n")).startswith("v.mp4 is damaged")
    assert "v.avi has 3 frames, the model needs 4" in told(
        "film", ("v.avi", encoded(np.zeros((3, 32, 48), np.uint8), "avi"))
    )
    assert "(c, h, w) = (1, 32, 48), v.mp4 has" in told(
        "film", ("v.mp4", encoded(np.zeros((9, 16, 16), np.uint8), "mp4"))
    )
    assert "rows are for table models" in refused(ask("POST", "/score?model=images", json={"rows": [[1]]}), 422)
    assert not list(tmp_path.iterdir())  # nothing is left


@pytest.mark.filterwarnings("ignore::memae.errors.MemaeNotice")
def test_a_request_says_how_its_table_is_written(ask: Ask, rows: TabularMemAE) -> None:
    frame = table(40, seed=9)
    file = frame.to_csv(index=False, sep="|", decimal=",").encode("utf-16")
    asked = "/score?model=rows&separator=|&decimal=,&encoding=utf-16&thousands=none"
    given = ask("POST", asked, files={"files": ("t.csv", file)})
    assert given.status_code == 200, given.text
    scores = [each["score"] for each in given.json()["samples"]]
    np.testing.assert_allclose(scores, rows.anomaly_score(frame), rtol=1e-6)
    explained = ask("POST", asked.replace("/score", "/explain") + "&sample=0", files={"files": ("t.csv", file)})
    assert explained.status_code == 200, explained.text
    wrong = ask("POST", "/score?model=rows&separator=ab", files={"files": ("t.csv", file)})
    assert "separator must be one character" in refused(wrong, 422)
    plain = ask("POST", "/score?model=rows&decimal=,", json={"rows": records(frame)})
    assert "say how a file is written, and rows of JSON are given" in refused(plain, 422)
    pictured = ask("POST", "/score?model=images&decimal=,", files={"files": ("a.png", png(bars(1)[0]))})
    assert "are for table models" in refused(pictured, 422)


def test_strict_refuses_columns_that_are_otherwise_left_out(ask: Ask) -> None:
    frame = table(5, seed=9)
    swapped, more = frame[frame.columns[::-1]], frame.assign(extra=1)
    for sent, said in ((swapped, "another order"), (more, "'extra' not known")):
        file = {"files": ("t.csv", sent.to_csv(index=False).encode())}
        assert ask("POST", "/score?model=rows", files=file).status_code == 200
        assert said in refused(ask("POST", "/score?model=rows&strict=true", files=file), 422)
    body = {"rows": records(more)}
    assert ask("POST", "/score?model=rows", json=body).json()["left_out"] == ["extra"]
    assert "'extra' not known" in refused(ask("POST", "/score?model=rows&strict=true", json=body), 422)


def test_requests_that_cannot_be_understood(ask: Ask, ask_alone: Ask) -> None:
    assert "choose one of rows, images, film" in refused(ask("POST", "/score", json={"rows": [[1]]}), 422)
    assert "no model 'x'" in refused(ask("POST", "/score?model=x", json={"rows": [[1]]}), 404)
    assert "text/html is not supported" in refused(
        ask_alone("POST", "/score", content=b"", headers={"content-type": "text/html"}), 415
    )
    assert "(none) is not supported" in refused(ask_alone("POST", "/score", content=b"x"), 415)
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        assert "form cannot be read" in refused(
            ask_alone("POST", "/score", content=b"zz", headers={"content-type": kind}), 422
        )
    assert "items" in refused(ask_alone("POST", "/explain?items=-1", json={"rows": [[1]]}), 422)
    told = refused(ask_alone("POST", "/score?modle=rows", json={"rows": [[1, 2, "a"]]}), 422)
    assert told.startswith(
        "'modle' is no parameter of /score; it takes model, group, shared, ignore, strict, separator"
    )
    told = refused(ask_alone("POST", "/score", content=b'{"rows": [[NaN, 2, "a"]]}', headers=JSON), 422)
    assert told == "the body is not JSON: NaN is not a number in JSON; use null for a missing value"
    assert "sample=9" in refused(ask_alone("POST", "/explain?sample=9", json={"rows": [[1, 2, "a"]]}), 422)
    told = refused(ask_alone("GET", "/nowhere"), 404)
    assert told == "GET /nowhere is not known; POST to /score or /explain, see /openapi.json"
    response = ask_alone("DELETE", "/score")
    assert "DELETE /score is not known" in refused(response, 405)
    assert response.headers["allow"] == "POST"


# -------------------------------------------------------------------------------------------------------------- limits


def test_what_is_too_large(ask_alone: Ask, service: Service, images: ImageMemAE) -> None:
    wide = json.dumps({"rows": [[1, 2, "a" * 200_000]]})
    assert "larger than 0.1 MB" in refused(ask_alone("POST", "/score", content=wide, headers=JSON), 413)

    rows = {"rows": [[1, 2, "a" * 100]] * 200}
    assert "more than 0.0125 MB of JSON" in refused(ask_alone("POST", "/score", json=rows), 413)

    async def unannounced() -> Any:
        for _ in range(300):
            yield b" " * 1000

    assert "larger than 0.1 MB" in refused(ask_alone("POST", "/score", content=unannounced(), headers=JSON), 413)
    assert "more than 500 samples" in refused(ask_alone("POST", "/score", json={"rows": [[1, 2, "a"]] * 501}), 413)
    long = "size,weight,shop\n" + "1,2,a\n" * 501
    assert "more than 500 samples" in refused(ask_alone("POST", "/score", files={"files": ("t.csv", long)}), 413)
    file = io.BytesIO()
    pd.DataFrame({"size": np.zeros(10**6), "weight": 0.0, "shop": "a"}).to_parquet(file)
    assert len(file.getvalue()) < 1e5
    assert "more than 500 samples" in refused(
        ask_alone("POST", "/score", files={"files": ("t.parquet", file.getvalue())}), 413
    )
    assert "5 at most" in refused(ask_alone("POST", "/explain", json={"rows": [[1, 2, "a"]] * 6}), 422)
    many = [("files", (f"{number}.csv", b"")) for number in range(4)]
    assert "Too many files" in refused(ask_alone("POST", "/score", files=many), 422)


def test_what_would_unpack_to_too_much(images: ImageMemAE, watcher: VideoMemAE) -> None:
    served = Service({"images": images, "film": watcher}, limits=Limits(pixels=4000, samples=30))
    ask = asking(served)
    bomb = png(np.zeros((100, 100), np.uint8))
    assert "b.png has 10,000 pixels, 4,000 at most" in refused(
        ask("POST", "/score?model=images", files={"files": ("b.png", bomb)}), 413
    )
    large = encoded(np.zeros((10, 64, 64), np.uint8), "mp4")
    assert "v.mp4 has frames of 4,096 pixels" in refused(
        ask("POST", "/score?model=film", files={"files": ("v.mp4", large)}), 413
    )
    long = encoded(np.zeros((120, 32, 48), np.uint8), "mp4")
    assert "more than 30 samples" in refused(ask("POST", "/score?model=film", files={"files": ("v.mp4", long)}), 413)
    served.close()


def test_too_many_at_once_and_too_slow(rows: TabularMemAE) -> None:
    served = Service({"rows": rows}, limits=Limits(requests=2, seconds=0.5))
    busy = threading.Event()
    blocked = served.models["rows"].worker.call(busy.wait)

    async def crowd() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://localhost") as client:
            body = {"rows": [[1, 2, "a"]]}
            return await asyncio.gather(*(client.post("/score", json=body) for _ in range(4)))

    responses = asyncio.run(crowd())
    assert sorted(response.status_code for response in responses) == [429, 429, 503, 503]
    for response in responses:
        assert int(response.headers["retry-after"]) >= 1
        assert ("not done within 0.5 s" if response.status_code == 503 else "2 requests") in response.json()["error"]
    busy.set()
    blocked.result()
    assert len(found(asking(served)("POST", "/score", json={"rows": [[1, 2, "a"]]}))) == 1  # it has recovered
    served.close()


def test_a_body_that_does_not_come(rows: TabularMemAE) -> None:
    served = Service({"rows": rows}, limits=Limits(seconds=0.3))

    async def slow() -> Any:
        yield b'{"rows":'
        await asyncio.sleep(5)

    assert "did not arrive within 0.3 s" in refused(asking(served)("POST", "/score", content=slow(), headers=JSON), 408)
    served.close()


def test_a_service_that_stops(rows: TabularMemAE) -> None:
    served = Service({"rows": rows})
    served.gate.closed = True
    ask = asking(served)
    assert "stopping" in refused(ask("POST", "/score", json={"rows": [[1, 2, "a"]]}), 503)
    assert (ask("GET", "/health").status_code, ask("GET", "/health").json()) == (503, {"status": "stopping"})
    served.close()


@pytest.mark.parametrize("name", ["megabytes", "samples", "seconds", "requests", "together"])
def test_limits_that_cannot_work(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        Limits(**{name: 0})


# -------------------------------------------------------------------------------------------------------------- access


def test_a_token(rows: TabularMemAE) -> None:
    served = Service({"rows": rows}, token=TOKEN)
    ask = asking(served, "http://example.org")
    body = {"rows": [[1, 2, "a"]]}
    for headers in (
        {},
        {"authorization": "Bearer no"},
        {"authorization": TOKEN},
        {"authorization": "Bearer \xff".encode("latin-1")},
    ):
        response = ask("POST", "/score", json=body, headers=headers)
        assert "token is missing or wrong" in refused(response, 401)
        assert response.headers["www-authenticate"] == "Bearer"
    for path in ("/models", "/metrics", "/openapi.json", "/nowhere"):
        refused(ask("GET", path), 401)
    for path in ("/", "/health", "/page/app.js"):  # they say nothing of models
        assert ask("GET", path).status_code == 200
    right = {"authorization": f"Bearer {TOKEN}"}
    assert len(found(ask("POST", "/score", json=body, headers=right))) == 1
    assert ask("GET", "/openapi.json", headers=right).json()["security"] == [{"token": []}]
    served.close()
    with pytest.raises(OptionError, match="16 characters"):
        Service({"rows": rows}, token="short")  # noqa: S106


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("evil.example", 403), ("", 403)],
)
def test_without_a_token_only_this_machine_is_answered(ask: Ask, host: str, status: int) -> None:
    """Or a page with a name that is turned to 127.0.0.1 could read what it likes."""
    assert ask("GET", "/models", headers={"host": host}).status_code == status


def test_every_answer_is_guarded(ask: Ask) -> None:
    for path in ("/", "/page/app.js", "/models", "/nowhere"):
        headers = ask("GET", path).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
    for path in ("/page/../app.py", "/page/%2e%2e/app.py", "/page/__init__.py", "/page/", "/page/..%2f..%2fetc/passwd"):
        assert ask("GET", path).status_code == 404


def test_addresses_that_need_a_token() -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::", "some.host"):  # noqa: S104 (refused)
        with pytest.raises(OptionError, match="--token-file"):
            bound(host, 0, None)
    with bound("127.0.0.1", 0, None) as first, pytest.raises(OptionError, match="choose another --port"):
        bound("127.0.0.1", first.getsockname()[1], None)


# ------------------------------------------------------------------------------------------------------------- batches


def test_requests_are_scored_together_and_score_as_alone(rows: TabularMemAE) -> None:
    served = Service({"rows": rows})
    frame = table(90, seed=6)
    bodies = [
        records(frame.iloc[start : start + size]) for start, size in zip(range(0, 90, 3), [1, 2, 3] * 10, strict=True)
    ]
    bodies[11] = [{"size": 1, "weight": "heavy", "shop": "a"}]  # one that spoils the batch
    busy = threading.Event()
    blocked = served.models["rows"].worker.call(busy.wait)

    async def crowd() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://localhost") as client:
            asked = [asyncio.create_task(client.post("/score", json={"rows": body})) for body in bodies]
            while len(served.models["rows"].worker) < 30:
                await asyncio.sleep(0.01)
            busy.set()
            return await asyncio.gather(*asked)

    responses = asyncio.run(crowd())
    blocked.result()
    for number, (body, response) in enumerate(zip(bodies, responses, strict=True)):
        if number == 11:
            assert "row 0 has 'heavy'" in refused(response, 422)
            continue
        expected = rows.anomaly_score(frame.iloc[3 * number : 3 * number + len(body)])
        np.testing.assert_array_equal([sample["score"] for sample in found(response)], expected)
    told = asking(served)("GET", "/metrics").text
    assert 'memae_batch_samples_bucket{le="32.0",model="rows"} ' in told
    (most,) = [line for line in told.splitlines() if line.startswith('memae_batch_samples_sum{model="rows"}')]
    assert float(most.split()[-1]) > 60  # the whole batch, and its parts
    served.close()


def test_a_worker_fills_batches_in_order_and_parts_nothing() -> None:
    batches: list[list[int]] = []
    started, go = threading.Event(), threading.Event()

    def score(pieces: list[list[int]]) -> list[int]:
        batches.append([len(piece) for piece in pieces])
        if any(0 in piece for piece in pieces):
            raise ValueError("zero")
        return [sum(piece) for piece in pieces]

    sizes: list[float] = []
    worker: Worker[list[int], int] = Worker("test", score, 10, sizes.append)
    first = worker.call(lambda: (started.set(), go.wait()))
    started.wait()
    answers = [worker.score([1] * size, size) for size in (4, 5, 2, 20, 3)]
    task = worker.call(lambda: "alone")
    last, spoilt = worker.score([7], 1), worker.score([0], 1)
    dropped = worker.score([1], 1)
    assert dropped.cancel()
    assert len(worker) == 9
    go.set()
    first.result()
    assert [answer.result() for answer in answers] == [4, 5, 2, 20, 3]
    assert task.result() == "alone"
    assert last.result() == 7
    with pytest.raises(ValueError, match="zero"):
        spoilt.result()
    worker.close()
    assert batches == [[4, 5], [2], [20], [3], [1, 1], [1], [1]]
    assert sizes == [9, 2, 20, 3, 2, 1, 1]


# ------------------------------------------------------------------------------------------------------------- process


def test_options_that_cannot_work(run: Any, rows: TabularMemAE, tmp_path: Path) -> None:
    model, token = tmp_path / "m.memae", tmp_path / "token"
    rows.save(model)
    token.write_text("short")
    (tmp_path / "other").mkdir()
    rows.save(tmp_path / "other" / "m.memae")
    for told, *options in (
        ("0.0.0.0 can be reached from other machines; give --token-file", model, "--host", "0.0.0.0"),  # noqa: S104
        ("16 characters or more; got 5", model, "--host", "0.0.0.0", "--port", 0, "--token-file", token),  # noqa: S104
        ("cannot read the token file", model, "--token-file", tmp_path / "none"),
        ("two models are called 'm'", model, tmp_path / "other" / "m.memae", "--port", 0),
        ("is not a file", tmp_path / "none.memae", "--port", 0),
        ("seconds of the service must be", model, "--max-seconds", 0),
    ):
        ran = run("serve", *options)
        assert ran.code == 1
        assert told in ran.err
        assert len(ran.err.splitlines()) == 1


SENT = 2000
"""Bytes of a body that come before the service is told to stop."""


def started(address: str, body: bytes) -> socket.socket:
    """A request of which a part has been sent."""
    connection = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))
    headers = {"host": "localhost", "content-length": len(body), "authorization": f"Bearer {TOKEN}", **JSON}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection.sendall(f"POST /score HTTP/1.1\r\n{head}\r\n".encode() + body[:SENT])
    return connection


def test_the_end_leaves_nobody_without_an_answer(rows: TabularMemAE, tmp_path: Path) -> None:
    rows.save(tmp_path / "m.memae")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    command = [Path(sys.executable).with_name("memae"), "serve", "m.memae", "--port", "0", "--token-file", "token"]
    right = {"authorization": f"Bearer {TOKEN}"}
    body = json.dumps({"rows": [[1, 2, "a"]] * 1000}).encode()
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split(" at ")[1].split()[0]
        with httpx.Client(base_url=address, headers=right) as client, started(address, body) as early:
            while "memae_requests_inside 1.0" not in client.get("/metrics").text:
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            while client.get("/health").status_code == 200:
                time.sleep(0.02)
            late = client.post("/score", content=body, headers=JSON)
            assert "stopping" in refused(late, 503)
            assert late.headers["retry-after"]
            assert process.poll() is None
            early.sendall(body[SENT:])
            answer = b""
            while part := early.recv(65536):
                answer += part
        status, _, told = answer.partition(b"\r\n")
        assert status == b"HTTP/1.1 200 OK"
        assert len(json.loads(told.partition(b"\r\n\r\n")[2])["samples"]) == 1000
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_second_signal_ends_at_once(rows: TabularMemAE) -> None:
    service = Service({"rows": rows})
    server = Server(service, Limits())
    busy = threading.Event()
    service.models["rows"].worker.call(busy.wait)
    listening = bound("127.0.0.1", 0, None)
    thread = threading.Thread(target=server.serve_on, args=(listening,))
    with started(f"http://127.0.0.1:{listening.getsockname()[1]}", b" " * 2 * SENT):
        thread.start()
        while not service.gate.inside:
            time.sleep(0.01)
        assert gc.get_freeze_count() > 10_000  # what is there from the start is not looked through again and again
        server.handle_exit(signal.SIGTERM, None)
        thread.join(0.5)
        assert thread.is_alive()  # somebody is still inside
        server.handle_exit(signal.SIGINT, None)
        thread.join(10)
        assert not thread.is_alive()
    assert server.caught == signal.SIGINT
    assert gc.get_freeze_count() == 0
    busy.set()
    service.close()


# ------------------------------------------------------------------------------------------------------- hostile input


for kind in TYPES:  # bytes of any kind are sent as they are
    schemathesis.serializer.alias(kind, "application/octet-stream")


@pytest.mark.parametrize(
    ("path", "mode"), [*product(["/score", "/explain"], GenerationMode), ("/models", GenerationMode.POSITIVE)]
)
def test_nothing_that_the_document_allows_or_forbids_is_an_internal_error(alone: Service, path: str, mode: Any) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", alone, headers={"host": "localhost"})
    (operation,) = (each.ok() for each in schema.get_all_operations() if each.ok().path == path)
    statuses: set[int] = set()

    @settings(max_examples=100 if operation.method == "post" else 3, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        response = case.call(headers={"host": "localhost"})
        statuses.add(response.status_code)
        case.validate_response(
            response, checks=[not_a_server_error, status_code_conformance, response_schema_conformance]
        )

    check()
    assert (200 if mode is GenerationMode.POSITIVE else 422) in statuses
