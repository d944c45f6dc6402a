"""The picture under its heat map, the timeline, and the film."""

import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest

from memae.errors import OutputError
from memae.pictures import blended
from memae.watch.overlay import ALARM, ALARM_GROUND, CURVE, SPAN, STRIP, Timeline, film_writer, framed

GREY = np.full((24, 36, 3), 100, dtype=np.uint8)


def coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Which columns hold a colour."""
    return (picture == np.array(colour)).all(2).any(0)


def test_where_nothing_is_hot_the_picture_stays() -> None:
    heat = np.zeros((12, 18))
    heat[6:, :6] = 2.0
    seen = blended(GREY, heat)
    assert (seen[:8] == 100).all()
    assert (seen[:, 20:] == 100).all()
    assert (seen[18, 4] > 150).any()
    assert (blended(GREY, np.full((3, 3), np.nan)) != 100).any()


def test_the_timeline_scrolls_in_constant_memory() -> None:
    line = Timeline(above=5.0, below=4.0)
    sizes = []
    tracemalloc.start()
    for number in range(20_000):
        if number % 500 == 100:
            line.start(number / 25)
        if number % 500 == 200:
            line.end(number / 25)
        line.add(number / 25, float(number % 7))
        if number in (2_000, 19_999):
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[1] < sizes[0] + 10_000
    assert len(line.scores) == SPAN * 25 + 1
    assert np.asarray(line.drawn(640)).shape == (STRIP, 640, 3)
    line.clear()
    assert not coloured(np.asarray(line.drawn(640)), CURVE).any()


def test_the_timeline_shows_alarms_where_they_were() -> None:
    line = Timeline(above=5.0, below=4.0, span=10.0)
    for number in range(251):
        line.add(number / 25, 1.0)
    assert not coloured(np.asarray(line.drawn(1028)), ALARM_GROUND).any()
    line.start(2.0)
    line.end(4.0)
    marked = np.flatnonzero(coloured(np.asarray(line.drawn(1028)), ALARM_GROUND))
    assert (marked[0], marked[-1]) == (214, 414)  # 14 + 200, 14 + 400
    line.start(9.0)
    assert coloured(np.asarray(line.drawn(1028)), ALARM).any()


@pytest.mark.parametrize("score", [1.0, 5.0, 1e30])
@pytest.mark.parametrize("size", [(24, 36), (33, 47), (721, 1281)])
def test_frames_have_even_sides(size: tuple[int, int], score: float) -> None:
    line = Timeline(5.0, 5.0)
    line.add(0.0, score)
    for alarm in (None, 3):
        seen = framed(
            np.zeros((*size, 3), dtype=np.uint8), line, "a/very/long/path/" * 20 + "end.mp4", "score 1", alarm
        )
        assert seen.shape[0] % 2 == seen.shape[1] % 2 == 0
        assert seen.shape[1] >= 640
        assert (seen[2, 2] == ALARM).all() == (alarm is not None)


def test_a_film_can_be_played(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with film_writer(path, 29.97) as writer:
        for level in range(30):
            writer.add(np.full((48, 64, 3), 8 * level, dtype=np.uint8))
        writer.add(np.full((96, 128, 3), 240, dtype=np.uint8))  # scaled
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 64, 48)
        means = [frame.to_ndarray(format="gray").mean() for frame in container.decode(video=0)]
        assert stream.average_rate == pytest.approx(29.97, abs=0.01)
    np.testing.assert_allclose(means, [*range(0, 240, 8), 240], atol=4)
    assert list(tmp_path.iterdir()) == [path]


def test_a_frame_of_another_shape_keeps_it(tmp_path: Path) -> None:
    with film_writer(tmp_path / "film.mp4", 25.0) as writer:
        writer.add(np.full((48, 64, 3), 240, dtype=np.uint8))
        writer.add(np.full((24, 96, 3), 240, dtype=np.uint8))
    with av.open(str(tmp_path / "film.mp4")) as container:
        _, wide = (frame.to_ndarray(format="gray") for frame in container.decode(video=0))
    assert wide.shape == (48, 64)
    assert wide[20:28].min() > 230  # 16 rows of it, in the middle
    assert max(wide[:12].max(), wide[-12:].max()) < 30


def test_a_film_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"before")

    def interrupted() -> None:
        with film_writer(path, 25.0) as writer:
            writer.add(GREY)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(OutputError), film_writer(tmp_path / "no" / "film.mp4", 25.0):
        pass
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
