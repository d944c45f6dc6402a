"""Scores of clips as those of frames."""

import numpy as np
import pytest
import torch

from memae import VideoMemAE
from memae.data.pixels import with_channels
from memae.data.videos import videos_of_array
from memae.kinds.following import scores_of_clips
from memae.scoring.scorer import shown

LENGTH = 5


@pytest.fixture(scope="module")
def detector(squares):
    """A tiny detector that scores places, fitted."""
    net = {"widths": (6, 8), "strides": [(2, 2), (2, 2)], "size": "native", "length": LENGTH}
    return VideoMemAE(8, **net, step=4, smooth=1, epochs=2, warmup=1, kept_samples=100).fit(squares(160))


@torch.no_grad()
def places_of_clips(detector, video):
    """The score of each place of every clip, straight from the scorer: `(clips, rows, columns)`."""
    return detector.scorer_.positions(measures_of_clips(detector, video)).double()


def measures_of_clips(detector, video):
    (found,) = videos_of_array(video)
    frames = with_channels(found.frames, 1)
    clips = torch.stack([frames[start : start + LENGTH].movedim(0, 1) for start in range(len(frames) - LENGTH + 1)])
    return torch.cat([each.measures for each in detector.scorer_.batched([clips])])


@pytest.mark.parametrize("step", [1, 3])
def test_a_frame_has_the_mean_map_of_the_clips_around_it_and_the_score_of_its_highest_place(
    detector, squares, monkeypatch, step
):
    monkeypatch.setattr(detector, "step_", step)
    video = squares(30, seed=3, odd=(12, 18))
    clips = places_of_clips(detector, video)[::step]
    nearest = [int(np.abs(step * np.arange(len(clips)) + 2 - number).argmin()) for number in range(30)]
    frames = list(detector.frames(video))
    assert len(frames) == 30
    for number, frame in enumerate(frames):
        expected = clips[nearest[max(number - 2, 0) : number + 3]].mean(0)
        assert frame.score == pytest.approx(float(expected.max()), rel=1e-6)
        painted = shown(expected[None], frame.error_map.shape[1:])[0]
        torch.testing.assert_close(frame.error_map, painted)


def test_held_out_clips_are_told_as_the_frames_they_are_centred_on(detector, squares):
    video = squares(30, seed=4)
    told = scores_of_clips(detector.scorer_, measures_of_clips(detector, video), LENGTH, 1, 1)
    frames = np.array([frame.score for frame in detector.frames(video)])
    # a clip from s is centred on frame s + 2; at the edges fewer clips than frames are averaged
    assert told[2:-2] == pytest.approx(frames[4:-4], rel=1e-6)


def test_the_baseline_of_a_position_does_not_count(detector):
    scorer = detector.scorer_
    assert scorer.balance.baseline.shape[0] == len(scorer.measured)
    assert float(scorer.balance.baseline[0].std()) > 0  # positions differ
    torch.testing.assert_close(
        scorer.balance.baseline.mean((1, 2)), torch.zeros(len(scorer.measured)), atol=1e-5, rtol=0
    )
    everywhere = scorer.positions(scorer.balance.baseline[None])  # as expected, at all positions
    torch.testing.assert_close(everywhere, torch.zeros_like(everywhere), atol=1e-6, rtol=0)
