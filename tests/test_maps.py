"""Where photos are anomalous: maps, masks and regions at their own size, and figures of pixels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from memae import ImageMemAE, load
from memae.kinds import Notes
from memae.metrics import pixel_auroc, pro

SIZES = ((40, 60), (48, 48), (60, 30))


def photo(index: int, side: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A grey photo of its own size, and the mask of a bright square with this side."""
    rng = np.random.default_rng(index)
    size = SIZES[index % len(SIZES)]
    pixels, mask = rng.normal(100, 4, size), np.zeros(size, dtype=bool)
    top, left = rng.integers(2, 12, 2)
    mask[top : top + side, left : left + side] = True
    pixels[mask] = 250
    return pixels.clip(0, 255).astype(np.uint8), mask


def save(pixels: np.ndarray[Any, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of three sizes in MVTec's layout, and a model of the good ones beside them."""
    root = tmp_path_factory.mktemp("mvtec") / "set"
    for index in range(60):
        save(photo(index)[0], root / f"train/good/{index}.png")
    for index in range(100, 109):
        save(photo(index)[0], root / f"test/good/{index}.png")
    for kind, side in (("large", 14), ("small", 6)):
        for index in range(200, 206):
            pixels, mask = photo(index, side)
            save(pixels, root / f"test/{kind}/{index}.png")
            save(mask.astype(np.uint8) * 255, root / f"ground_truth/{kind}/{index}_mask.png")
    net: dict[str, Any] = {"widths": (6, 8), "strides": ((2, 2), (2, 2)), "rotations": False, "kept_samples": 0}
    model = ImageMemAE(size=(24, 24), **net, epochs=10, false_alarm_rate=0.2).fit(root / "train/good")
    model.save(root.parent / "m.memae")
    return root


def scored(run, dataset, tmp_path, *options, ending="jsonl"):
    ran = run("score", dataset.parent / "m.memae", dataset / "test", "-o", tmp_path / f"o.{ending}", *options)
    assert ran.code == 0, ran.err
    return tmp_path / f"o.{ending}"


def test_maps_masks_and_regions_have_the_size_of_the_photo(run, dataset, tmp_path):
    output = scored(run, dataset, tmp_path, "--maps", tmp_path / "maps", "--masks", tmp_path / "deep" / "masks")
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(rows) == 21
    for row in rows:
        path = Path(row["path"])
        given = np.asarray(Image.open(path))
        file = path.relative_to(dataset / "test").with_suffix(".png.png")
        drawn, mask = (np.asarray(Image.open(tmp_path / folder / file)) for folder in ("maps", "deep/masks"))
        assert drawn.shape == (*given.shape, 3)
        assert mask.shape == given.shape
        assert set(np.unique(mask)) <= {0, 255}
        assert sum(region["area"] for region in row["regions"]) == (mask == 255).sum()
        for region in row["regions"]:
            assert mask[region["top"] : region["bottom"], region["left"] : region["right"]].any()
        if path.parent.name == "good":
            assert row["regions"] == []
            assert (drawn == given[..., None]).mean() > 0.8  # hardly anything is drawn over a normal photo
    found = {row["path"]: row["regions"] for row in rows if "/large/" in row["path"]}
    for path, regions in found.items():
        mask = photo(int(Path(path).stem), 14)[1]
        middle = np.argwhere(mask).mean(0)
        first = regions[0]
        assert first["top"] <= middle[0] <= first["bottom"]
        assert first["left"] <= middle[1] <= first["right"]


def test_regions_are_for_json_lines_alone_and_need_maps_or_masks(run, dataset, tmp_path):
    masked = ("--masks", tmp_path / "masks")
    assert "regions" not in pd.read_csv(scored(run, dataset, tmp_path, *masked, ending="csv"))
    assert not (tmp_path / "maps").exists()
    assert "regions" not in json.loads(scored(run, dataset, tmp_path).read_text().splitlines()[0])
    rows = scored(run, dataset, tmp_path, *masked, "--fdr", "0.2").read_text().splitlines()
    assert {"regions", "is_discovery"} <= set(json.loads(rows[0]))


def test_pictures_go_to_folders_of_their_own(run, dataset, tmp_path):
    model, source = dataset.parent / "m.memae", dataset / "test"
    ran = run("score", model, source, "--maps", tmp_path / "a", "--masks", tmp_path / "a")
    assert (ran.code, "are both" in ran.err) == (1, True)
    ran = run("score", model, source, "--masks", source / "masks")
    assert (ran.code, "give another folder" in ran.err) == (1, True)


def evaluated(run, dataset, source, *options):
    ran = run("evaluate", dataset.parent / "m.memae", source, *options)
    assert ran.code == 0, ran.err
    return ran


def test_a_data_set_with_masks_is_evaluated_as_it_is(run, dataset):
    facts = json.loads(evaluated(run, dataset, dataset, "--json").out)
    assert (facts["samples"], facts["anomalous"]) == (21, 12)
    model = load(dataset.parent / "m.memae")
    kind, masks, maps, scores, kinds = model.kind_, [], [], [], []
    for part in kind.scored(model.scorer_, kind.open(dataset / "test", notes=Notes()), maps=True):
        maps += [where.values for where in kind.located(model.scorer_, part)]
        scores += part.judged.score.tolist()
        for path in part.names["path"]:
            kinds.append(path.parent.name)
            masks.append(photo(int(path.stem), {"good": 0, "large": 14, "small": 6}[path.parent.name])[1])
    assert [mask.shape for mask in masks] == [values.shape for values in maps]
    assert facts["pixels"]["images"] == 21
    assert facts["pixels"]["auroc"] == pytest.approx(pixel_auroc(masks, maps), abs=1e-5)
    assert facts["pixels"]["pro"] == pytest.approx(pro(masks, maps), abs=1e-4)
    assert facts["pixels"]["auroc"] > 0.9
    for name in ("large", "small"):
        chosen = [index for index, each in enumerate(kinds) if each in ("good", name)]
        of_kind = facts["by_defect"][name]
        assert of_kind["images"] == 6
        truth, picked = [kinds[index] == name for index in chosen], [scores[index] for index in chosen]
        assert of_kind["auroc"]["value"] == pytest.approx(roc_auc_score(truth, picked))
        area = pixel_auroc([masks[index] for index in chosen], [maps[index] for index in chosen])
        assert of_kind["pixel_auroc"] == pytest.approx(area, abs=1e-5)
    told = evaluated(run, dataset, dataset).out
    for words in ("auroc of 6 large", "auroc of pixels", "pro of pixels"):
        assert words in told


def test_the_folder_test_is_the_same_set(run, dataset):
    whole, below = (evaluated(run, dataset, each, "--json").out for each in (dataset, dataset / "test"))
    assert whole == below


def test_without_masks_there_are_no_figures_of_pixels(run, dataset, tmp_path):
    (tmp_path / "plain").symlink_to(dataset / "test")
    facts = json.loads(evaluated(run, dataset, tmp_path / "plain", "--json").out)
    assert "pixels" not in facts
    assert set(facts["by_defect"]["small"]) == {"images", "auroc"}


def test_a_photo_without_a_mask_is_told_of_and_left_out(run, dataset):
    mask = dataset / "ground_truth/small/200_mask.png"
    held = mask.read_bytes()
    mask.unlink()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.showwarning", lambda *_, **__: None)
            facts = json.loads(evaluated(run, dataset, dataset, "--json").out)
    finally:
        mask.write_bytes(held)
    assert facts["samples"] == 21
    assert facts["pixels"]["images"] == 20
