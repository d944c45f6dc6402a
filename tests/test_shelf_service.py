"""A shelf behind the service: rows name their group, few models are in memory, and other groups have reasons."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from tests.test_shelves import COLUMNS, devices, rows

import memae
from memae.data.table_files import table_chunks
from memae.estimators import TabularMemAE
from memae.parallel import Fitting
from memae.parallel.many import fitted, shelve
from memae.service.app import Service
from memae.service.limits import Limits
from memae.shelves.fitting import Recipe
from memae.shelves.partition import Partition
from memae.shelves.spool import Spool

KEYS = [f"d{number}" for number in range(5)]
Asked = tuple[int, Any]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shelf") / "models.parquet"
    fit = Fitting("device")
    fit.save(fit(devices({key: rows(number) for number, key in enumerate(KEYS)} | {"one": rows(9, 1)})), path)
    return path


@pytest.fixture
def service(path: Path) -> Iterator[Service]:
    with_room_for_two = memae.shelf(path, megabytes=0.3)
    service = Service({"many": with_room_for_two}, limits=Limits(samples=500))
    yield service
    service.close()


def post(service: Service, address: str, **given: Any) -> Asked:
    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://localhost") as client:
            return await (client.post(address, **given) if given else client.get(address))

    answer = asyncio.run(once())
    return answer.status_code, answer.json()


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


NEW = devices({key: rows(50 + number, 6) for number, key in enumerate(KEYS)})


def check(samples: list[dict[str, Any]], new: pd.DataFrame, path: Path) -> None:
    models = memae.shelf(path)
    assert [sample["row"] for sample in samples] == list(range(len(new)))
    assert [sample["device"] for sample in samples] == new["device"].tolist()
    for sample, (_, row) in zip(samples, new.iterrows(), strict=True):
        model = models[row["device"]]
        np.testing.assert_allclose(
            sample["score"], model.anomaly_score(row[COLUMNS].to_frame().T.astype(float))[0], rtol=1e-12
        )
        assert sample["threshold"] == model.threshold_
        assert sample["is_anomaly"] == (sample["score"] > model.threshold_)


def test_rows_of_json_name_their_group(service, path):
    status, answer = post(service, "/score", json={"rows": records(NEW)})
    assert status == 200
    check(answer["samples"], NEW, path)
    assert answer["threshold"] is None
    assert answer["false_alarm_rate"] == 0.05


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files_name_it_in_the_same_column(service, path, tmp_path, ending):
    file = tmp_path / f"new.{ending}"
    NEW.to_csv(file, index=False) if ending == "csv" else NEW.to_parquet(file)
    status, answer = post(service, "/score", files={"files": (file.name, file.read_bytes())})
    assert status == 200
    check(answer["samples"], NEW, path)


def test_the_request_may_name_the_group_of_all_rows(service, path):
    new = NEW[NEW["device"] == "d3"].reset_index(drop=True)
    bare = new[COLUMNS]
    for body in (
        {"rows": records(bare)},
        {"rows": bare.to_numpy().tolist()},
        {"rows": records(new.assign(device="d1"))},
    ):
        status, answer = post(service, "/score?group=d3", json=body)
        assert status == 200, answer
        check(answer["samples"], new, path)
    status, answer = post(service, "/score?group=d3", files={"files": ("a.csv", bare.to_csv(index=False).encode())})
    assert status == 200, answer
    check(answer["samples"], new, path)


def test_other_groups_have_a_reason_and_no_score(service, path):
    new = NEW.copy()
    new.loc[2, "device"], new.loc[4, "device"] = "unknown", "one"
    body = records(new)
    body[7]["device"] = None
    status, answer = post(service, "/score", json={"rows": body})
    assert status == 200
    lost = {sample["row"]: sample["reason"] for sample in answer["samples"] if sample["score"] is None}
    assert sorted(lost) == [2, 4, 7]
    assert lost[2].startswith("'unknown' is not on the shelf; its neighbours there are 'd4'")
    assert lost[4].startswith("'one' has no model: 1 row given")
    assert [sample["row"] for sample in answer["samples"]] == list(range(len(new)))


@pytest.mark.parametrize(
    ("address", "row", "status", "message"),
    [
        ("/score", {"device": "unknown"}, 404, "no row has a model: 'unknown' is not on the shelf"),
        ("/score", {"device": ["d1"]}, 422, "row 0: a group is told by text or numbers, not by ['d1']"),
        ("/score", {}, 422, "row 0 has no 'device', which tells its group; give it, or ?group=KEY for all"),
        ("/score?group=d1&group=d2", {}, 422, "group= is given 2 times; it is one value for each of device"),
        ("/score?strict=true", {"device": "d1", "more": 1}, 422, "column 'more' not known to the model"),
        ("/score", {"device": "d1", "c1": "x"}, 422, "column 'c1' holds numbers"),
        ("/explain?sample=3", {"device": "d1"}, 422, "sample=3 is asked for; the samples are numbered 0 to 0"),
    ],
)
def test_refusals(service, address, row, status, message):
    given = dict.fromkeys(COLUMNS, 0.0) | row
    found, answer = post(service, address, json={"rows": [given]})
    assert found == status
    assert message in answer["error"]


def test_a_bad_row_is_named_by_its_number_in_the_request(service):
    body = records(NEW)
    del body[11]["c2"]
    status, answer = post(service, "/score", json={"rows": body})
    assert status == 422
    assert answer["error"] == "row 11: column 'c2' missing; the model was fitted with it"


def test_explanations_are_those_of_the_model_of_the_group(service, path):
    status, answer = post(service, "/explain?sample=4&sample=9&items=0", json={"rows": records(NEW)})
    assert status == 200
    assert [sample["row"] for sample in answer["samples"]] == [4, 9]
    for sample in answer["samples"]:
        row = NEW.iloc[[sample["row"]]]
        model = memae.shelf(path)[row["device"].item()]
        [evidence] = model.explain(row[COLUMNS])
        assert sample["device"] == row["device"].item()
        assert sample["contributions"][0]["column"] == evidence.contributions[0].column
        np.testing.assert_allclose(sample["score"], evidence.score, rtol=1e-9)


def test_what_the_service_says_of_a_shelf(service):
    status, answer = post(service, "/models")
    assert status == 200
    [model] = answer["models"]
    assert (model["name"], model["by"], model["groups"], model["kind"]) == ("many", ["device"], 5, "table")
    _, document = post(service, "/openapi.json")
    content = document["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]
    example = content["examples"]["one row"]["value"]["rows"][0]
    assert post(service, "/score", json={"rows": [example]})[0] == 200


def test_many_at_once_share_a_thread_and_get_their_own_answers(service, path):
    expected = {}
    for number, row in enumerate(records(NEW)):
        expected[number] = post(service, "/score", json={"rows": [row]})[1]["samples"][0]["score"]

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://localhost") as client:
            return await asyncio.gather(*(client.post("/score", json={"rows": [row]}) for row in records(NEW)))

    answers = asyncio.run(all_at_once())
    assert [answer.json()["samples"][0]["score"] for answer in answers] == pytest.approx(
        list(expected.values()), rel=1e-12
    )


def test_a_shelf_used_by_several_threads(path):
    shelf = memae.shelf(path, megabytes=0.3)
    models = {key: memae.shelf(path)[key] for key in KEYS}

    def ask(number: int) -> bool:
        key = KEYS[number % len(KEYS)]
        return shelf[key].checksum_ == models[key].checksum_

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(200)))


def test_the_shared_model_on_request(tmp_path):
    alike = {f"d{number}": rows(3).sample(frac=1, random_state=number) for number in range(6)} | {"small": rows(3, 5)}
    devices(alike).to_parquet(tmp_path / "all.parquet")
    path = _shelved(tmp_path)
    service = Service({"many": memae.shelf(path), "single": TabularMemAE().fit(rows(3))})
    try:
        row = dict.fromkeys(COLUMNS, 0.1)
        [small] = post(service, "/score?model=many", json={"rows": [row | {"device": "small"}]})[1]["samples"]
        assert small["shared"] is True
        assert post(service, "/score?model=many", json={"rows": [row | {"device": "x"}]})[0] == 404
        [other] = post(service, "/score?model=many&shared=true", json={"rows": [row | {"device": "x"}]})[1]["samples"]
        assert other["score"] == small["score"]
        status, answer = post(service, "/score?model=single&group=d1", json={"rows": [row]})
        assert status == 422
        assert "group= and shared= are for models by group" in answer["error"]
    finally:
        service.close()


def _shelved(folder: Path) -> Path:
    """A shelf with a shared model, as `memae fit table --by device --shared` writes it."""
    read = table_chunks(folder / "all.parquet")
    with Partition(read(), ["device"]) as partition, Spool(folder / "spool", "") as spool:
        list(fitted(partition, Recipe(shared=True), spool))
        shelve(partition, spool, folder / "m.parquet")
    return folder / "m.parquet"


def test_a_window_is_of_one_group(tmp_path):
    fit = Fitting("device", {"window": 4})
    whole = devices({"a": rows(1), "b": rows(2)})
    fit.save(fit(whole), tmp_path / "m.parquet")
    service = Service({"many": memae.shelf(tmp_path / "m.parquet")})
    try:
        status, answer = post(service, "/score", json={"rows": records(whole)})
        assert status == 200, json.dumps(answer)
        for key in "ab":
            rows_of = whole[whole["device"] == key][COLUMNS].reset_index(drop=True)
            expected = memae.shelf(tmp_path / "m.parquet")[key].anomaly_score(rows_of)
            found = [sample["score"] for sample in answer["samples"] if sample["device"] == key]
            np.testing.assert_allclose(found, expected, rtol=1e-12)
    finally:
        service.close()
