"""`memae watch` from the command line: events, files, films, streams, interruptions and refusals."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from threading import Event
from typing import Any

import av
import numpy as np
import pytest
import typer
from PIL import Image
from tests.serving import Camera, encoded, serving

from memae import TabularMemAE, VideoMemAE
from memae.cli import watch_output
from memae.cli.watch import ending
from memae.data import streams

Run = Callable[..., Any]  # the fixture of conftest.py: gives code, out, err
RNG = np.random.default_rng(0)
MEMAE = Path(sys.executable).with_name("memae")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, watcher: VideoMemAE) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.memae"
    watcher.save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, squares: Any) -> Path:
    """Frames with one odd stretch: 60 to 90."""
    path = tmp_path_factory.mktemp("frames")
    for number, frame in enumerate(squares(140, odd=(60, 90))):
        Image.fromarray(frame).save(path / f"{number}.png")
    return path


def events(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_folder_of_frames(run: Run, model: Path, folder: Path, watcher: VideoMemAE) -> None:
    ran = run("watch", model, folder, "--frames", "--release", 0.2)
    assert ran.code == 0
    found = events(ran.out)
    lines = [event for event in found if event["event"] == "frame"]
    assert [line["frame"] for line in lines] == list(range(140))
    np.testing.assert_allclose([line["score"] for line in lines], watcher.anomaly_score(folder), rtol=1e-5)
    np.testing.assert_allclose([line["p_value"] for line in lines], watcher.p_value(folder), atol=1e-6)
    assert all(0 <= line["normalised"] <= 1 and line["delay"] >= 0 for line in lines)
    inside = [line["frame"] for line in lines if line["alarm"] is not None]
    assert set(range(65, 88)) <= set(inside)
    assert found[0]["event"] == "opened"
    kinds = [event["event"] for event in found if event["event"] not in ("frame", "opened")]
    assert kinds == ["start", "end"] * (len(kinds) // 2)
    for begun in (event for event in found if event["event"] == "start"):
        assert begun["score"] == lines[begun["frame"]]["score"]  # not that of the frame at which it is told
    (alarm,) = [event for event in found if event["event"] == "end" and event["start"] < 3 < event["end"]]
    assert 58 / 25 <= alarm["start"] <= 62 / 25
    assert 87 / 25 <= alarm["end"] <= 93 / 25
    assert alarm["peak_score"] == max(line["score"] for line in lines)
    assert alarm["frames"] == round((alarm["end"] - alarm["start"]) * 25) + 1
    delay = watcher.delay
    assert (found[0]["delay_frames"], found[0]["delay_seconds"]) == (delay, round(delay / 25, 3))
    assert f"a frame's score comes {delay} frames = {delay / 25:.2f} s after it" in ran.err
    assert "140 frames watched" in ran.err
    assert "skipped" not in ran.err


def test_the_list_of_alarms_goes_on(run: Run, model: Path, folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "deep" / "alarms"
    first = events(run("watch", model, folder, "-o", place).out)
    ended = [event for event in first if event["event"] == "end"]
    assert ended
    assert events((place / "alarms.jsonl").read_text()) == first
    with (place / "alarms.jsonl").open("a") as file:
        file.write('{"event": "st')  # the power went off
    again = [event for event in events(run("watch", model, folder, "-o", place).out) if event["event"] == "end"]
    numbers = [event["alarm"] for event in [*ended, *again]]
    assert numbers == list(range(1, 2 * len(ended) + 1))
    assert len(events((place / "alarms.jsonl").read_text())) == 2 * len(first)
    with (place / "alarms.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["alarm"]) for row in rows] == numbers
    for row, event in zip(rows, [*ended, *again], strict=True):
        assert row == {name: str(event[name]) for name in row}
        with Image.open(place / row["thumbnail"]) as picture:
            assert picture.size == (96, 32)  # without and with the heat map
            left, right = (np.asarray(picture)[:, part] for part in (slice(0, 48), slice(48, 96)))
            assert (left == left[..., :1]).all()  # grey
            assert (right != left).any()


def test_the_film(run: Run, model: Path, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "seen.mp4"
    ran = run("watch", model, folder, "--render", path)
    assert ran.code == 0
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == 140
    reds = [int(picture[2, 300, 0]) - int(picture[2, 300, 1]) for picture in pictures]
    assert min(reds[66:85]) > 100  # the frame of an alarm
    assert list(tmp_path.iterdir()) == [path]


def test_options_of_alarms(run: Run, model: Path, folder: Path) -> None:
    def count(*options: object) -> int:
        return run("watch", model, folder, *options).out.count('"event": "start"')

    assert count("--after", 200) == 0
    assert count("--after", 1, "--release", 0, "--false-alarm-rate", 0.5) >= count()
    assert count("--after", 20) == 1


def test_a_stream_that_drops(run: Run, model: Path, squares: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "WAITS", (0.05, 0.1))
    monkeypatch.setattr(streams, "BACKLOG", 100.0)
    programme = encoded(squares(60, odd=(30, 60)), "mpjpeg", "mjpeg")
    with serving(Camera([programme], 0.4, "multipart/x-mixed-replace;boundary=ffmpeg")) as camera:
        camera.talk = leaving(camera, camera.talk, 2)
        address = f"http://127.0.0.1:{camera.port}/live"
        ran = run("watch", model, address, "--reconnect", 0.5, "--after", 5)
    assert ran.code == 1  # it was given up
    found = events(ran.out)
    kinds = [event["event"] for event in found]
    assert kinds.count("opened") == kinds.count("lost") == 2
    for place in (place for place, kind in enumerate(kinds) if kind == "lost"):
        assert kinds[place - 1] == "end"  # the open alarm was closed
    assert f"{address}: lost (" in ran.err
    assert f"{address}: back after" in ran.err
    assert ran.err.splitlines()[-1].startswith(f"memae: error: {address} did not come back for 0.5 s")


def leaving(camera: Camera, talk: Any, times: int) -> Any:
    """A camera that goes away for good after some connections."""

    def once(connection: Any, programme: bytes) -> None:
        if camera.connections >= times:
            camera.away.set()
        talk(connection, programme)

    return once


def test_what_comes_too_fast_is_skipped_and_counted(
    run: Run, model: Path, squares: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "film.mkv").write_bytes(encoded(squares(60), "matroska"))
    monkeypatch.setattr(streams, "BACKLOG", 0.3)
    monkeypatch.setattr(watch_output, "MINUTE", 0.0)
    forward = VideoMemAE.follow

    def slow(self: VideoMemAE, part: Any) -> Any:
        for frame in forward(self, part):
            time.sleep(0.1)
            yield frame

    monkeypatch.setattr(VideoMemAE, "follow", slow)
    ran = run("watch", model, tmp_path / "film.mkv", "--realtime", "--frames")
    assert ran.code == 0
    found = events(ran.out)
    seen = [event["frame"] for event in found if event["event"] == "frame"]
    skipped = sum(event["frames"] for event in found if event["event"] == "skipped")
    assert len(seen) + skipped == 60
    assert skipped > 10
    assert seen == sorted(set(seen))
    assert "in the last minute" in ran.err
    assert f"{skipped} of 60 frames were skipped; if the model is too slow, --score-step" in ran.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_it_ends_cleanly(model: Path, squares: Any, tmp_path: Path, number: int, code: int) -> None:
    listed, until = tmp_path / "alarms.jsonl", time.monotonic() + 60
    odd = encoded(squares(2000, odd=(0, 2000)), "mpjpeg", "mjpeg")
    with (
        serving(Camera([odd], 80, "multipart/x-mixed-replace;boundary=ffmpeg")) as camera,
        subprocess.Popen(
            [MEMAE, "watch", model, f"http://127.0.0.1:{camera.port}", "-o", tmp_path],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as program,
    ):  # fmt: skip
        while not (listed.exists() and '"start"' in listed.read_text()) and time.monotonic() < until:
            time.sleep(0.02)
        program.send_signal(number)
        out, err = program.communicate(timeout=60)
    assert (program.returncode, "Traceback" in err) == (code, False), err
    assert [event["event"] for event in events(out)] == ["opened", "start", "end"]
    last = events(out)[-1]
    assert (tmp_path / last["thumbnail"]).is_file()
    assert events(listed.read_text())[-1] == last
    assert len((tmp_path / "alarms.csv").read_text().splitlines()) == 2
    assert "1 alarm\n" in err


def test_a_silent_camera_does_not_keep_it(model: Path, tmp_path: Path) -> None:
    """It ends while a read hangs, and without a crash."""
    with serving(Silent([], 0, "multipart/x-mixed-replace;boundary=ffmpeg")) as camera:
        with subprocess.Popen(
            [MEMAE, "watch", model, f"http://127.0.0.1:{camera.port}", "-o", tmp_path], stderr=subprocess.PIPE
        ) as program:
            assert camera.asked.wait(60)
            program.send_signal(signal.SIGINT)
            _, err = program.communicate(timeout=8)
        assert (program.returncode, err.splitlines()[0]) == (130, b"0 frames watched, 0 alarms")


class Silent(Camera):
    """It lets people in and says nothing."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.asked = Event()

    def answer(self, connection: Any) -> None:
        with connection:
            connection.recv(65536)
            self.asked.set()
            self.over.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_handlers_of_before_come_back(number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(typer.Exit) if number == signal.SIGINT else nullcontext(), ending() as stop:
        signal.raise_signal(number)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_refusals(run: Run, model: Path, folder: Path, tmp_path: Path, squares: Any) -> None:
    def told(*words: object) -> str:
        ran = run("watch", *words)
        assert ran.code == 1
        assert ran.err.count("\n") == 1
        return ran.err

    assert "there is no camera /dev/video99" in told(model, 99)
    assert "connection refused" in told(model, "rtsp://127.0.0.1:9/live")
    assert "ftp://" in told(model, "ftp://127.0.0.1/live")
    assert "cannot read" in told(model, tmp_path / "none.mp4")
    assert "must end in .mp4" in told(model, folder, "--render", tmp_path / "seen.avi")
    film = tmp_path / "film.mp4"
    film.write_bytes(b"the only one")
    assert "is not written" in told(model, film, "--render", film)
    assert "is not written" in told(model, tmp_path, "--render", film)
    assert film.read_bytes() == b"the only one"
    ran = run("watch", model, film)
    assert (ran.code, ran.out) == (1, "")  # it is not said to be open
    assert "cannot be read as a video" in ran.err
    assert "has no end" in told(model, "http://127.0.0.1:9/live", "--render", tmp_path / "seen.mp4")
    assert "after must be 1 frame or more" in told(model, folder, "--after", 0)
    assert "score_step" in told(model, folder, "--score-step", 0)
    (tmp_path / "file").write_text("")
    assert "cannot make the folder" in told(model, folder, "-o", tmp_path / "file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "alarms.jsonl").write_text("my notes\n")
    assert "exists and is not a list of alarms" in told(model, folder, "-o", tmp_path / "other")
    assert (tmp_path / "other" / "alarms.jsonl").read_text() == "my notes\n"
    for name, content in (("alarms.jsonl", "my notes"), ("alarms.jsonl", '{"a": 1}\n'), ("alarms.csv", "a,b\n1,2")):
        place = tmp_path / content[:3].strip('{"')
        place.mkdir(exist_ok=True)
        (place / name).write_text(content)
        assert "exists and is not a list of alarms" in told(model, folder, "-o", place)
        assert (place / name).read_text() == content
    table = tmp_path / "table.memae"
    TabularMemAE(4, epochs=1, warmup=0, false_alarm_rate=0.2).fit(RNG.normal(size=(40, 3))).save(table)
    assert "only video can be watched" in told(table, folder)
    short = tmp_path / "short"
    short.mkdir()
    for number, frame in enumerate(squares(3)):
        Image.fromarray(frame).save(short / f"{number}.png")
    ran = run("watch", model, short, "-o", tmp_path / "alarms", "--render", tmp_path / "seen.mp4")
    assert ran.code == 1
    assert "has 3 frames, the model needs 4 (its clip length) or more" in ran.err
    assert not (tmp_path / "seen.mp4").exists()


def test_frames_of_another_size(run: Run, model: Path, tmp_path: Path) -> None:
    for number in range(6):
        Image.fromarray(RNG.integers(0, 255, (20, 30), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    ran = run("watch", model, tmp_path)
    assert ran.code == 1
    assert f"{tmp_path} has (1, 20, 30)" in ran.err


def test_a_damaged_file_is_told_after_its_alarm(run: Run, model: Path, squares: Any, tmp_path: Path) -> None:
    path = tmp_path / "cut.avi"
    whole = encoded(squares(80, odd=(20, 80)), "avi", "mjpeg")
    path.write_bytes(whole[: len(whole) * 3 // 4])
    ran = run("watch", model, path)
    assert ran.code == 1
    assert [event["event"] for event in events(ran.out)][-1] == "end"
    assert "and no further" in ran.err


def test_a_video_that_cannot_be_read_does_not_keep_the_others(
    run: Run, model: Path, squares: Any, tmp_path: Path
) -> None:
    good = encoded(squares(60, odd=(20, 40)), "avi", "mjpeg")
    films = {"1.avi": good, "2.avi": b"no video at all", "3.avi": good[: len(good) * 3 // 4], "4.avi": good}
    for name, content in films.items():
        (tmp_path / name).write_bytes(content)
    ran = run("watch", model, tmp_path, "--frames")
    assert ran.code == 1
    found = events(ran.out)
    first, damaged, last = ([event for event in found if event["source"] == str(tmp_path / f"{n}.avi")] for n in "134")
    assert [event["frame"] for event in last if event["event"] == "frame"] == list(range(60))
    assert [event["score"] for event in last if "score" in event] == [
        event["score"] for event in first if "score" in event
    ]
    assert [event["time"] for event in found if event["event"] == "opened"] == [0.0, 0.0, 0.0]
    assert damaged[-1]["event"] == "unread"
    assert [event["time"] for event in found if event["event"] == "unread"] == [0.0, damaged[-2]["time"]]
    assert "and no further" in damaged[-1]["reason"]
    assert [event["source"] for event in found if event["event"] == "unread"] == [
        str(tmp_path / "2.avi"), str(tmp_path / "3.avi"),
    ]  # fmt: skip
    assert sum(line.startswith("memae: error: ") for line in ran.err.splitlines()) == 2
    for name in "134":
        (tmp_path / f"{name}.avi").write_bytes(b"neither")
    ran = run("watch", model, tmp_path)
    assert ran.code == 1
    assert ran.err.splitlines()[-1] == f"memae: error: {tmp_path} has no video that can be read"


def test_it_says_so_when_most_is_above_the_threshold(run: Run, model: Path, squares: Any, tmp_path: Path) -> None:
    (tmp_path / "odd.avi").write_bytes(encoded(squares(60, odd=(0, 60)), "avi", "mjpeg"))
    err = run("watch", model, tmp_path / "odd.avi").err
    assert "of 60 frames are above the threshold; if most should be normal" in err
    (tmp_path / "calm.avi").write_bytes(encoded(squares(60), "avi", "mjpeg"))
    assert "above the threshold; if" not in run("watch", model, tmp_path / "calm.avi").err
