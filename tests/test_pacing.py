"""Films of another frame rate are played at that of the training videos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.serving import encoded

from memae import VideoMemAE
from memae.data.formats import VideoFormat, misfit
from memae.kinds.following import Footage, FrameScore, ScoredClip, Seen
from memae.kinds.pacing import LONGEST, Paced


def film(times, block=7, dtype=torch.uint8):
    """Frames of one pixel, ten levels brighter each."""
    frames = (10 * torch.arange(len(times))).to(dtype).reshape(-1, 1, 1, 1)
    clock = torch.tensor(times, dtype=torch.float64)
    return list(zip(frames.split(block), clock.split(block), strict=True))


def played(times, rate, **form):
    blocks = list(Paced(film(times, **form), rate).blocks())
    return torch.cat([frames for frames, _ in blocks]).flatten().tolist(), torch.cat([clock for _, clock in blocks])


def test_at_the_rate_itself_blocks_pass_as_they_are():
    given_ = film([k / 25 + 3 for k in range(40)])
    found = list(Paced(given_, 25.0).blocks())
    assert all(one is other for (one, _), (other, _) in zip(found, given_, strict=True))
    jittered = film([k / 25 + 0.005 * (-1) ** k for k in range(40)])
    assert [len(frames) for frames, _ in Paced(jittered, 25.0).blocks()] == [len(frames) for frames, _ in jittered]


def test_of_more_frames_some_are_taken():
    frames, clock = played([k / 50 for k in range(21)], 25.0)
    assert frames == [20 * k for k in range(11)]
    assert clock.tolist() == pytest.approx([k / 25 for k in range(11)])
    assert played([k / 30 for k in range(13)], 10.0)[0] == [0, 30, 60, 90, 120]


def test_between_fewer_frames_others_are_interpolated():
    assert played([0, 2 / 25, 4 / 25], 25.0)[0] == [0, 5, 10, 15, 20]
    assert played([0, 3 / 25], 25.0, dtype=torch.float32)[0] == pytest.approx([0, 10 / 3, 20 / 3, 10])
    frames, _ = played([k / 10 for k in range(4)], 25.0)
    assert frames[0] == 0
    assert frames[-1] == 30
    assert frames == sorted(frames)


def test_nothing_is_interpolated_over_a_gap():
    frames, _ = played([0, 1 / 25, 2 / 25, 2 / 25 + LONGEST + 1, 3 / 25 + LONGEST + 1], 25.0)
    assert frames == [0, 10, 20, 30, 40]


def seen(tick):
    nothing = torch.empty(0)
    frame = FrameScore("f", tick, tick / 25, float(tick), nothing)
    return Seen(frame, nothing, 0, ScoredClip(nothing, float(tick), nothing, nothing, None)), float(tick)


@given(st.lists(st.floats(0.001, 3.0), min_size=1, max_size=60), st.floats(1, 60), st.integers(1, 9))
def test_every_frame_as_filmed_has_one_score_and_its_own_time(steps, rate, block):
    times = np.cumsum(steps).tolist()
    paced = Paced(film(times, block), rate)
    ticks = sum(len(frames) for frames, _ in paced.blocks())
    found = list(paced.as_filmed(seen(tick) for tick in range(ticks)))
    assert [each.frame.frame for each, _ in found] == list(range(len(times)))
    assert [each.frame.time for each, _ in found] == times
    scores = [score for _, score in found]
    assert scores == sorted(scores)
    assert scores[-1] == ticks - 1
    assert not paced.waiting


@pytest.mark.parametrize(
    ("rate", "live", "told"),
    [
        (
            50.0,
            False,
            "has 50 frames a second, training videos 25; some of them are scored, and count for their neighbours",
        ),
        (10.0, False, "has 10 frames a second, training videos 25; frames in between are interpolated"),
        (10.0, True, "everything moves at another speed. Set the camera to that rate"),
        (30.0, False, None),
    ],
)
def test_what_is_done_is_said(rate, live, told):
    found = misfit(VideoFormat(64, 96, rate), VideoFormat(64, 96, 25.0), paced=True, live=live)
    assert found is None if told is None else told in found
    assert misfit(VideoFormat(64, 96, rate), VideoFormat(64, 96, 25.0), paced=False, live=live) is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory, squares):
    path = tmp_path_factory.mktemp("paced") / "normal.avi"
    path.write_bytes(encoded(squares(160), "avi", "mjpeg", rate=25))
    net = {"length": 4, "widths": (4,), "strides": ((2, 2),), "warmup": 0, "speeds": False, "features": "none"}
    return VideoMemAE(4, **net, epochs=3, false_alarm_rate=0.2, random_state=0).fit(path)


def test_a_film_of_another_rate_is_scored_at_that_of_the_training_videos(trained: VideoMemAE, squares, tmp_path: Path):
    frames = squares(80)
    for name, some, rate in (("same", frames, 25), ("fast", np.repeat(frames, 2, 0), 50), ("slow", frames[::5], 5)):
        (tmp_path / f"{name}.avi").write_bytes(encoded(some, "avi", "mjpeg", rate=rate))
    same = trained.anomaly_score(tmp_path / "same.avi")
    with pytest.warns(match="fast.avi has 50 frames a second"):
        fast = trained.anomaly_score(tmp_path / "fast.avi")
    assert len(fast) == 2 * len(same)
    assert np.abs(fast[::2] - same).max() < 0.1 * same.mean()  # they are compressed otherwise
    with pytest.warns(match="slow.avi has 5 frames a second"):
        assert len(trained.anomaly_score(tmp_path / "slow.avi")) == 16
    found = [frame.score for frame in trained.follow(Footage("a", film_of(frames, 25), live=True))]
    halved = [frame.score for frame in trained.follow(Footage("a", film_of(np.repeat(frames, 2, 0), 50)))]
    assert halved[::2] == found


def film_of(frames, rate):
    clock = torch.arange(len(frames), dtype=torch.float64) / rate
    return zip(torch.from_numpy(frames)[:, None].split(8), clock.split(8), strict=True)
