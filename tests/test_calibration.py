"""p-values and thresholds against direct counts, and the false alarms that they promise."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from memae.errors import InputError, OptionError
from memae.scoring.calibration import Calibration, Judged, discoveries, fewest_discoveries

# Few different values, so that ties are the rule.
TIED = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=40)
ANY = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


@given(TIED | ANY, TIED | ANY)
def test_p_values_are_a_direct_count(held, scores):
    found = Calibration(torch.tensor(held, dtype=torch.float64)).p_value(torch.tensor(scores, dtype=torch.float64))
    wanted = [(1 + sum(h >= s for h in held)) / (len(held) + 1) for s in scores]
    assert found.tolist() == wanted
    assert found.dtype == torch.float64


@given(TIED | ANY, TIED | ANY, st.floats(0.001, 0.999), st.integers(1, 40))
def test_a_sample_is_flagged_above_the_threshold_exactly_if_its_p_value_is_low(held, scores, rate, numerator):
    n = len(held)
    for each in (rate, numerator / (n + 1)):
        if not 0 < each < 1:
            continue
        assume(each == numerator / (n + 1) or abs(each * (n + 1) - round(each * (n + 1))) > 1e-8)
        calibration = Calibration(torch.tensor(held, dtype=torch.float64), each)
        s = torch.tensor(scores + held, dtype=torch.float64)
        flagged = s > calibration.threshold()
        assert torch.equal(flagged, calibration.p_value(s) <= calibration.false_alarm_rate)
        assert float(flagged[len(scores) :].double().mean()) <= each  # never more of the held-out ones themselves


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.3])
@pytest.mark.parametrize("ties", [False, True])
def test_normal_samples_are_flagged_as_rarely_as_promised(rate, ties):
    rng = np.random.default_rng(0)
    n, m, rounds = 199, 100, 300
    alarms = []
    for _ in range(rounds):
        scores = torch.from_numpy(rng.exponential(size=n + m).round(1) if ties else rng.exponential(size=n + m))
        alarms.append(float((scores[n:] > Calibration(scores[:n], rate).threshold()).double().mean()))
    k = math.floor(rate * (n + 1) + 1e-9)
    mean = k / (n + 1)
    # Given the held-out scores the rate is Beta(k, n + 1 - k); over m new samples the count is beta-binomial.
    deviation = math.sqrt(mean * (1 - mean) * (n + 1 + m) / (m * (n + 2)))
    band = 4 * deviation / math.sqrt(rounds)
    assert np.mean(alarms) <= mean + band
    if not ties:
        assert np.mean(alarms) >= mean - band
        assert np.std(alarms) == pytest.approx(deviation, rel=0.25)


@pytest.mark.parametrize("percent", range(1, 100))
def test_whole_percentages_lose_nothing_to_rounding(percent):
    calibration = Calibration(torch.arange(99.0), percent / 100)  # 0.29 · 100 is 28.999999999999996
    assert calibration.threshold() == 99 - percent
    assert float(calibration.p_value(torch.tensor(99.5 - percent))) == percent / 100


@pytest.mark.parametrize("n", [1, 5, 18])
def test_too_few_held_out_scores_flag_nothing(n):
    calibration = Calibration(torch.arange(float(n)), 0.05)
    assert calibration.threshold() == math.inf
    assert (calibration.p_value(torch.tensor([1e300])) > 0.05).all()
    assert calibration.smallest_rate() == 1 / (n + 1)
    assert math.isfinite(calibration.threshold(calibration.smallest_rate()))
    assert math.isfinite(Calibration(torch.arange(19.0), 0.05).threshold())


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30), st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_a_higher_rate_never_raises_the_threshold(held, one, other):
    calibration = Calibration(torch.tensor(held))
    low, high = sorted((one, other))
    assert calibration.threshold(high) <= calibration.threshold(low)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_every_rate_below_one_has_a_threshold(n):
    calibration = Calibration(torch.arange(float(n)))
    for rate in (1 - 1e-6, 1 - 1e-9, 1 - 1e-12, math.nextafter(1.0, 0.0)):
        assert calibration.threshold(rate) >= 0.0


def test_the_order_of_held_out_scores_does_not_matter_and_shape_is_kept():
    held = torch.tensor([3.0, 1.0, 2.0])
    a, b = Calibration(held), Calibration(held.flip(0).reshape(1, 3))
    s = torch.tensor([[0.0, 1.0], [2.5, 9.0]])
    assert torch.equal(a.p_value(s), b.p_value(s))
    assert a.p_value(s).tolist() == [[1.0, 1.0], [0.5, 0.25]]
    assert held.tolist() == [3.0, 1.0, 2.0]


@pytest.mark.parametrize("scores", [[], [1.0, math.nan], [math.inf]])
def test_scores_that_say_nothing_are_refused(scores):
    with pytest.raises(InputError, match="calibration"):
        Calibration(torch.tensor(scores))


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 5, math.nan])
def test_rates_outside_zero_and_one_are_refused(rate):
    with pytest.raises(OptionError, match="between 0 and 1"):
        Calibration(torch.ones(3), rate)
    with pytest.raises(OptionError, match="between 0 and 1"):
        Calibration(torch.ones(3)).threshold(rate)


def test_strength_is_0_for_the_lowest_known_score_and_1_at_the_threshold():
    calibration = Calibration(torch.linspace(-5.0, 5.0, 99), false_alarm_rate=0.1)
    high = calibration.threshold()
    found = calibration.strength(torch.tensor([-9.0, -5.0, (high - 5) / 2, high, 2 * high + 5]))
    assert found.tolist() == pytest.approx([0, 0, 0.5, 1, 2], abs=1e-5)


# ------------------------------------------------------------------------------------------------------- discoveries


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60), st.floats(0.001, 0.999))
def test_discoveries_are_those_of_benjamini_and_hochberg(hundredths, rate):
    p_values = torch.tensor(hundredths, dtype=torch.float64) / 100
    adjusted = false_discovery_control(p_values.numpy())
    assume((abs(adjusted / rate - 1) > 1e-8).all())
    assert discoveries(p_values, rate).tolist() == (adjusted <= rate).tolist()


def test_discoveries_lose_nothing_to_rounding():
    for percent in range(1, 100):  # one p-value in a hundred exactly on the line
        p_values = torch.ones(100, dtype=torch.float64)
        p_values[:29] = percent / 100 * 29 / 100
        assert int(discoveries(p_values, percent / 100).sum()) == (100 if percent == 100 else 29)


def test_no_samples_are_no_discoveries_and_a_rate_must_be_one():
    assert discoveries(torch.zeros(0), 0.1).tolist() == []
    for rate in (0, 1, -1, math.nan):
        with pytest.raises(OptionError, match="false-discovery rate must lie between 0 and 1"):
            discoveries(torch.ones(3), rate)


def test_of_those_named_as_many_are_normal_as_promised():
    """The share of false ones among discoveries, over many batches that share no held-out scores."""
    rng = np.random.default_rng(0)
    rate, false = 0.1, []
    for _ in range(400):
        calibration = Calibration(torch.from_numpy(rng.normal(size=400)))
        scores = torch.from_numpy(np.concatenate([rng.normal(size=180), rng.normal(4, 1, size=20)]))
        found = discoveries(calibration.p_value(scores), rate)
        false.append(float(found[:180].sum() / max(int(found.sum()), 1)))
    expected = rate * 180 / 200
    assert abs(np.mean(false) - expected) < 4 * np.std(false) / math.sqrt(400)


@given(st.integers(1, 500), st.integers(1, 500), st.floats(0.01, 0.5))
def test_fewer_samples_above_all_held_out_scores_are_no_discoveries(held_out, samples, rate):
    assume(abs(samples / (rate * (held_out + 1)) % 1 - 0.5) < 0.499)
    fewest = fewest_discoveries(held_out, samples, rate)
    for count in {fewest - 1, fewest} & set(range(samples + 1)):
        p_values = torch.ones(samples, dtype=torch.float64)
        p_values[:count] = 1 / (held_out + 1)
        assert int(discoveries(p_values, rate).sum()) == (count if count == fewest else 0)


def test_one_decision_of_any_score():
    calibration = Calibration(torch.tensor([0.1, 0.2, 0.3, 0.4]), 0.2)
    scores = torch.tensor([0.05, 0.4, 0.5, torch.inf, torch.nan])
    judged = calibration.judge(scores)
    assert judged.score.dtype == judged.p_value.dtype == torch.float64
    assert judged.is_anomaly.tolist() == [False, False, True, True, True]
    assert torch.equal(judged.p_value, calibration.p_value(scores))
    joined = Judged.joined([judged, judged])
    assert [len(column) for column in joined] == [10, 10, 10]
    assert [len(column) for column in Judged.joined([])] == [0, 0, 0]
    assert not Calibration(torch.ones(3), 0.01).judge(torch.tensor([1e9])).is_anomaly  # no promise, no flag
