"""Tables 2 and 4: frames get the clips that the paper says, every method runs, and the page says what was recorded."""

import argparse
import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

pytest.importorskip("scipy")

import torch
from numpy.lib.stride_tricks import sliding_window_view

from memae.data.videos import Video, videos_of_array
from memae.networks.convolutional import Layout
from recording import records
from recording.commands import of_jobs
from reproduction import figures
from reproduction.baselines.conv2d import StackedFrames
from reproduction.baselines.conv3d import SpatioTemporal
from reproduction.table2 import methods, recipes, runs
from reproduction.table2.degrading import CHANGES, HALF_RATE
from reproduction.table2.methods import AUTHORS, CONV2D, CONV3D, TABLE
from reproduction.table2.runs import Problem, judged
from reproduction.table2.systems import SYSTEMS
from reproduction.video_sets import VideoSet

SIZE = (32, 32)
LABELS = [np.arange(40) >= 20, np.arange(40) < 15]


def moving(frames, speed, start=0.0):
    """A bright square that moves to the right, on a dark ground with a little noise."""
    noise = np.random.default_rng(int(start * 7 + frames)).integers(0, 10, (frames, *SIZE)).astype(np.uint8)
    for number in range(frames):
        left = int(start + np.sum(speed[:number])) % (SIZE[1] - 8)
        noise[number, 12:20, left : left + 8] += 150
    return noise


def problem():
    """Normal squares move by 1 a frame, others by 4."""
    training = videos_of_array([moving(60, np.ones(60), start) for start in range(0, 24, 6)])
    held_out = videos_of_array([moving(20, np.ones(20), 3.0)])
    test = videos_of_array([moving(40, 1 + 3 * labels, 5.0) for labels in LABELS])
    masks = [np.repeat(labels[:, None, None], SIZE[0], 1).repeat(SIZE[1], 2) for labels in LABELS]
    videos = VideoSet("ped2", (), (), lambda number: LABELS[number], lambda number: masks[number])
    return Problem(videos, training, held_out, test)


PROBLEM = problem()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(runs, "load", lambda size: (PROBLEM, "checksum"))
    monkeypatch.setattr(runs, "SHOWN", (1, 2))
    monkeypatch.setattr(runs, "ROUNDS", 2)
    about = replace(recipes.SCALES["cpu"], size=SIZE, layout=Layout((4, 8), ((2, 2, 2), (2, 2, 2))), epochs=2, every=2)
    monkeypatch.setitem(recipes.SCALES, "cpu", about)
    quick = {
        CONV2D: runs.compared(lambda seed: StackedFrames(epochs=1, width=0.02), 10),
        CONV3D: runs.compared(lambda seed: SpatioTemporal(epochs=1, width=0.1), 32),
    }
    own = tuple(replace(each, run=quick[each]) if each in quick else each for each in TABLE.methods)
    monkeypatch.setattr(methods, "TABLE", replace(TABLE, methods=own))


def test_a_frame_has_the_clip_centred_on_it_and_edges_the_nearest():
    frames = torch.randint(0, 256, (30, 1, 8, 8), dtype=torch.uint8)
    video = Video("v", frames, torch.arange(30.0))
    found = judged(lambda clips: (clips.float()[:, 0] / 255).square(), [video], 16)
    values = (frames[:, 0].numpy() / 255) ** 2
    by_clip = sliding_window_view(values.sum((1, 2)), 16).sum(1)  # clip s is centred on frame s + 8
    wanted = by_clip[np.clip(np.arange(30) - 8, 0, 14)]
    assert found.scores["clip"][0] == pytest.approx(wanted, rel=1e-5)
    assert next(iter(found.scores)) == "clip"
    assert found.scores["frame"][0] == pytest.approx(values.sum((1, 2)), rel=1e-5)
    assert found.scores["peak"][0] == pytest.approx(values.max((1, 2)), rel=1e-5)  # an eighth of a side is one pixel
    assert np.allclose(found.maps[0], values, atol=1e-3)


def test_every_method_is_there_once():
    assert len({method.key for method in TABLE.methods}) == len(TABLE.methods)
    shown = {*methods.ROWS, *methods.ABLATED, *methods.PICTURED, *methods.SIZES.values(), methods.DEGRADED}
    assert shown == set(TABLE.methods)


ELSEWHERE = {
    each.key
    for each in (
        *SYSTEMS[1:],
        *(method for method in methods.SIZES.values() if method not in (methods.SIZES[50], AUTHORS)),
    )
}
"""Systems, which test_film_baselines.py runs, but for one; and other numbers of items, which run the same code."""


@pytest.mark.parametrize(
    "method", [each.key for each in TABLE.methods if not each.key.startswith("ours") and each.key not in ELSEWHERE]
)
def test_every_method_runs_and_says_the_same_again(method, tmp_path):
    if method == SYSTEMS[0].key:
        pytest.importorskip("cv2", reason="needs the extra bench")
    found = methods.measure("cpu", method, 0, tmp_path / "run.checkpoint")
    assert json.loads(json.dumps(found)) == found
    assert [len(each.split()) for each in found["errors"]] == [40, 40]
    for name in ("frame", "map"):
        assert np.asarray(Image.open(io.BytesIO(base64.b64decode(found[name])))).shape == SIZE
    own = found["auroc"][found["score"]]
    assert {"paper", "authors", "macro", "interval", "none"} <= set(own)
    assert 0 <= found["pixel_auroc"] <= 1
    if method == "difference":
        assert own["paper"] > 0.9  # the abnormal squares are faster
    if method.startswith(("ae", "memae")):
        assert found["curve"] == [None, pytest.approx(found["curve"][1])]
        assert len(found["held_out_error"]) == 2
    assert not list(tmp_path.glob("*.curve"))
    for left in tmp_path.iterdir():
        left.unlink()
    assert methods.measure("cpu", method, 0, tmp_path / "run.checkpoint")["auroc"] == found["auroc"]


def test_the_variants_differ_in_the_memory_alone():
    full, plain = recipes.authors("256", 3), recipes.autoencoder("256", 3)
    assert full.spec.memory.shrinkage == 5.0  # λ = 0.0025
    assert replace(full.spec, memory=None) == plain.spec
    assert full.options == plain.options
    assert plain.spec.shape == (1, 16, 256, 256)
    assert plain.spec.widths == (96, 128, 256, 256)
    assert recipes.without_sparsity("256", 3).options.alpha == 0
    assert recipes.without_sparsity("256", 3).spec.memory.shrinkage == 0
    assert recipes.without_entropy("256", 3).spec == full.spec
    assert recipes.without_shrinkage("256", 3).options.alpha == 0.0002
    printed = recipes.paper("256", 3)
    assert (printed.spec.memory.similarity, printed.spec.memory.shrinkage) == ("cosine", 1.0)
    assert printed.spec.memory.per_position
    assert not printed.signed
    assert recipes.SCALES["256_authors"].layout.strides[0] == (1, 2, 2)


def test_jobs_are_those_of_the_tables():
    assert {each.name.split("/")[2] for each in TABLE.jobs(["cpu"])} == {each.key for each in TABLE.methods}
    assert len(TABLE.jobs(["256"])) == 5 * 7
    assert not TABLE.seeds(methods.OURS, "256")
    assert not TABLE.jobs(["256"], [methods.OURS], [0])
    assert TABLE.job(methods.AE, "cpu", 1, 0).name == "table2/ped2_cpu/ae/1"
    assert len(TABLE.jobs(["cpu"], [CONV2D], [4])) == 1
    assert set(TABLE.cells) == set(recipes.SCALES)


@pytest.mark.parametrize(("number", "count"), [(3, 4), (4, 8), (5, 3), (6, 3), (7, 5)])
def test_each_figure_is_one_command(number, count, monkeypatch):
    asked, parser = [], argparse.ArgumentParser()
    monkeypatch.setattr("recording.jobs.run", lambda wanted, workers: asked.extend(wanted))
    monkeypatch.setattr(records, "summarise", lambda: None)
    command = of_jobs("figures", "", "", figures.add_options, figures.chosen, lambda: asked.append("page"))
    command.add_arguments(parser)
    command.run(parser.parse_args(["--only", str(number)]))
    assert len(asked) == count + 1
    assert asked[-1] == "page"


# ------------------------------------------------------------------------------------------------------------- the page


def recorded(method, seed, auroc, found, **more):
    one = TABLE.job(TABLE.method(method), "cpu", seed, 0)
    named = {name: found["auroc"][name] | {"paper": auroc} for name in found["auroc"]}
    provenance = {"command": "x", "commit": f"c{seed}"}
    told = {"arguments": one.arguments, "provenance": provenance, "seconds": 120.0, "cpu_seconds": 60.0}
    records.write(one.path, told | found | {"auroc": named} | more)


def test_the_page_has_the_tables_and_the_figures_of_the_scoreboard(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="needs the extra bench")
    from reproduction.table2 import page

    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(page, "PICTURES", tmp_path / "pictures")
    monkeypatch.setattr(page, "VIDEOS", (0, 1))
    assert page.section() == []
    found = methods.measure("cpu", "difference", 0, tmp_path / "run.checkpoint")
    curve = {"curve": [None, 0.5, 0.95], "held_out_error": [3.0, 2.0, 1.0]}
    for seed in range(2):
        recorded("ae", seed, 0.90 + 0.01 * seed, found, **curve)
        recorded("memae_authors", seed, 0.93 - 0.005 * seed, found, **curve)
        flagged = {"normal": 0.05 + seed / 10, "abnormal": 0.9}
        recorded("ours", seed, 0.97, found, flagged=flagged, fit_cpu_seconds=90.0)
    recorded("ours_without_memory", 0, 0.5, found, flagged=flagged, fit_cpu_seconds=9.0)
    days = {"as filmed": {"auroc": 0.9, "normal_flagged": 0.01}, "noise": {"auroc": 0.87, "normal_flagged": 0.2}}
    recorded("ours_degraded", 0, 0.9, found, degraded=days)
    recorded("memae_50", 0, 0.8, found, **curve)
    recorded("memae_4000", 0, 0.91, found, **curve)
    text = "\n".join(page.section())
    assert "| AE | 0.917 | 0.9050 ± 0.0071 (2 seeds) |" in text
    assert "| MPPCA (not run yet) | 0.693 |" in text
    assert "| AE-Conv3D (not run yet) | 0.912 |" in text
    assert "| **ours**: `VideoMemAE()` | – | 0.9700 ± 0.0000 (2 seeds) |" in text
    assert "| MemAE | 0.9410 | 0.9275 ± 0.0035 (2 seeds) |" in text
    assert "- AE: frame 0.9050" in text
    assert "| **ours**: `VideoMemAE()` | 0.05, 0.15 | 0.90, 0.90 |" in text
    cells = next(line for line in text.splitlines() if line.startswith("| AE | ") and line.count("|") == 4).split("|")
    scores = [np.array(each.split(), float) for each in found["errors"]]
    assert [float(cell) for cell in cells[2:4]] == [
        pytest.approx(roc_auc_score(wanted, each), abs=0.0051) for wanted, each in zip(LABELS, scores, strict=True)
    ]
    assert text.count(".png)") == len(list((tmp_path / "pictures").glob("*.png"))) == 3
    scores = json.loads((tmp_path / "results" / "table2.json").read_text())["cpu"]["figures"]
    assert scores["table2/ped2_cpu/memae/auroc"]["value"] == pytest.approx(0.9275)
    assert scores["table2/ped2_cpu/memae_minus_ae/auroc_worst_seed"]["value"] == pytest.approx(0.015)
    assert scores["table2/ped2_cpu/ours/auroc"]["n"] == 2
    assert scores["table2/ped2_cpu/ours/fit_cpu_minutes"]["value"] == pytest.approx(1.5)
    assert scores["table2/ped2_cpu/ours/normal_flagged_worst_seed"]["value"] == pytest.approx(0.15)
    assert scores["table2/ped2_cpu/ours_minus_without_memory/auroc_worst_seed"]["n"] == 1
    assert scores["table2/ped2_degraded/ours/auroc_loss_worst"]["value"] == pytest.approx(0.03)
    assert "| noise | 0.8700 | 0.20 |" in text


@pytest.mark.parametrize("name", CHANGES)
def test_a_film_of_another_day_shows_the_same(name):
    film = np.random.default_rng(0).integers(60, 180, (6, 32, 48)).astype(np.uint8)
    film[:, 8:24, 12:36] = 20
    changed = CHANGES[name](film, np.random.default_rng(1))
    assert changed.dtype == np.uint8
    assert changed.shape == (3 if name == HALF_RATE else 6, 32, 48)
    assert (changed == film[:: 2 if name == HALF_RATE else 1]).all() == (name in ("as filmed", HALF_RATE))
    assert changed[:, 11:21, 15:33].mean() < changed[:, :5].mean() - 30
    again = CHANGES[name](film, np.random.default_rng(1))
    assert np.array_equal(changed, again)


def test_flagged_frames_are_those_above_the_threshold():
    scores = [np.where(labels, 2.0, 1.0) for labels in LABELS]
    scores[0][:7], scores[1][:3] = 2.0, 1.0  # of 45 normal and of 35 abnormal frames
    assert runs.flagged(PROBLEM, scores, 1.0) == {"normal": pytest.approx(7 / 45), "abnormal": pytest.approx(32 / 35)}


def test_a_picture_in_a_record_is_black_where_it_is_below_0():
    data = base64.b64decode(runs.as_text(np.array([[-1.0, 0.0], [1.0, 2.0]])))
    assert np.asarray(Image.open(io.BytesIO(data))).tolist() == [[0, 0], [128, 255]]
