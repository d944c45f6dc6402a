"""`python -m reproduction images`: sets are read, methods measured, and the page rendered from the records."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from memae.errors import SourceError
from recording import records
from reproduction import datasets
from reproduction.datasets import Images
from reproduction.images import detectors, jobs, methods, page, runs, sets, text
from reproduction.images.cost import measured
from reproduction.images.detectors import Ours, OverFeatures
from reproduction.images.methods import BY_KEY, FEATURES, FROM_FEW, METHODS, OURS, Method

GREY = np.random.default_rng(0)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def photo(size: tuple[int, int], spot: bool = False) -> np.ndarray:
    """A grey photo of noise, with a bright spot at the top left if `spot`."""
    pixels = GREY.normal(100, 5, size)
    pixels[4:16, 4:16] += 120 * spot
    return pixels.clip(0, 255)


@pytest.fixture
def root(tmp_path):
    """Two sets: one of 12 good photos and two kinds of defects, one without masks."""
    mask = np.zeros((40, 50))
    mask[4:16, 4:16] = 255
    for name in ("bolts", "nuts"):
        place = tmp_path / "sets" / name
        for index in range(12):
            save(place / f"train/good/{index}.png", photo((40, 50)))
        for index in range(4):
            save(place / f"test/good/{index}.png", photo((40, 50)))
            for kind in ("dent", "scratch"):
                save(place / f"test/{kind}/{index}.png", photo((40, 50), spot=True))
                if name == "bolts":
                    save(place / f"ground_truth/{kind}/{index}_mask.png", mask)
    (tmp_path / "sets" / "other").mkdir()
    return tmp_path / "sets"


class Blocks(nn.Module):
    """Means and maxima of blocks in place of the pretrained network."""

    def forward(self, tiles):
        return functional.avg_pool2d(tiles, 16), functional.max_pool2d(tiles, 32)


@pytest.fixture
def blocks(monkeypatch):
    monkeypatch.setattr(detectors, "read_lite", lambda *_: Blocks())


def test_sets_are_found_and_read_with_kinds_and_masks(root):
    assert sets.names(root) == ["bolts", "nuts"]
    with pytest.raises(SourceError, match=r"holds no set in the layout of MVTec AD.*Name another folder with --root"):
        sets.names(root / "bolts")
    found = sets.folder(root, "bolts")
    assert len(found.training) == 12
    assert found.kinds == ("dent",) * 4 + ("good",) * 4 + ("scratch",) * 4
    assert found.labels.tolist() == [1] * 4 + [0] * 4 + [1] * 4
    assert [path is None for path in found.masks] == [kind == "good" for kind in found.kinds]
    other = sets.folder(root, "nuts")
    assert other.masks is None
    assert found.checksum == sets.folder(root, "bolts").checksum != other.checksum


def test_few_photos_are_sampled_by_seed(root):
    every = sets.folder(root, "bolts").training
    some = sets.few(every, 5, seed=1)
    assert len({*some}) == 5
    assert {*some} <= {*every}
    assert some == sets.few(every, 5, seed=1) != sets.few(every, 5, seed=2)
    assert sets.few(every, 3, seed=1) == some[:3]
    array = np.arange(20, dtype=np.uint8).reshape(5, 2, 2)
    assert sets.few(array, 2, 0).shape == (2, 2, 2)


def test_tiles_are_rgb_of_one_size(root):
    paths = sets.folder(root, "bolts").test
    parts = list(sets.tiles(paths, 32))
    assert [len(part) for part in parts] == [4, 4, 4]
    assert all(part.shape[1:] == (3, 32, 32) and part.dtype == torch.float32 for part in parts)
    assert 90 < float(parts[1].mean()) < 110
    (colour,) = sets.tiles(np.full((2, 8, 8, 3), 7, np.uint8), 16)
    assert colour.shape == (2, 3, 16, 16)
    assert colour.unique().tolist() == [7]
    (grey,) = sets.tiles(np.full((2, 8, 8), 7, np.uint8), 16)
    assert torch.equal(grey, colour)


def test_one_class_of_ten_learns_at_most_as_many_as_the_name_says(monkeypatch):
    labels = np.repeat(np.arange(10, dtype=np.uint8), 60)
    images = Images(np.repeat(labels[:, None, None], 8, 1).repeat(8, 2), labels)
    monkeypatch.setattr(sets, "_read", lambda dataset: (images, dataset))
    monkeypatch.setitem(sets.CLASSES, "mnist_30", ("mnist", 30))
    every, fewer = (sets.one_of_ten(name, 3, seed=0) for name in ("mnist", "mnist_30"))
    assert len(every.training) == 40
    assert len(fewer.training) == 30
    assert set(np.unique(every.training)) == {3}
    np.testing.assert_array_equal(every.test, fewer.test)
    assert every.labels.tolist() == [int(kind != "good") for kind in every.kinds]
    assert every.masks is None
    assert every.checksum == "mnist"


@pytest.mark.parametrize("method", ["padim", "patchcore", "mahalanobis", "neighbours"])
def test_a_method_over_features_is_measured(method, root, blocks):
    found = runs.measure("bolts", method, 0, str(root))
    assert found["auroc"] == 1.0
    assert found["auroc_by_kind"] == {"dent": 1.0, "scratch": 1.0}
    assert found["photos"] == {"training": 12, "test": 12}
    assert found["file_bytes"] > 0
    assert found["fit_cpu_seconds"] > 0
    assert found["score_ms"]["torch"] > 0
    if method in {"padim", "patchcore"}:
        assert found["pixel_auroc"] > 0.9
        assert found["pro"] > 0.5
        assert set(found["pixel_auroc_of"]) == {"dent", "scratch"}
    else:
        assert "pixel_auroc" not in found
    assert "pixel_auroc" not in runs.measure("nuts", method, 0, str(root))


def test_ours_is_measured_with_maps_at_the_size_of_the_photos(root, monkeypatch):
    made = Ours(size=(32, 32), epochs=2, random_state=0)
    few = Method("few", "few", lambda seed: made, photos=8, engines=True)
    monkeypatch.setitem(BY_KEY, "few", few)
    monkeypatch.setattr(runs, "ENGINES", ())
    found = runs.measure("bolts", "few", 0, str(root))
    assert found["photos"]["training"] == 8
    assert 0 <= found["pixel_auroc"] <= 1
    assert found["engines_failed"] == {}
    assert found["file_bytes"] > 1000
    assert [each.shape for each in made.maps(sets.folder(root, "bolts").test)] == [(40, 50)] * 12


def test_an_engine_that_is_not_installed_is_left_out_and_one_that_fails_says_why(blocks, root, monkeypatch):
    detector = OverFeatures(methods.PaDiM)
    with pytest.raises(ValueError, match="run with torch alone; got engine 'openvino'"):
        detector.use("openvino")
    problem = sets.folder(root, "bolts")
    monkeypatch.setattr(runs, "find_spec", lambda name: None)
    assert runs._of_engines(detector, problem) == ({}, {})
    monkeypatch.setattr(runs, "find_spec", lambda name: name)

    def refuse(engine):
        raise SourceError(f"no {engine}")

    monkeypatch.setattr(detector, "use", refuse)
    assert runs._of_engines(detector, problem) == ({}, {"onnxruntime": "no onnxruntime", "openvino": "no openvino"})


def test_pixels_of_a_defect_without_a_mask_count_nowhere(root):
    problem = sets.folder(root, "bolts")
    masks = [path if kind != "scratch" else None for path, kind in zip(problem.masks, problem.kinds, strict=True)]
    maps = [np.full((40, 50), float(kind == "scratch")) for kind in problem.kinds]
    for found, kind in zip(maps, problem.kinds, strict=True):
        found[4:16, 4:16] += kind == "dent"
    found = runs.located(problem._replace(masks=masks), maps, {"all": ("dent", "scratch")})
    assert found["pixel_auroc"] == pytest.approx(1.0)
    assert found["pixel_auroc_of"] == pytest.approx({"dent": 1.0, "all": 1.0})


def test_the_peak_is_that_of_the_call():
    big = measured(lambda: float(np.ones(2**25).sum()))
    small = measured(lambda: 0.0)
    assert big.result == 2**25
    assert big.peak_mib > 256
    if Path("/proc/self/clear_refs").exists():
        assert small.peak_mib < big.peak_mib - 100


def options(*words):
    parser = argparse.ArgumentParser()
    jobs.add_options(parser)
    return parser.parse_args(words)


def test_jobs_are_those_of_the_chosen_sets_methods_and_seeds(root):
    found = jobs.chosen(options("--root", str(root), "--methods", "ours", "padim", "features"))
    assert len(found) == 3 * 2 * 2
    assert found[0].name == "images/bolts/ours-0"
    assert found[0].arguments == {"name": "bolts", "method": "ours", "seed": 0}
    classes = jobs.chosen(options("--sets", "cifar10", "--methods", "features", "padim", "--seeds", "1"))
    assert [job.name for job in classes] == [f"images/cifar10/features/{normal}-1" for normal in range(10)]
    with pytest.raises(SourceError, match=r"has no set 'screws'; there are bolts, nuts"):
        jobs.chosen(options("--root", str(root), "--sets", "screws"))
    once = jobs.chosen(options("--root", str(root), "--sets", "bolts", "--methods", "neighbours"))
    assert [job.name for job in once] == ["images/bolts/neighbours-0"]  # nothing in it depends on the seed
    every = jobs.chosen(options("--sets", "mnist", "--methods", "neighbours"))
    assert len(every) == 30  # the split does
    assert len({method.key for method in METHODS}) == len(METHODS)


def run(auroc, **more):
    origin = {"command": "c", "commit": "abc", "seed": 0}
    return {
        "provenance": origin, "photos": {"training": 12, "test": 8}, "auroc": auroc, "auroc_by_kind": {"crack": auroc},
        "fit_cpu_seconds": 3.0, "score_ms": {"torch": 40.0, "openvino": 20.0}, "fit_peak_mib": 500,
        "score_peak_mib": 400, "file_bytes": 2e6, **more,
    }  # fmt: skip


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Records of two sets."""
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(page, "PAGE", tmp_path / "quality.md")
    maps = {"pixel_auroc": 0.8, "pro": 0.7, "pixel_auroc_of": {"crack": 0.9, "blowholes_and_cracks": 0.95}}
    for seed in range(3):
        for method, more in ((OURS, maps), (FROM_FEW[2], maps), (BY_KEY["neighbours"], {})):
            job = jobs.job("magnetic_tiles", method, seed)
            records.write_run(job.path, {"arguments": job.arguments, **run(0.9 + seed / 100, **more)})
    for job in jobs.class_jobs("cifar10_1333", FEATURES, 0):
        records.write_run(job.path, {"arguments": job.arguments, **run(0.5), "auroc_by_kind": {}})
    return tmp_path


def test_the_summary_has_the_keys_of_the_scoreboard(recorded):
    page.PAGE.write_text("# Page\n")
    page.render()
    summary = records.read(records.RESULTS / "summary.json")
    ours = "images/magnetic_tiles/ours"
    values = {key: summary[f"{ours}/{key}"]["value"] for key in ("auroc", "fit_seconds", "score_ms", "auroc_of_20")}
    assert values == pytest.approx({"auroc": 0.91, "fit_seconds": 3.0, "score_ms": 20.0, "auroc_of_20": 0.91})
    assert summary[f"{ours}/pixel_auroc"]["value"] == pytest.approx(0.8)
    assert summary[f"{ours}/pixel_auroc_of_blowholes_and_cracks"]["value"] == pytest.approx(0.95)
    assert summary[f"{ours}/auroc"]["n"] == 3
    assert summary[f"{ours}/auroc"]["std"] == pytest.approx(0.01)
    assert summary["images/cifar10_1333/features/auroc"] == {
        "command": page.COMMAND, "commit": "abc", "n": 1, "std": 0.0, "value": 0.5
    }  # fmt: skip
    assert "images/magnetic_tiles/neighbours/pro" not in summary


def test_only_the_part_of_the_page_is_rendered_again(recorded):
    page.PAGE.write_text("# Page\n\nBefore.\n")
    page.render()
    once = page.PAGE.read_text()
    assert once.startswith("# Page\n\nBefore.\n\n" + page.BEGIN)
    page.PAGE.write_text(once.replace("0.9100", "0.0000") + "\n## After\n")
    page.render()
    assert page.PAGE.read_text() == once + "\n## After\n"
    assert "| **ours**: `ImageMemAE()` | 3 | 0.9100 ± 0.0100 | 0.8000 ± 0.0000 | 0.7000 ± 0.0000 | 3.0 | 40.0 |" in once
    assert "20.0 (openvino)" in once
    assert "| 5 nearest pooled features | 3 | 0.9100 ± 0.0100 | – | – |" in once
    assert text.ABOUT["magnetic_tiles"] in once
    assert "### CIFAR-10 (JPEG copies): each class in turn normal, 1,333 training images" in once
    assert once.index("Magnetic tiles") < once.index("CIFAR-10 (JPEG")


def test_without_runs_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "quality.md")
    page.render()
    assert page.section() == []
    assert not list(tmp_path.iterdir())


def test_a_run_on_a_class(monkeypatch, blocks):
    labels = np.repeat(np.arange(10, dtype=np.uint8), 30)
    pixels = (labels[:, None, None] * 20 + GREY.integers(0, 5, (300, 8, 8))).astype(np.uint8)
    monkeypatch.setattr(sets, "_read", lambda dataset: (Images(pixels, labels), dataset))
    found = runs.measure_class("mnist", "mahalanobis", 0, 0)
    assert found["auroc"] > 0.5
    assert found["auroc_by_kind"] == {}
    assert set(datasets.SETS) >= {"mnist", "cifar10"} <= set(sets.CLASSES)
