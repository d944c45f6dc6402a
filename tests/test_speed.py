"""The speed benchmark: variants are timed in turn, and the page says what was recorded."""

import numpy as np
import pytest

from measurements.speed import page
from measurements.timing import Timing, interleaved, ratio


def test_a_ratio_is_that_of_the_least_times_with_the_spread_of_the_rounds():
    slow, fast = Timing((4.0, 6.0, 5.0)), Timing((2.0, 2.0, 2.5))
    found = ratio(slow, fast)
    assert found["value"] == 2.0
    assert found["n"] == 3
    assert found["std"] == pytest.approx(np.std([2, 3, 2], ddof=1))


def test_variants_run_in_turn_after_one_call_that_does_not_count():
    calls = []
    now = iter(range(100))
    times = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, lambda: next(now))
    assert "".join(calls) == "ababab"
    assert times["a"].samples == times["b"].samples == (1, 1)
    assert times["a"].as_json()["rounds"] == 2


def test_the_committed_page_is_what_the_records_say(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra bench")
    shown = page.PAGE.read_text()
    monkeypatch.setattr(page, "PAGE", tmp_path / "speed.md")
    monkeypatch.setattr(page, "PICTURES", tmp_path / "speed")
    page.render()
    assert (tmp_path / "speed.md").read_text() == shown
    assert len(list((tmp_path / "speed").glob("*.png"))) == shown.count(".png)")
