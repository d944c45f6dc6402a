"""Folders tell labels and masks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memae.data.layout import defects_from_layout, labelled_images, labels_from_layout, masks_from_layout, read_mask
from memae.errors import MemaeWarning, SchemaError, SourceError


def write(path, pixels=((0, 1), (2, 0))):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(pixels, dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        (["good/1.png", "crack/1.png", "crack/deep/2.png"], [0, 1, 1]),
        (["Normal/1.png", "train/1.png", "hole/good/1.png"], [0, 1, 1]),
        (["test/good/1.png", "test/crack/1.png"], [0, 1]),
        (["good/1.png", "test/1.png"], [0, 1]),
    ],
)
def test_folders_tell_the_labels(files, labels):
    found = labels_from_layout([Path("root") / file for file in files], Path("root"))
    assert found.tolist() == labels
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["good/1.png", "crack/1.png", "2.png"], r"root/2\.png must lie in a folder below root"),
        (["test/good/1.png", "test/2.png"], r"2\.png must lie in a folder below root/test"),
        (["crack/1.png", "hole/1.png"], "root must hold a folder good or normal, .*found crack, hole"),
        (["good/1.png", "good/2.png"], "and others beside it; found good"),
        (["train/good/1.png", "test/good/1.png"], "train/good/1.png lies outside of root/test"),
        ([], "found nothing"),
    ],
)
def test_folders_without_labels_are_refused(files, told):
    with pytest.raises(SchemaError, match=told):
        labels_from_layout([Path("root") / file for file in files], Path("root"))


@pytest.fixture
def mvtec(tmp_path):
    for photo in (
        "train/good/0.png",
        "test/good/0.png",
        "test/crack/0.png",
        "test/crack/1.bmp",
        "test/hole/deep/7.jpg",
    ):
        write(tmp_path / photo)
    for mask in ("crack/0.png", "crack/1_mask.png", "hole/deep/7.png"):
        write(tmp_path / "ground_truth" / mask)
    return tmp_path


def names(paths, root):
    return [None if path is None else path.relative_to(root).as_posix() for path in paths]


def test_the_test_photos_of_a_data_set_are_found_with_their_masks(mvtec):
    photos = labelled_images(mvtec)
    assert names(photos, mvtec) == ["test/crack/0.png", "test/crack/1.bmp", "test/good/0.png", "test/hole/deep/7.jpg"]
    masks = ["ground_truth/crack/0.png", "ground_truth/crack/1_mask.png", None, "ground_truth/hole/deep/7.png"]
    assert defects_from_layout(photos, mvtec) == ["crack", "crack", None, "hole"]
    assert names(masks_from_layout(photos, mvtec), mvtec) == masks
    assert names(masks_from_layout(labelled_images(mvtec / "test"), mvtec / "test"), mvtec) == masks


def test_masks_may_lie_beside_the_folders_of_kinds(tmp_path):
    photos = [write(tmp_path / name) for name in ("crack/1.png", "good/1.png")]
    assert masks_from_layout(photos, tmp_path) is None
    mask = write(tmp_path / "ground_truth/crack/1.png")
    assert labelled_images(tmp_path) == photos
    assert masks_from_layout(photos, tmp_path) == [mask, None]


def test_missing_masks_are_told(mvtec):
    (mvtec / "ground_truth/crack/0.png").unlink()
    with pytest.warns(
        MemaeWarning, match=r"1 defective images have no mask in .*ground_truth, the first .*crack/0\.png"
    ):
        masks = masks_from_layout(labelled_images(mvtec), mvtec)
    assert names(masks, mvtec)[:2] == [None, "ground_truth/crack/1_mask.png"]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16"])
def test_any_value_but_zero_is_a_defect(tmp_path, mode):
    defect = np.array([[0, 1, 0], [255, 0, 0]], dtype=np.uint8)
    image = Image.fromarray(defect if mode != "1" else np.where(defect > 0, 255, 0).astype(np.uint8))
    if mode == "P":
        image = Image.fromarray(defect)
        image.putpalette([0, 0, 0, 0, 0, 1, *[9] * 762])  # 1 is nearly black
    elif mode == "I;16":
        image = Image.fromarray(defect.astype(np.uint16))
    else:
        image = image.convert(mode)
    image.save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", (2, 3)).tolist() == (defect > 0).tolist()


def test_a_mask_of_another_size_is_scaled_if_it_shows_the_same(tmp_path):
    mask = write(tmp_path / "mask.png", [[0, 1], [0, 0], [1, 0]])
    assert read_mask(mask, (6, 4)).tolist() == np.kron([[0, 1], [0, 0], [1, 0]], np.ones((2, 2))).astype(bool).tolist()
    with pytest.raises(SchemaError, match=r"mask\.png has 3 x 2 pixels \(h x w\) and its photo 8 x 20"):
        read_mask(mask, (8, 20))
    mask.write_bytes(b"no picture")
    with pytest.raises(SourceError, match="damaged"):
        read_mask(mask, (6, 4))
