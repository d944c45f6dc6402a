"""Sources of frames: files frame by frame, streams that drop and come back, and what happens when nobody keeps up."""

import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread, current_thread

import numpy as np
import pytest
import torch
from PIL import Image
from tests.serving import Camera, RtspCamera, encoded, serving

from memae.data import streams
from memae.data.addresses import live_source
from memae.data.formats import VideoFormat
from memae.data.streams import Item, Lost, Opened, Shot, Skipped, View, read_source
from memae.data.videos import read_video
from memae.demo import street
from memae.errors import OptionError, SourceError

GREY = View(1, None)
FILM = street(40, seed=1)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "WAITS", (0.05, 0.2))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "film.mkv"
    path.write_bytes(encoded(FILM[:20], "matroska"))
    return path


def shots(items: Iterator[Item], count: int | None = None) -> list[Shot]:
    found = []
    for item in items:
        if isinstance(item, Shot):
            found.append(item)
        if len(found) == count:
            break
    return found


# ------------------------------------------------------------------------------------------------- files and folders


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [None, (20, 30)])
def test_a_file_gives_what_scoring_reads(file: Path, channels: int, size: tuple[int, int] | None) -> None:
    whole = read_video(file, channels=channels, size=size)
    opened, *found = list(read_source(str(file), View(channels, size, picture=48), Event()))
    assert opened == Opened(str(file), 25.0, live=False, format=VideoFormat(64, 96, 25.0))
    assert torch.equal(torch.stack([shot.pixels for shot in found]), whole.frames)
    assert [shot.time for shot in found] == whole.times.tolist()
    assert all(shot.picture.shape == (32, 48, 3) for shot in found)
    assert np.abs(found[0].picture.mean() - FILM[0].mean()) < 5


@pytest.mark.parametrize("picture", [0, 12])
@pytest.mark.parametrize("deep", [False, True])
def test_a_folder_gives_what_scoring_reads(tmp_path: Path, picture: int, deep: bool) -> None:
    for number, frame in enumerate(FILM[:12]):
        Image.fromarray(frame.astype(np.uint16) * 257 if deep and number == 3 else frame).save(
            tmp_path / f"{number}.png"
        )
    whole = read_video(tmp_path)
    opened, *found = list(read_source(str(tmp_path), View(1, None, picture), Event()))
    assert opened == Opened(str(tmp_path), 25.0, live=False, format=VideoFormat(64, 96, None))
    assert torch.equal(torch.stack([shot.pixels for shot in found]), whole.frames)
    assert [shot.time for shot in found] == whole.times.tolist()
    assert {None if shot.picture is None else shot.picture.shape for shot in found} == {(8, 12, 3) if picture else None}


def test_several_videos_come_one_after_another(tmp_path: Path, file: Path) -> None:
    (tmp_path / "other.mkv").write_bytes(file.read_bytes())
    found = list(read_source(str(tmp_path), GREY, Event()))
    assert [place for place, item in enumerate(found) if isinstance(item, Opened)] == [0, 21]
    assert len(found) == 42


def test_a_file_stops_when_told(file: Path) -> None:
    stop = Event()
    items = read_source(str(file), GREY, stop)
    assert len(shots(items, 5)) == 5
    stop.set()
    assert list(items) == []


def test_realtime_takes_its_time_and_skips_what_comes_too_late(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = time.monotonic()
    found = shots(read_source(str(file), GREY, Event(), realtime=True))
    assert time.monotonic() - begin > 0.7  # 20 frames at 25 a second
    assert [shot.time for shot in found] == read_video(file).times.tolist()
    monkeypatch.setattr(streams, "BACKLOG", 0.2)
    items = read_source(str(file), GREY, Event(), realtime=True)
    assert next(items) == Opened(str(file), 25.0, live=True, format=VideoFormat(64, 96, 25.0))
    time.sleep(0.5)  # a model that takes its time
    found = list(items)
    skipped = [item for item in found if isinstance(item, Skipped)]
    assert found.index(skipped[0]) == 0  # the newest win
    assert sum(item.frames for item in skipped) + sum(isinstance(item, Shot) for item in found) == 20
    runs = np.diff([item.time for item in found if isinstance(item, Shot)])
    np.testing.assert_allclose(runs, 0.04, atol=1e-6)  # what follows is evenly spaced


def test_skipped_frames_stay_with_their_video(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.mkv").write_bytes(file.read_bytes())
    monkeypatch.setattr(streams, "BACKLOG", 0.2)
    items = read_source(str(tmp_path), GREY, Event(), realtime=True)
    assert isinstance(next(items), Opened)
    time.sleep(2.0)  # until the second one is over
    found = list(items)
    second = next(place for place, item in enumerate(found) if isinstance(item, Opened))
    for part in (found[:second], found[second + 1 :]):
        assert sum(item.frames if isinstance(item, Skipped) else 1 for item in part) == 20
        assert isinstance(part[0], Skipped)


def test_the_reader_closes_what_it_has_read_from(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    def endless(*_: object) -> Iterator[streams.Item]:
        try:
            yield Opened("here", 25.0, live=True)
            while True:
                time.sleep(0.01)
                yield Skipped(1)
        finally:
            closed.append(current_thread().name)

    monkeypatch.setattr(streams, "_connected", endless)
    items = read_source("http://127.0.0.1:9", GREY, Event())
    assert isinstance(next(items), Opened)
    items.close()  # type: ignore[attr-defined]
    assert closed == ["memae reader"]


# ----------------------------------------------------------------------------------------------- cameras and addresses


def test_what_a_source_is(tmp_path: Path) -> None:
    assert live_source("film.mp4") is None
    assert live_source("odd:name.mp4") is None
    secret = live_source("rtsp://admin:secret@door:554/one")
    assert secret is not None
    assert (secret.name, secret.url) == ("rtsp://***@door:554/one", "rtsp://admin:secret@door:554/one")
    assert secret.options == {"rtsp_transport": "tcp"}
    with pytest.raises(OptionError, match="ftp://") as told:
        live_source("ftp://admin:secret@door/one.mp4")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    "address",
    [
        *("rtsp://me:secret@door", "rtsp://me:a@secret@door/1", "http://me:a/secret@door", "http://secret@"),
        *("http://me:a?secret@door/1", "http://me:a@door?secret?b=@c", "http://door/1?token=secret"),
    ],
)
def test_no_secret_is_shown(address: str) -> None:
    found = live_source(address)
    assert found is not None
    assert found.url == address
    assert "secret" not in found.name
    assert found.name.startswith(address.partition("://")[0] + "://")


def test_no_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="no camera /dev/video99"):
        live_source("99")
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(SourceError, match="on Linux only"):
        live_source("0")


@pytest.mark.parametrize("kind", ["ts", "mjpeg", "rtsp"])
def test_a_stream_that_drops_comes_back(quick: None, kind: str) -> None:
    programme = encoded(FILM, "mpjpeg", "mjpeg") if kind == "mjpeg" else encoded(FILM)
    camera = (RtspCamera if kind == "rtsp" else Camera)(
        [programme], 0.5, "multipart/x-mixed-replace;boundary=ffmpeg" if kind == "mjpeg" else "video/mp2t"
    )
    with serving(camera):
        stop, found = Event(), []
        address = f"{'rtsp' if kind == 'rtsp' else 'http'}://127.0.0.1:{camera.port}/live"
        for item in read_source(address, View(1, (32, 48), 24), stop):
            found.append(item)
            if sum(isinstance(each, Shot) for each in found) >= 75:
                stop.set()
    marks = [type(item) for item in found if not isinstance(item, Shot)]
    assert marks == [Opened, Lost, Opened]
    assert found[0] == Opened(address, 25.0, live=True, format=VideoFormat(64, 96, None))
    frames = [item for item in found if isinstance(item, Shot)]
    times = [frame.time for frame in frames]
    assert times[0] == 0
    assert times == sorted(times)
    assert all(frame.pixels.shape == (1, 32, 48) and frame.picture.shape == (16, 24, 3) for frame in frames)


def test_a_stream_that_stays_away_is_given_up(quick: None) -> None:
    with serving(Camera([encoded(FILM)], 0.3)) as camera:
        items = read_source(f"http://127.0.0.1:{camera.port}", GREY, Event(), patience=0.4)
        assert len(shots(items, 10)) == 10
        camera.away.set()
        with pytest.raises(SourceError, match=r"did not come back for 0\.4 s"):
            shots(items)


def test_a_stream_that_falls_silent_is_lost(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SILENCE", 0.5)
    with serving(Camera([encoded(FILM)], 0.2)) as camera:
        camera.talk = partial(_hanging, camera, camera.talk)
        for item in read_source(f"http://127.0.0.1:{camera.port}", GREY, Event()):
            if isinstance(item, Lost):
                assert item.reason == "silent for 0.5 s"
                break


def _hanging(camera: Camera, talk: object, connection: object, programme: bytes) -> None:
    talk(connection, programme)  # type: ignore[operator]
    camera.over.wait(5)


def test_the_first_connection_must_work() -> None:
    for address in ("http://127.0.0.1:9/live", "rtsp://127.0.0.1:9/live", "tcp://127.0.0.1:9"):
        with pytest.raises(SourceError, match=rf"cannot watch {address} \(connection refused\)"):
            list(read_source(address, GREY, Event()))


def test_a_recording_behind_an_address_is_read_whole(tmp_path: Path, file: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/{file.name}"
        opened, *found = list(read_source(address, GREY, Event()))
    finally:
        server.shutdown()
        server.server_close()
    assert opened == Opened(address, 25.0, live=False, format=VideoFormat(64, 96, 25.0))
    assert [round(shot.time, 3) for shot in found] == [round(number / 25, 3) for number in range(20)]


def test_damaged_packets_are_gaps(quick: None) -> None:
    programme = bytearray(encoded(FILM, "mpjpeg", "mjpeg"))
    starts = [at for at in range(len(programme)) if programme[at : at + 2] == b"\xff\xd8"]
    programme[starts[20] : starts[21] - 200] = bytes(starts[21] - 200 - starts[20])
    with serving(Camera([bytes(programme)], 0.4, "multipart/x-mixed-replace;boundary=ffmpeg")) as camera:
        found = []
        for item in read_source(f"http://127.0.0.1:{camera.port}", GREY, Event()):
            found.append(item)
            if isinstance(item, Lost):
                break
    kinds = [type(item) for item in found]
    assert kinds.count(Shot) == 39
    assert [place for place, kind in enumerate(kinds) if kind is Skipped] == [21]
