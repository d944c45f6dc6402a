"""Folders and arrays of images become samples of one shape, and heat maps."""

import numpy as np
import pytest
import torch
from PIL import Image

from memae.data import pixels
from memae.data.images import (
    ImageFiles,
    describe_skipped,
    find_images,
    heat_colours,
    images_of_array,
    write_picture,
)
from memae.errors import InputError, OptionError, OutputError, SourceError

RANDOM = np.random.default_rng(0)


def write(path, size=(4, 6), kind="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "I;16":
        image = Image.fromarray(RANDOM.integers(0, 65536, size, np.uint16))
    else:
        image = Image.fromarray(RANDOM.integers(0, 256, (*size, 3), np.uint8)).convert(kind)
    image.save(path)
    return path


def set_of(folder, *kinds, **options):
    return [write(folder / f"{i}.png", kind=kind, **options) for i, kind in enumerate(kinds)]


def names(found, root):
    return [str(path.relative_to(root)) for path in found]


def test_a_single_file_is_found(tmp_path):
    path = write(tmp_path / "a.bmp")
    assert find_images(path) == [path]


def test_folders_are_searched_in_natural_order(tmp_path):
    for name in ("b/10.png", "b/9.JPG", "a/deep/1.tif", "2.bmp", ".hidden.png", ".cache/1.png"):
        write(tmp_path / name)
    for name in ("notes.txt", "b/Thumbs.db", "b/._9.JPG"):
        (tmp_path / name).write_text("no image")
    skipped = []
    found = find_images(tmp_path, skipped)
    assert found == find_images(tmp_path)
    assert names(found, tmp_path) == ["2.bmp", "a/deep/1.tif", "b/9.JPG", "b/10.png"]
    every = [".cache", ".hidden.png", "b/._9.JPG", "b/Thumbs.db", "notes.txt"]
    assert sorted(names(skipped, tmp_path)) == every
    told = "1 file that is no picture (notes.txt) and 2 hidden files or folders (.cache, .hidden.png)"
    assert describe_skipped(tmp_path, skipped) == f"left out in {tmp_path}: {told}"


def test_of_many_skipped_files_some_are_named():
    many = [Path(f"d/{number}.txt") for number in range(1200)]
    told = "left out in d: 1,200 files that are no pictures (0.txt, 1.txt, 2.txt, 3.txt, 4.txt, …)"
    assert describe_skipped(Path("d"), many) == told
    assert describe_skipped(Path("d"), [Path("d/desktop.ini"), Path("d/.DS_Store"), Path("d/._a.png")]) == ""
    assert describe_skipped(Path("d"), []) == ""


def test_loops_of_links_end(tmp_path):
    write(tmp_path / "a/1.png")
    (tmp_path / "a/again").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to(tmp_path / "a")
    assert names(find_images(tmp_path), tmp_path) == ["a/1.png"]


def test_linked_folders_are_followed(tmp_path):
    write(tmp_path / "elsewhere/1.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/link").symlink_to(tmp_path / "elsewhere")
    assert names(find_images(tmp_path / "set"), tmp_path) == ["set/link/1.png"]


def test_nothing_found_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(SourceError, match=r"holds no image; PNG, .* are expected \(left out in .*notes.txt\)\)"):
        find_images(tmp_path)
    with pytest.raises(SourceError, match=r"notes.txt is not an image file; the ending of a PNG, "):
        find_images(tmp_path / "notes.txt")
    with pytest.raises(SourceError, match=r"cannot read .*missing"):
        find_images(tmp_path / "missing")


@pytest.mark.parametrize(
    ("kinds", "channels", "dtype"),
    [
        (("L", "L"), 1, torch.uint8),
        (("L", "RGB"), 3, torch.uint8),
        (("LA", "1"), 1, torch.uint8),
        (("L", "P"), 3, torch.uint8),
        (("L", "I;16"), 1, torch.float32),
        (("RGB", "I;16"), 3, torch.float32),
    ],
)
@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_all_samples_have_one_form(tmp_path, kinds, channels, dtype, cache_bytes):
    paths = set_of(tmp_path, *kinds)
    images = ImageFiles(paths, cache_bytes=cache_bytes)
    assert (len(images), images.paths, images.channels, images.size) == (2, paths, channels, (4, 6))
    assert images.shape == (channels, 4, 6)
    taken = images.take(torch.tensor([1, 0]))
    assert (taken.shape, taken.dtype) == ((2, channels, 4, 6), dtype)
    assert torch.equal(taken[0], pixels.decode(paths[1], channels).to(dtype))
    assert torch.equal(taken[1], pixels.decode(paths[0], channels).to(dtype))


def test_given_channels_win(tmp_path):
    paths = set_of(tmp_path, "RGB", "L")
    assert ImageFiles(paths, channels=1).take(torch.arange(2)).shape == (2, 1, 4, 6)
    with pytest.raises(OptionError, match="got 2"):
        ImageFiles(paths, channels=2)


def test_without_cache_the_same_is_taken(tmp_path):
    paths = set_of(tmp_path, "RGB", "L", "RGB", size=(9, 7))
    cached, fresh = (ImageFiles(paths, size=(5, 4), cache_bytes=n) for n in (3 * 3 * 5 * 4, 3 * 3 * 5 * 4 - 1))
    order = torch.tensor([2, 0, 0, 1])
    expected = cached.take(order)
    assert torch.equal(fresh.take(order), expected)
    for path in paths:
        path.unlink()
    assert torch.equal(cached.take(order), expected)
    with pytest.raises(SourceError, match="cannot read"):
        fresh.take(order)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_what_is_taken_is_a_copy(tmp_path, cache_bytes):
    images = ImageFiles(set_of(tmp_path, "L"), cache_bytes=cache_bytes)
    index = torch.arange(1)
    before = images.take(index).clone()
    images.take(index).zero_()
    assert torch.equal(images.take(index), before)
    assert images.take(index[:0]).shape == (0, 1, 4, 6)


def test_mixed_sizes_need_a_size(tmp_path):
    paths = [write(tmp_path / "a.png", (4, 6)), write(tmp_path / "b.png", (8, 5))]
    with pytest.raises(SourceError, match=r"a\.png has 4 x 6 .*b\.png 8 x 5.*--size H W"):
        ImageFiles(paths)
    images = ImageFiles(paths, size=(3, 2))
    taken = images.take(torch.arange(2))
    assert taken.shape == (2, *images.shape) == (2, 1, 3, 2)
    assert torch.equal(taken[1], pixels.resize(pixels.decode(paths[1], 1), (3, 2)))


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (4,)])
def test_impossible_sizes_are_refused(tmp_path, size):
    with pytest.raises(OptionError, match="height and a width of at least 1"):
        ImageFiles(set_of(tmp_path, "L"), size=size)


def test_broken_files_are_named(tmp_path):
    paths = set_of(tmp_path, "L", "L", size=(40, 40))
    with pytest.raises(InputError, match="at least one"):
        ImageFiles([])
    paths[1].write_bytes(paths[1].read_bytes()[:500])
    with pytest.raises(SourceError, match=r"1\.png is damaged"):
        ImageFiles(paths).take(torch.arange(2))
    paths[1].write_bytes(b"")
    with pytest.raises(SourceError, match=r"1\.png is empty"):
        ImageFiles(paths)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 5, 7), (2, 1, 5, 7)),
        ((2, 1, 5, 7), (2, 1, 5, 7)),
        ((2, 3, 5, 7), (2, 3, 5, 7)),
        ((2, 5, 7, 3), (2, 3, 5, 7)),
        ((2, 5, 7, 1), (2, 1, 5, 7)),
        ((2, 3, 5, 3), (2, 3, 5, 3)),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_arrays_become_channels_first(shape, expected, kind):
    array = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    images = images_of_array(kind(array))
    assert (images.shape, images.dtype) == (expected, torch.uint8)
    moved = np.moveaxis(array, -1, 1) if shape[1:] == (5, 7, expected[1]) else array
    assert images.tolist() == moved.reshape(expected).tolist()


def test_arrays_come_in_grey_levels():
    assert images_of_array(np.full((1, 2, 2), 257, np.uint16)).unique().tolist() == [1.0]
    assert images_of_array(np.ones((1, 2, 2), bool)).unique().tolist() == [255]
    assert images_of_array(torch.full((1, 2, 2), 0.5, requires_grad=True)).dtype == torch.float32


@pytest.mark.parametrize("shape", [(28, 28), (7,), (2, 4, 5, 6), (1, 2, 3, 4, 5), (2, 2, 5, 5)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError) as caught:
        images_of_array(np.zeros(shape))
    assert str(caught.value) == (
        "images must be (n, h, w), (n, c, h, w) or (n, h, w, c) with 1 or 3 channels; "
        f"got {shape}. For one image use images[None]."
    )


@pytest.mark.parametrize("shape", [(0, 28, 28), (2, 3, 0, 5)])
def test_empty_arrays_are_refused(shape):
    with pytest.raises(InputError, match="is empty"):
        images_of_array(np.zeros(shape))


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="images has 4 values that are not finite"):
        images_of_array(np.full((1, 2, 2), np.inf))


def test_heat_colours_run_from_black_ever_brighter():
    colours = heat_colours(np.linspace(0, 1, 256))
    assert (colours.shape, colours.dtype) == ((256, 3), np.uint8)
    assert (colours[0].tolist(), colours[-1].tolist()) == ([0, 0, 0], [252, 255, 164])
    luma = colours @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(luma) > 0).all()
    assert heat_colours(np.array([[-1.0, 2.0]])).tolist() == [[[0, 0, 0], [252, 255, 164]]]


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 3)])
def test_a_picture_is_written_whole_or_not_at_all(tmp_path, shape):
    drawn = RANDOM.integers(0, 256, shape, np.uint8)
    write_picture(drawn, tmp_path / "map.png")
    assert np.asarray(Image.open(tmp_path / "map.png")).tolist() == drawn.tolist()
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.png"]
    with pytest.raises(OutputError, match="cannot write"):
        write_picture(drawn, tmp_path / "missing/map.png")
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.png"]
