"""The band of the promise against simulation and theory, and the verdict on scores that have moved or have not."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memae.errors import InputError
from memae.scoring.calibration import Calibration, counts
from memae.scoring.drift import LEVEL, correlation_time, drift, drift_of_counts, promised_band


def normal(n, seed, mean=0.0, spread=1.0):
    return mean + spread * torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def series(n, seed, memory):
    """Scores that follow each other like those of frames."""
    drawn = np.random.default_rng(seed).normal(size=n + 500) * math.sqrt(1 - memory**2)
    out = np.zeros(n + 500)
    for place in range(1, n + 500):
        out[place] = memory * out[place - 1] + drawn[place]
    return torch.from_numpy(out[500:])


# ------------------------------------------------------------------------------------------------------------ the band


@pytest.mark.parametrize(("held_out", "samples"), [(99, 50), (399, 1000), (999, 200)])
@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_the_realised_rate_lies_in_the_band_as_often_as_promised(held_out, samples, rate):
    rng = np.random.default_rng(held_out)
    inside, rounds = 0, 600
    low, high = promised_band(Calibration(torch.arange(float(held_out)), rate), samples)
    for _ in range(rounds):
        scores = torch.from_numpy(rng.exponential(size=held_out + samples))
        calibration = Calibration(scores[:held_out], rate)
        inside += low <= float((scores[held_out:] > calibration.threshold()).double().mean()) <= high
    assert inside / rounds >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / rounds)


@given(st.integers(1, 60), st.integers(1, 40), st.floats(0.02, 0.6), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_band_holds_its_share_of_the_beta_binomial(held_out, samples, rate, confidence):
    calibration = Calibration(torch.arange(float(held_out)), rate)
    low, high = promised_band(calibration, samples, confidence)
    allowed = round(calibration.promised() * (held_out + 1))
    if not allowed:
        assert (low, high) == (0, 0)
        return
    assert 0 <= low <= high <= 1

    def chance(count):
        """Of so many flagged samples: all orders of held-out and new scores are equally likely (Pólya's urn)."""
        a, b = allowed, held_out + 1 - allowed
        ways = math.comb(samples, count) * math.gamma(a + count) / math.gamma(a)
        return ways * math.gamma(b + samples - count) / math.gamma(b) * math.gamma(a + b) / math.gamma(a + b + samples)

    within = sum(chance(count) for count in range(round(low * samples), round(high * samples) + 1))
    assert within >= confidence - 1e-9
    assert sum(chance(count) for count in range(round(low * samples))) <= (1 - confidence) / 2 + 1e-9


def test_more_samples_and_held_out_scores_make_a_narrower_band():
    widths = []
    for held_out, samples in ((99, 100), (999, 100), (999, 1000), (9999, 10000)):
        low, high = promised_band(Calibration(torch.arange(float(held_out)), 0.05), samples)
        assert low <= 0.05 <= high
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)


# --------------------------------------------------------------------------------------------------------- the verdict


def test_scores_like_those_of_the_calibration_are_rarely_told_to_be_other():
    other = [
        drift(Calibration(normal(200, 2 * seed), 0.05), normal(150, 2 * seed + 1)).verdict != "like"
        for seed in range(150)
    ]
    assert np.mean(other) <= LEVEL + 3 * math.sqrt(LEVEL / 150)


@pytest.mark.parametrize(
    ("moved", "verdict"),
    [
        (normal(500, 1, mean=0.5), "higher"),
        (normal(500, 1, mean=-0.5), "lower"),
        (normal(500, 1, spread=2), "higher"),  # twice as many alarms
        (torch.cat([normal(450, 1), normal(50, 2, mean=6)]), "higher"),  # anomalies among them
        (normal(500, 1).clamp(max=1.3), "lower"),  # the same but for the highest: no alarm any more
        (torch.cat([normal(25, 1, mean=5), normal(475, 2, mean=-0.07, spread=0.3)]), "spread"),  # all else is closer
    ],
)
def test_scores_that_have_moved(moved, verdict):
    found = drift(Calibration(normal(800, 0), 0.05), moved)
    assert found.verdict == verdict
    assert found.p_value <= LEVEL
    assert found.realised == pytest.approx(
        float((moved > Calibration(normal(800, 0), 0.05).threshold()).double().mean())
    )
    assert "recalibrate" in found.sentence
    assert f"{found.realised:.2%}" in found.sentence
    assert ("(p < 0.0001)" in found.sentence) == (found.p_value < 1e-4)
    assert "p = 0)" not in found.sentence


def test_like_says_so_with_the_band():
    calibration = Calibration(normal(800, 0), 0.05)
    found = drift(calibration, normal(500, 1))
    assert (found.verdict, found.samples, found.independent) == ("like", 500, 500)
    assert (found.low, found.high) == promised_band(calibration, 500)
    assert found.promised == calibration.promised() == 40 / 801
    assert found.sentence.startswith("the scores are like at calibration")
    assert "recalibrate" not in found.sentence


def test_scores_that_follow_each_other_count_as_fewer():
    alarms = {True: 0, False: 0}
    for seed in range(60):
        calibration, today = Calibration(series(1500, seed, 0.95), 0.05), series(1000, 1000 + seed, 0.95)
        for correlated in alarms:
            found = drift(calibration, today, correlated=correlated)
            alarms[correlated] += found.verdict != "like"
            assert (found.independent < 100) == correlated
            assert ("worth" in found.sentence) == correlated
    assert alarms[True] <= 4  # of 60
    assert alarms[False] >= 20  # a test for independent scores would cry wolf
    assert drift(calibration, today + 3, correlated=True).verdict == "higher"


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_correlation_time_of_a_known_series(memory):
    found = np.mean([correlation_time(series(20_000, seed, memory)) for seed in range(5)])
    assert found == pytest.approx((1 + memory) / (1 - memory), rel=0.1)


def test_few_or_constant_scores_have_a_verdict_and_none_have_not():
    calibration = Calibration(normal(99, 0), 0.05)
    assert drift(calibration, torch.zeros(1), correlated=True).independent == 1
    assert drift(calibration, torch.zeros(3), correlated=True).verdict == "like"
    assert drift(calibration, torch.zeros(300)).verdict != "like"
    with pytest.raises(InputError, match="needs current scores"):
        drift(calibration, torch.zeros(0))
    hopeless = Calibration(normal(5, 0), 0.05)  # cannot promise such a rate, and flags nothing
    assert drift(hopeless, normal(20, 1)).promised == 0


# ------------------------------------------------------------------------------------------------------- from counts


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=40),
    st.lists(st.lists(st.integers(-1, 13), max_size=20), min_size=1, max_size=5),
    st.floats(0.02, 0.5),
)
def test_counts_of_parts_tell_what_the_whole_does(held_out, parts, rate):
    calibration = Calibration(torch.tensor(held_out).double(), rate)
    today = torch.tensor([score for part in parts for score in part]).double()
    n = len(held_out)
    counted = sum(counts(calibration.p_value(torch.tensor(part).double()), n) for part in parts)
    if not len(today):
        with pytest.raises(InputError, match="got none"):
            drift_of_counts(calibration, counted)
        return
    found = drift_of_counts(calibration, counted)
    assert found == drift_of_counts(calibration, counts(calibration.p_value(today), n))
    whole = drift(calibration, today)
    assert (found.low, found.high, found.promised) == (whole.low, whole.high, whole.promised)
    assert found.realised == pytest.approx(whole.realised)
    assert found.p_value >= whole.p_value * (1 - 1e-9), "cautious: distributions are compared at fewer places"


def test_counts_tell_nearly_as_much_as_scores():
    calibration = Calibration(normal(800, 0), 0.05)
    for mean, spread in ((0.0, 1.0), (0.3, 1.0), (-0.3, 1.0), (0.0, 1.5)):
        today = normal(600, 1, mean, spread)
        whole, found = drift(calibration, today), drift_of_counts(calibration, counts(calibration.p_value(today), 800))
        assert found.verdict == whole.verdict
        assert whole.p_value * (1 - 1e-9) <= found.p_value <= max(10 * whole.p_value, 0.01) or found.p_value == 1
    with pytest.raises(InputError, match="of another model"):
        drift_of_counts(calibration, torch.ones(5, dtype=torch.int64))
