"""Table 1: the problems are the paper's, every method runs, and the page says what was recorded."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy")

import torch

from memae.networks.efficientnet_lite import installed
from recording import records
from reproduction.datasets import Images
from reproduction.protocol import one_class, tensor
from reproduction.recipe import Curve
from reproduction.table1 import methods, recipes, runs
from reproduction.table1.methods import OURS, OURS_FEATURES, OURS_WITHOUT_MEMORY, TABLE
from reproduction.table1.scores import SCORES

RANDOM = np.random.default_rng(0)
LABELS = np.repeat(np.arange(10), 90).astype(np.uint8)
PIXELS = (RANDOM.integers(0, 20, (900, 28, 28)) + 200 * (np.arange(28) // 3 == LABELS[:, None])[:, None]).astype(
    np.uint8
)
IMAGES = Images(PIXELS, LABELS)  # each class has its own bright stripe


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("normal", [0, 7])
def test_problems_are_drawn_as_the_paper_says(normal, seed):
    problem = one_class(IMAGES, normal, seed)
    assert (len(problem.training), len(problem.held_out)) == (54, 6)  # of 90 normal ones 60, a tenth of them held out
    assert (problem.labels == 0).sum() == 30
    assert problem.labels.mean() == pytest.approx(0.3, abs=0.01)
    assert ((problem.classes != normal) == problem.labels).all()
    parts = [problem.training, problem.held_out, problem.test[problem.labels == 0]]
    every = np.concatenate(parts).reshape(90, -1)
    assert len(np.unique(every, axis=0)) == 90  # nothing is drawn twice
    assert (np.sort(every, 0) == np.sort(PIXELS[normal == LABELS].reshape(90, -1), 0)).all()
    again, other = one_class(IMAGES, normal, seed), one_class(IMAGES, normal, seed + 2)
    assert all(np.array_equal(a, b) for a, b in zip(problem, again, strict=True))
    assert not np.array_equal(problem.test, other.test)


@pytest.mark.parametrize("method", [each.key for each in TABLE.methods])
def test_every_method_runs_and_finds_another_stripe(method, monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "load", lambda name: (IMAGES, "checksum"))
    monkeypatch.setattr(
        methods, "EPOCHS", {name: {"mnist": 20 if name == "vae" else 4} for name in ("vae", "dsebm", "pixelcnn")}
    )
    monkeypatch.setitem(recipes.SETS, "mnist", recipes.SETS["mnist"].__class__(
        (1, 28, 28), recipes.SETS["mnist"].layout, 20, 60))  # fmt: skip
    if method.startswith("ours"):
        quick = (
            replace(OURS_WITHOUT_MEMORY, run=runs.ours(epochs=20, n_items=0, warmup=0)),
            replace(OURS, run=runs.ours(epochs=20, n_items=20, warmup=1)),
            replace(OURS_FEATURES, run=runs.ours(features="efficientnet-lite0")),
        )
        monkeypatch.setattr(methods, "TABLE", replace(TABLE, methods=quick))
    if method == "ours_features" and not installed(0):
        pytest.skip("needs the extra features")
    if method == "pca_128":
        pytest.skip("the generated class has fewer images")
    found = methods.measure("mnist", method, 4, 0, tmp_path / "run.checkpoint")
    assert found["data"] == "checksum"
    own = found["auroc"][found["score"]]
    assert own > 0.6 or method == "pixelcnn"  # to which a stripe elsewhere looks the same
    assert json.loads(json.dumps(found)) == found
    if method in ("ae", "memae_nonspar", "memae_paper", "memae_authors"):
        assert next(iter(found["auroc"])) == ("absolute" if method == "memae_authors" else "squared")
        assert set(found["auroc"]) == set(SCORES)
        assert len(found["curve"]) == len(found["held_out_error"]) == 60
        assert found["curve"][found["epoch"] - 1] == own
        assert found["epoch"] == int(np.argmin(found["held_out_error"])) + 1
    assert not list(tmp_path.glob("*.curve"))
    (tmp_path / "run.checkpoint").unlink(missing_ok=True)
    again = methods.measure("mnist", method, 4, 0, tmp_path / "run.checkpoint")
    assert again["auroc"] == found["auroc"]  # same seed, same figures


def test_a_training_goes_on_with_its_curve(tmp_path):
    curve = Curve(tmp_path / "a.curve")
    curve.add(1, 0.25)
    curve.add(3, 1 / 3)
    assert Curve(tmp_path / "a.curve").values(4) == [0.25, None, 1 / 3, None]


def test_the_settings_are_the_papers_and_the_authors():
    plain, full, bare, theirs = (
        make("mnist", 0) for make in (recipes.autoencoder, recipes.paper, recipes.without_sparsity, recipes.authors)
    )
    assert plain.spec.memory is None
    assert (plain.spec.widths, plain.spec.strides) == ((32, 16, 8), ((2, 2), (2, 2), (3, 3)))
    memory = full.spec.memory
    assert (memory.items, memory.similarity, memory.temperature, memory.shrinkage) == (100, "cosine", 1.0, 1.0)
    assert (full.options.alpha, bare.options.alpha) == (0.0002, 0.0)
    assert bare.spec.memory.shrinkage == 0
    assert theirs.spec.memory.similarity == "dot"
    assert theirs.spec.memory.shrinkage / theirs.spec.memory.items == pytest.approx(0.0025)
    assert (theirs.score, theirs.options.reduction, theirs.signed) == ("absolute", "mean", True)
    images = torch.tensor([[[[0.0, 1.0]]]])
    assert theirs.scaled(images).tolist() == [[[[-1.0, 1.0]]]]
    assert torch.equal(theirs.unit(theirs.scaled(images)), images)
    settings = {
        (each.options.epochs, each.options.batch_size, each.options.learning_rate)
        for each in (plain, full, bare, theirs)
    }
    assert len(settings) == 1  # the memory alone makes the difference
    assert recipes.paper("cifar10", 0).spec.memory.items == 500


def test_scores_are_what_they_say():
    x = tensor(PIXELS[:3])
    x_hat = x * 0.9
    energy = x.double().square().flatten(1).sum(1)
    torch.testing.assert_close(SCORES["squared"](x, x_hat), 0.01 * energy, rtol=1e-4, atol=0)
    torch.testing.assert_close(SCORES["absolute"](x, x_hat), 0.1 * x.double().flatten(1).mean(1), rtol=1e-4, atol=0)
    torch.testing.assert_close(SCORES["relative"](x, x_hat), torch.full((3,), 0.01).double(), rtol=1e-4, atol=0)
    smooth = torch.ones(1, 1, 28, 28)
    smooth[..., :3] = smooth[..., -3:] = smooth[..., :3, :] = smooth[..., -3:, :] = 0
    inside = SCORES["relative blurred"](smooth, smooth - 0.1)
    assert 0.007 < float(inside) < 0.02


# ------------------------------------------------------------------------------------------------------------- the page


def recorded(dataset: str, method: str, normal: int, seed: int, auroc: float, **more: Any) -> None:
    one = TABLE.job(TABLE.method(method), dataset, seed, normal)
    names = list(SCORES) if method == "ae" else ["squared"]
    found = {
        "score": "squared",
        "auroc": dict.fromkeys(names, auroc),
        "average_precision": dict.fromkeys(names, auroc / 2),
    }
    provenance = {"command": "x", "commit": f"c{seed}"}
    records.write(one.path, {"arguments": one.arguments, "provenance": provenance, "seconds": 2.0, **found, **more})


def test_the_page_has_the_means_the_differences_and_the_figures_of_the_scoreboard(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="needs the extra bench")
    from reproduction.table1 import page

    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(page, "PICTURES", tmp_path / "pictures")
    assert page.section() == ["## Table 1: images", "", *page.NOTES.read_text().splitlines()]
    for seed in range(3):
        for normal in range(10):
            broken_off = None if normal == 3 else 0.6
            curve = {"curve": [0.5, broken_off, 0.95], "held_out_error": [3.0, 2.0, 1.0]}
            recorded("mnist", "ae", normal, seed, 0.9 + 0.001 * seed + 0.002 * (normal - 4.5), **curve)
            recorded("mnist", "memae_paper", normal, seed, 0.92 + 0.002 * (normal - 4.5), **curve)
            recorded("mnist", "memae_authors", normal, seed, 0.91, **curve)
            if seed < 2 or normal < 9:
                recorded("mnist", "ours", normal, seed, 0.99)
    recorded("cifar10", "ae", 0, 0, 0.5)  # a table that is not there yet
    text = "\n".join(page.section())
    assert "| AE | 0.9619 | 0.9010 ± 0.0010 (3 seeds) | 0.8985 … 0.9035 | -0.0609 | 0.4505 | 0.9500 | 2 |" in text
    assert "| **ours**: `ImageMemAE()` | – | 0.9900 ± 0.0000 (2 seeds)" in text
    assert "| control: AE, score: relative | – | 0.9010 |" in text
    assert "MemAE, as printed over AE: +0.0200, +0.0190, +0.0180 by seed; better in 10 of 10 classes" in text
    assert "### CIFAR" not in text
    assert (tmp_path / "pictures" / "curves_mnist.png").stat().st_size > 10_000
    figures = json.loads((tmp_path / "results" / "table1.json").read_text())["mnist"]["figures"]
    assert figures["table1/mnist/memae/auroc"] == {"value": pytest.approx(0.92), "std": pytest.approx(0), "n": 3}
    assert figures["table1/mnist/memae_minus_ae/auroc_worst_seed"]["value"] == pytest.approx(0.018)
    assert figures["table1/mnist/ours_minus_best_control/auroc"]["value"] == pytest.approx(0.089)
    assert figures["table1/mnist/ae/auroc"]["std"] == pytest.approx(0.001)


def test_jobs_are_every_method_class_and_seed_and_no_more():
    names = [each.name for each in TABLE.jobs()]
    count = len(TABLE.methods)
    assert len(set(names)) == len(names) == 10 * (3 * (count - 1) + 3 * (count - 4) + 4)
    assert len(TABLE.seeds(TABLE.method("vae"), "cifar10")) == 1
    assert len({method.key for method in TABLE.methods}) == len({method.title for method in TABLE.methods}) == count
    assert set(TABLE.cells) == set(recipes.SETS)
    wanted = TABLE.jobs(["mnist"], [TABLE.method("ae")], [7], [3])
    assert [each.arguments for each in wanted] == [{"dataset": "mnist", "method": "ae", "normal": 3, "seed": 7}]


def test_the_committed_page_is_what_the_runs_say(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra bench")
    from reproduction import figures
    from reproduction import page as reproduce
    from reproduction.table1 import page
    from reproduction.table2 import page as table2
    from reproduction.table3 import page as table3

    shown = Path(reproduce.PAGE).read_text()
    summary = (records.RESULTS / "summary.json").read_text()
    results = tmp_path / "results"
    results.mkdir()
    (results / "runs").symlink_to(records.RESULTS / "runs")
    for path in records.RESULTS.glob("*.json"):
        (results / path.name).write_text(path.read_text())
    monkeypatch.setattr(records, "RESULTS", results)
    monkeypatch.setattr(reproduce, "PAGE", tmp_path / "reproduce.md")
    for part in (page, table2, table3, figures):
        monkeypatch.setattr(part, "PICTURES", tmp_path / "reproduce")
    reproduce.render()
    assert (tmp_path / "reproduce.md").read_text() == shown
    assert (results / "summary.json").read_text() == summary
    assert len(list((tmp_path / "reproduce").glob("*.png"))) == shown.count(".png)")
