"""`python -m measurements calibration`: how splits are drawn, what is counted, and the page, on made-up scores."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from measurements import calibration, trust_page
from measurements.calibration import SPLITS, Held, drifts, halves, measured
from memae.scoring.calibration import Calibration
from recording import records

RNG = np.random.default_rng(0)


def held(videos: int = 0) -> Held:
    """Normal scores; of videos, with a level of its own for each."""
    group = np.repeat(np.arange(videos), 150) if videos else np.arange(1200)
    scores = RNG.normal(size=len(group)) + (RNG.normal(0, 3, videos)[group] if videos else 0)
    return Held(scores, group, Calibration(torch.from_numpy(RNG.normal(size=300))), RNG.normal(2, 1, 200), 1.5)


def test_halves_keep_groups_whole_and_differ_by_seed() -> None:
    group = np.repeat(np.arange(9), 4)
    seen = set()
    for seed in range(20):
        one = halves(group, seed)
        assert {len(set(part)) for part in np.split(one, 9)} == {1}
        assert one.sum() == 4 * 4
        seen.add(tuple(one))
    assert len(seen) > 15


def test_splits_of_samples_keep_the_promise_and_those_of_videos_do_not() -> None:
    alone = drifts(held().scores, np.arange(1200), 0.05)
    assert sum(map(calibration.inside, alone)) >= SPLITS - 4
    videos = held(8)
    assert sum(map(calibration.inside, drifts(videos.scores, videos.group, 0.05))) < SPLITS / 2


def test_the_page_is_rendered_from_what_was_measured(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    monkeypatch.setattr(trust_page, "PAGE", tmp_path / "trust.md")
    for name in ("ROUNDS", "BATCHES", "SERIES"):
        monkeypatch.setattr(calibration, name, 20)
    simulation = calibration.simulated()
    assert simulation["figures"]["calibration/simulation/share_inside_band"]["value"] > 0.8
    records.save("calibration", "simulation", simulation)
    for name in trust_page.TITLES:
        records.save("calibration", name, measured(name, held(8 if name == "ped2" else 0)))
    records.save("calibration", "together", {"figures": {calibration.KEY: records.figure(0.975, 0.1, 120)}})
    trust_page.render()
    page = (tmp_path / "trust.md").read_text()
    assert "**97.5%** of 120" in page
    assert page.count("| UCSD Ped2, frames | whole videos at random |") == 2
    assert page.count("| the test part |") == 6
    assert page.count("| higher |") >= 4  # the test part lies 2 deviations higher than what `fit` held out
    found = json.loads((tmp_path / "calibration.json").read_text())
    assert set(found["ped2"]["figures"]) == {
        "calibration/ped2/samples/share_inside_band",
        "calibration/ped2/videos/share_inside_band",
        "calibration/ped2/videos_counted_as_fewer/share_inside_band",
    }
    assert json.loads((tmp_path / "summary.json").read_text())[calibration.KEY]["value"] == 0.975
