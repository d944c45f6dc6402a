"""What a report keeps of any number of scores and videos, in constant memory."""

import numpy as np
import pytest
import torch

from memae import Calibration
from memae.report.films import Films, Moment
from memae.report.scores import Scale
from memae.report.tally import POINTS, REACH, SAMPLE, Bins, Common, Curve, Tally, Top
from memae.watch.watching import Rule

RNG = np.random.default_rng(0)


def test_bins_part_exactly_at_the_threshold() -> None:
    calibration = Calibration(torch.linspace(1.0, 2.0, 99), 0.05)
    bins, limit = Bins(calibration), calibration.threshold()
    near = np.array([np.nextafter(limit, -9), limit, np.nextafter(limit, 9)])
    bins.add(np.concatenate([near, [-1e30, 1e30]]))
    assert bins.counts[:REACH].sum() == 3
    assert bins.counts[REACH:].sum() == 2
    counted = Bins(calibration)
    counted.add(bins.centres)
    assert (counted.counts == 1).all()


def test_scores_that_are_all_equal_make_one_bar() -> None:
    scale = Scale(Bins(Calibration(torch.ones(20))), 1.0, 1.0)
    assert (scale.bars, scale.below) == (1, 1)
    assert scale.place(np.array([1.0])).tolist() == [1.0]
    assert scale.ticks


@pytest.mark.parametrize("high", [2.5, 40.0, 1e6])
def test_a_scale_places_scores_in_order_and_back(high: float) -> None:
    calibration = Calibration(torch.linspace(1.0, 2.0, 99), 0.05)
    scale = Scale(Bins(calibration), 1.0, high)
    scores = np.linspace(1.0, high, 50)
    places = scale.place(scores)
    assert (np.diff(places) > 0).all()
    np.testing.assert_allclose(scale.score(places), scores, rtol=1e-9)
    assert places[0] >= 0 and places[-1] <= 1 + 1e-9  # noqa: PT018
    assert scale.pressed == (high > 10)
    limit = scale.place(np.array([calibration.threshold()]))[0]
    assert limit == pytest.approx(scale.below / scale.bars)
    assert 2 <= len(scale.ticks) <= 8


def test_the_highest_scores_are_kept_with_those_alike() -> None:
    scores = RNG.integers(0, 50, 1000).astype(float)
    top = Top(5)
    for start in range(0, 1000, 64):
        top.add(scores[start : start + 64], start)
    wanted = {int(np.argmax(scores == value)): int((scores == value).sum()) for value in (49, 48, 47, 46, 45)}
    assert list(top.places.items()) == list(wanted.items())


def test_a_tally_samples_what_it_cannot_keep() -> None:
    calibration = Calibration(torch.linspace(0.0, 1.0, 99), 0.05)
    tally = Tally(calibration)
    scores = np.arange(3 * SAMPLE) / (3 * SAMPLE)
    for part in np.array_split(scores, 40):
        tally.add(part)
    assert tally.count == 3 * SAMPLE
    assert tally.flagged == (scores > calibration.threshold()).sum()
    assert SAMPLE / 4 < len(tally.sample) <= SAMPLE
    assert (np.diff(tally.sample) > 0).all()  # in their order
    assert tally.sample.mean() == pytest.approx(0.5, abs=0.01)


def test_a_curve_keeps_every_peak_and_alarm() -> None:
    curve = Curve()
    scores = RNG.random(10_000)
    scores[[17, 9000]] = 5.0, 7.0
    for score in scores:
        curve.add(score)
    curve.mark(9000, 9003)
    assert POINTS <= len(curve.scores) <= 2 * POINTS
    assert curve.scores[17 // curve.step] == 5.0
    assert curve.scores[9000 // curve.step] == 7.0
    assert curve.step * (len(curve.scores) - 1) < 10_000 <= curve.step * len(curve.scores)
    assert np.flatnonzero(curve.marked).tolist() == sorted({9000 // curve.step, 9003 // curve.step})


def test_what_rows_have_in_common_adds_up() -> None:
    common = Common(["a", "b"])
    common.add(np.array([[3.0, 1.0], [1.0, 1.0]]), np.array([4.0, 2.0]), np.array([5, 6]))
    common.add(np.array([[0.0, 8.0]]), np.array([8.0]), np.array([9]))
    assert common.rows == 3
    assert common.main.tolist() == [2, 1]
    assert common.example.tolist() == [5, 9]
    np.testing.assert_allclose(common.shares, [1.25 / 3, 1.75 / 3])


def test_of_many_videos_and_alarms_the_highest_are_kept() -> None:
    films = Films(Rule(1.0, 0.5))
    for number in range(40):
        films.open(f"v{number}")
        films.films[-1].curve.add(float(number))
        films.films[-1].peak = Moment(f"v{number}", 0, 0.0, float(number), 0.5)
    films.open("empty")
    films.close()
    assert films.videos == 40
    assert len(films.short) == 1
    assert [film.name for film in films.films] == [f"v{number}" for number in range(16, 40)]
    assert [moment.score for moment, _ in films.moments(3)] == [39.0, 38.0, 37.0]
