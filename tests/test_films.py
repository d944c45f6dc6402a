"""Kept positions of frames: what is left out, what is thinned, and how normal days and alarms join the memory."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from memae import VideoMemAE, load
from memae.demo import street
from memae.errors import InputError, OptionError, SourceError
from memae.estimators import films
from memae.estimators.film_updating import stretches
from memae.estimators.films import FEWEST, Sampled, beyond, folds, sampled
from memae.estimators.networks import Lite
from memae.frame_features import FrameSpec
from memae.kinds.following import Footage
from memae.networks.efficientnet_lite import installed
from memae.watch.past import Past, by_source, past_alarms

pretrained = pytest.mark.skipif(not installed(0), reason="memae[features] is not installed")


def film(frames, name="a", rate=10):
    """Frames of one pixel whose value is their number."""
    numbers = torch.arange(frames)
    blocks = ((part.reshape(-1, 1, 1, 1), part.double() / rate) for part in numbers.split(7))
    return Footage(name, blocks)


def described(*lengths):
    """Described frames of videos, four frames apart."""
    video = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    number = torch.cat([4 * torch.arange(length) for length in lengths])
    raw = [torch.zeros(1, 1, 1)] * len(video)
    return Sampled(raw, video, number, [str(each) for each in range(len(lengths))], 4 * len(raw), 4)


# ------------------------------------------------------------------------------------------------- frames and folds


def test_every_nth_frame_of_each_video_is_described():
    found = sampled([film(41), film(10, "b")], 4)
    assert found.number.tolist() == [*range(0, 41, 4), 0, 4, 8]
    assert [int(each) for each in found.raw] == found.number.tolist()
    assert found.video.tolist() == [0] * 11 + [1] * 3
    assert (found.names, found.frames, found.spacing) == (["a", "b"], 51, 4)


def test_long_film_is_thinned(monkeypatch):
    monkeypatch.setattr(films, "FRAMES", 20)
    found = sampled([film(100), film(90, "b")], 3)
    assert found.spacing == 12
    assert found.number.tolist() == [*range(0, 100, 12), *range(0, 90, 12)]
    assert len(found.raw) <= 20


def test_too_few_frames_say_how_many_are_needed():
    with pytest.raises(InputError, match=rf"have 36 frames, of which one in 4 is learned; at least {4 * FEWEST} are"):
        sampled([film(36)], 4)


@pytest.mark.parametrize("lengths", [(5, 9), (3, 4, 5, 6, 7, 8, 9)])
def test_whole_videos_are_left_out_once_each(lengths):
    found = described(*lengths)
    left_out = []
    for fold, known in folds(found, 10.0):
        assert not {*found.video[fold].tolist()} & {*found.video[known].tolist()}
        left_out += fold.tolist()
    assert sorted(left_out) == list(range(sum(lengths)))


def test_of_a_single_video_stretches_are_left_out_with_a_gap():
    found = described(100)
    left_out = []
    for fold, known in folds(found, 10.0):
        apart = (found.number[known][:, None] - found.number[fold]).abs()
        assert int(apart.min()) > films.APART * 10
        left_out += fold.tolist()
    assert left_out == list(range(100))


def test_a_short_video_keeps_something_to_compare_with():
    assert all(known.any() and not known[fold].any() for fold, known in folds(described(12), 1000.0))


# ---------------------------------------------------------------------------------------------------- alarms, read


def test_stretches_have_the_frames_that_are_scored():
    found = stretches([film(100), film(50, "b")], [[(2.0, 3.0), (5.0, 5.3)], [(1.0, 1.2)]], 4, 0.2)
    assert found.names == ["a", "a", "b"]
    assert found.number.tolist() == [20, 24, 28, 32, 48, 52, 8, 12]
    assert found.video.tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
    with pytest.raises(InputError, match=r"a has no frame to learn between 30\.000 s and 31\.000 s"):
        stretches([film(100)], [[(30.0, 31.0)]], 4, 0.2)


def listed(folder, *alarms):
    folder.mkdir()
    lines = [{"event": "opened", "source": "x"}]
    lines += [dict(zip(("event", "alarm", "source", "start", "end"), ("end", *each), strict=True)) for each in alarms]
    (folder / "alarms.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_alarms_are_read_back_from_their_list(tmp_path):
    folder = listed(tmp_path / "al", (1, "a.mp4", 0.5, 2.0), (2, "rtsp://u/x", 1, 2), (3, "a.mp4", 7, 8))
    assert past_alarms(folder, [3, 1]) == [Past(3, "a.mp4", 7, 8), Past(1, "a.mp4", 0.5, 2)]
    assert past_alarms(folder / "alarms.jsonl", [2])[0].source == "rtsp://u/x"
    with pytest.raises(OptionError, match=r"no ended alarm 4, 9; its alarms are 1 to 3"):
        past_alarms(folder, [4, 1, 9])
    with pytest.raises(InputError, match="alarm 2 is of rtsp://u/x, of which memae keeps no film"):
        by_source(past_alarms(folder, [2]))
    with pytest.raises(InputError, match=r"alarm 1 is of a\.mp4, which is not there"):
        by_source(past_alarms(folder, [1]))


def test_other_files_are_no_lists_of_alarms(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        past_alarms(tmp_path, [1])
    (tmp_path / "alarms.jsonl").write_text("alarm,1\n")
    with pytest.raises(SourceError, match="is not a list of alarms"):
        past_alarms(tmp_path, [1])


def test_trained_detectors_are_not_updated(watcher: VideoMemAE, squares):
    for change in (lambda: watcher.update(squares(80)), lambda: watcher.accept(squares(80), [[(0.0, 1.0)]])):
        with pytest.raises(OptionError, match="the memory of this detector was trained on pixels"):
            change()


def test_features_that_videos_do_not_have_are_refused():
    with pytest.raises(OptionError, match=r"features of videos must be one of auto, .*; got 'resnet'"):
        VideoMemAE(features="resnet").fit(street(60, 1))
    with pytest.raises(OptionError, match="learn no items; leave n_items=5 out"):
        VideoMemAE(n_items=5, features="efficientnet-lite0").fit(street(60, 1))


# ------------------------------------------------------------------------------------------------------- the street


@pytest.fixture(scope="module")
def fitted():
    return VideoMemAE(random_state=0, kept_samples=800).fit([street(200, seed) for seed in (0, 1, 2)])


@pytest.fixture(scope="module")
def other():
    """A normal film that the detector has not seen."""
    return street(200, 8)


@pytest.fixture(scope="module")
def left_behind(other):
    """A box stands on the walkway from frame 60 to 140."""
    seen = other.copy()
    seen[60:140, 30:44, 40:54] = 255
    return seen


def flagged(detector, seen):
    return detector.anomaly_score(seen) > detector.threshold_


@pretrained
def test_another_normal_film_is_not_flagged_in_any_light_or_at_half_the_rate(fitted, other):
    scores = fitted.anomaly_score(other)
    assert (scores > fitted.threshold_).mean() <= 0.1
    darker = fitted.anomaly_score((other * 0.55).astype(np.uint8))
    assert np.abs(darker - scores).max() < 0.1 * fitted.threshold_
    assert flagged(fitted, other[::2]).mean() <= 0.1


def noisy(seen, deviation=10):
    """The same film by a noisier sensor."""
    return (seen + np.random.default_rng(0).normal(0, deviation, seen.shape)).clip(0, 255).astype(np.uint8)


@pretrained
def test_a_noisier_day_is_not_flagged_throughout(fitted, other):
    plain = beyond(fitted.scorer_, None)
    scores = fitted.anomaly_score(noisy(other))
    assert (scores > fitted.threshold_).mean() <= 0.1
    bare = copy.deepcopy(fitted)
    bare.scorer_ = plain
    assert (bare.anomaly_score(noisy(other)) > fitted.threshold_).mean() > 0.5


COVERS = {
    "covered": lambda seen: seen * 0,
    "inverted": lambda seen: 255 - seen,
    "moved": lambda seen: np.roll(seen, 20, 2),
}


@pretrained
@pytest.mark.parametrize("cover", COVERS.values(), ids=COVERS)
def test_a_camera_that_is_covered_or_moved_is_flagged(fitted, other, cover):
    assert flagged(fitted, cover(other)).all()


@pretrained
def test_files_of_features_that_are_not_centred_are_read(fitted):
    spec, features = Lite(0).frames((1, 1, 120, 180))
    assert FrameSpec(spec.photo, spec.side).centred is False  # what a header without the entry means
    clip = torch.rand(2, 1, 1, 120, 180, generator=torch.Generator().manual_seed(0))
    found = features.joined(clip)
    assert torch.allclose(found.mean((2, 3)), torch.zeros(2, spec.patches), atol=1e-5)
    older = replace(spec, centred=False).build(features.network).joined(clip)
    assert torch.allclose(older - older.mean((2, 3), keepdim=True), found, atol=1e-5)


@pretrained
def test_a_box_is_found_within_a_second_and_for_as_long_as_it_stands(fitted, left_behind):
    found = flagged(fitted, left_behind)
    assert not found[:45].any()
    assert found[60:85].any()
    assert found[85:130].all()
    assert not found[160:].any()


@pretrained
def test_an_accepted_alarm_is_not_raised_again_and_others_are(fitted, other, left_behind):
    done = fitted.accept(left_behind, [[(60 / 25, 139 / 25)]])
    assert done.detector.threshold_ == fitted.threshold_
    assert done.before[0] > fitted.threshold_ >= done.after[0]
    assert 0 < done.added == done.replaced < 400
    assert not flagged(done.detector, left_behind).any()
    assert flagged(fitted, left_behind)[85:130].all()  # the former one stays
    assert flagged(done.detector, other).mean() <= 0.1
    with pytest.raises(InputError, match="there is nothing to accept"):
        done.detector.accept(left_behind, [[(60 / 25, 139 / 25)]])


@pretrained
def test_a_detector_is_the_same_from_its_file_and_as_a_copy(fitted, other, tmp_path: Path):
    fitted.save(tmp_path / "m")
    scores = fitted.anomaly_score(other[:60])
    assert np.array_equal(load(tmp_path / "m").anomaly_score(other[:60]), scores)
    assert np.array_equal(copy.deepcopy(fitted).anomaly_score(other[:60]), scores)


@pretrained
def test_a_new_day_joins_without_training(fitted, left_behind):
    day = fitted.update([street(120, 5), street(120, 6)])
    assert day.learned_ == fitted.learned_ + 240
    assert len(day.calibration_.scores) == 60
    assert {name.rpartition(" of ")[2] for name in day.examples_.names if " of " in name} == {"update 1"}
    assert torch.equal(day.scorer_.features.mean, fitted.scorer_.features.mean)
    assert flagged(day, left_behind)[85:130].all()
    with pytest.raises(InputError, match=r"can promise a false-alarm rate of 0\.0769 at best, not 0\.05: give 76 or"):
        fitted.update(street(48, 5))
