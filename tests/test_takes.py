"""The study of what the paper leaves open: its design, its networks, its runs, and its page with few records."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("scipy")

import torch

from recording import jobs, records
from reproduction.datasets import Images
from reproduction.table1 import recipes
from reproduction.table1 import runs as table1
from reproduction.takes import page, runs, stages
from reproduction.takes.design import array
from reproduction.takes.networks import built
from reproduction.takes.problems import TASKS, Scaling, through_jpeg
from reproduction.takes.settings import VARIANTS, Setting
from reproduction.takes.stages import Row
from reproduction.takes.studies import STUDIES

RANDOM = np.random.default_rng(0)
LABELS = np.repeat(np.arange(10), 60).astype(np.uint8)
PIXELS = (RANDOM.integers(0, 20, (600, 28, 28)) + 200 * (np.arange(28) // 3 == LABELS[:, None])[:, None]).astype(
    np.uint8
)


def test_any_two_factors_have_each_pair_of_levels_equally_often_and_the_mirror_separates_joint_effects():
    both = np.array([*array(15), *array(15, mirrored=True)], int) * 2 - 1
    assert (both[:16].T @ both[:16] == 16 * np.eye(15)).all()
    for one in range(15):
        for other in range(one):
            joint = both[:, one] * both[:, other]
            assert (both.T @ joint == 0).all()  # no main effect is mixed up with it
    with pytest.raises(ValueError, match="room for 15"):
        array(16)


@pytest.mark.parametrize("name", STUDIES)
def test_screening_tries_32_settings_and_a_step_changes_one_factor(name):
    study = STUDIES[name]
    rows = study.screening()
    assert len(set(rows)) == 32
    steps = list(study.steps(rows[0]))
    assert steps
    for step in steps:
        changed = [
            factor for factor in (*study.factors, *study.unscreened)
            if any(level.holds(step) and not level.holds(rows[0]) for level in factor.levels)
        ]  # fmt: skip
        assert len(changed) == 1


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_the_defaults_build_the_networks_of_table_1(dataset):
    task = TASKS[dataset]
    of_table = (recipes.autoencoder, recipes.without_sparsity, recipes.paper)
    for variant, recipe in zip(VARIANTS, of_table, strict=True):
        mine = built(task.shape, task.layout, task.items, Setting(), variant, 3).state_dict()
        theirs = recipe(dataset, 3).build().state_dict()
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    for setting in STUDIES[dataset].screening():
        model = built(task.shape, task.layout, task.items, setting, "memae", 0)
        assert model(torch.rand(2, *task.shape)).x_hat.shape == (2, *task.shape)


def test_what_makes_no_difference_to_a_variant_makes_no_further_run():
    setting = replace(Setting(), temperature=0.1, shrinkage=3.0, padding=0)
    assert setting.of("ae") == replace(Setting(), padding=0)
    assert setting.of("memae_nonspar") == replace(setting, shrinkage=1.0)
    assert setting.of("memae") == setting


def test_ranges_and_copies():
    images = torch.rand(50, 1, 8, 8) * 0.5
    assert torch.equal(Scaling(images, "signed")(images), images * 2 - 1)
    for kind in ("standardised", "each"):
        scaled = Scaling(images, kind)(images)
        assert scaled.mean().abs() < 1e-5
        assert abs(scaled.std() - 1) < 1e-2
    copy = through_jpeg(PIXELS[0])
    assert copy.shape == (28, 28)
    assert 0 < np.abs(copy.astype(int) - PIXELS[0]).mean() < 20


def test_a_histogram_keeps_the_ranking():
    labels, scores = np.array([0, 0, 1, 1]), np.array([1.0, 2.0, 3.0, 5.0])
    found = runs.histogram(labels, scores)
    assert (sum(found["normal"]), sum(found["anomalous"])) == (2, 2)
    assert np.flatnonzero(found["anomalous"]).min() > np.flatnonzero(found["normal"]).max()


def test_an_effect_is_the_difference_of_its_levels():
    study = STUDIES["mnist"]
    factor = study.factors[0]
    rows = [
        Row(each, {2: {"ae": 0.8, "memae_nonspar": 0.8, "memae": 0.8 + 0.05 * factor.high.holds(each)}})
        for each in study.screening()
    ]
    assert page.effects(factor, rows, study.parts) == pytest.approx([0, 0, 0.05, 0.05])
    assert page.effects(study.factors[1], rows, study.parts) == pytest.approx([0, 0, 0, 0], abs=1e-12)
    assert page.effects(factor, rows[:3], study.parts) is None


def test_runs_are_recorded_and_the_page_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(table1, "load", lambda _: (Images(PIXELS, LABELS), "checksum"))
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(page, "PAGE", tmp_path / "takes.md")
    monkeypatch.setattr(page, "PICTURES", tmp_path / "takes")
    page.render()
    assert "No row of the screening" in (tmp_path / "takes.md").read_text()
    quick = replace(STUDIES["mnist"], base=Setting(), factors=(STUDIES["mnist"].factors[0],), parts=(2,))
    monkeypatch.setitem(STUDIES, "mnist", quick)
    monkeypatch.setattr(quick.__class__, "screening", lambda _: [replace(Setting(), epochs=2, batch=16)])
    for job in stages.screening("mnist"):
        jobs._done(job)
        record = job.record()
        assert set(record["ends"]) == {"lowest", "last"}
        assert len(record["curve"]) == 2
    page.render()
    text = (tmp_path / "takes.md").read_text()
    assert "3 of 3" in text
    assert "Chosen with the labels of the test" in text
