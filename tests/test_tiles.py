"""Photos of any size become tiles that miss nothing, and maps of tiles become the map of their photo."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from memae.data import tiles
from memae.data.pixels import decode, resize
from memae.data.samples import Selection
from memae.data.tiles import LEAST, LONG, OVERLAP, SIDE, WHOLE, Tiles, grid, stitched
from memae.errors import InputError, OptionError, SourceError

RNG = np.random.default_rng(0)
SIDES = st.integers(1, 5000)


def photo(path: Path, height: int, width: int, **options: object) -> Path:
    """A photo of smooth colours."""
    small = Image.fromarray(RNG.integers(0, 256, (8, 8, 3), np.uint8))
    small.resize((width, height), Image.Resampling.BICUBIC).save(path, **options)
    return path


@settings(deadline=None, max_examples=300)
@given(height=SIDES, width=SIDES)
def test_tiles_are_equal_overlap_and_cover_the_photo(height, width):
    boxes = grid(height, width)
    shorter, longer = sorted((height, width))
    if longer <= LEAST or (longer <= WHOLE and longer <= LONG * shorter):
        assert boxes == ((0, 0, height, width),)
        return
    assert len(boxes) > 1
    ((rows, columns),) = {box.size for box in boxes}
    assert max(rows, columns) <= SIDE
    assert rows == columns or min(rows, columns) == shorter < LEAST == max(rows, columns)
    for ends, length in (((0, 2), height), ((1, 3), width)):
        spans = sorted({(box[ends[0]], box[ends[1]]) for box in boxes})
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        for (_, stop), (start, end) in pairwise(spans):
            assert stop - start >= (end - start) / OVERLAP
    assert len(set(boxes)) == len(boxes)
    assert len(boxes) == len({box.top for box in boxes}) * len({box.left for box in boxes})


def test_sizes_of_cameras_and_parts():
    assert len(grid(1024, 1024)) == len(grid(512, 1024)) == len(grid(57, 103)) == 1
    assert len(grid(3000, 4000)) == len(grid(4000, 3000)) == 42
    assert grid(100, 301)[0].size == (100, 100)
    assert len(grid(1, 100_000)) == 1786


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 1500), width=st.integers(1, 1500), seed=st.integers(0, 99))
def test_a_stitched_map_lies_between_those_of_its_tiles(height, width, seed):
    boxes = grid(height, width)
    maps = torch.rand(len(boxes), 7, 7, generator=torch.Generator().manual_seed(seed))
    whole = stitched(maps, boxes, (height, width))
    assert whole.shape == (height, width)
    low, high = torch.full((height, width), 9.0), torch.full((height, width), -9.0)
    for each, box in zip(maps, boxes, strict=True):
        at = (slice(box.top, box.bottom), slice(box.left, box.right))
        here = resize(each, box.size)
        low[at], high[at] = torch.minimum(low[at], here), torch.maximum(high[at], here)
    assert (whole >= low - 1e-5).all()
    assert (whole <= high + 1e-5).all()
    assert torch.allclose(stitched(torch.full_like(maps, 3.5), boxes, (height, width)), torch.tensor(3.5))


def test_a_stitched_map_has_no_seams():
    boxes = grid(200, 700)
    ramp = torch.arange(700.0).expand(200, 700)
    cut = torch.stack([ramp[box.top : box.bottom, box.left : box.right] for box in boxes])
    assert torch.allclose(stitched(cut, boxes, (200, 700)), ramp, atol=1e-3)
    one = torch.zeros(4, 200, 200)
    one[1] = 1.0  # tiles that contradict each other blend over the whole overlap
    assert stitched(one, boxes, (200, 700)).diff(dim=1).abs().max() < 0.04


def test_ten_pixels_of_a_large_photo_stay_visible():
    scratched = np.full((3000, 4000), 128, np.uint8)
    scratched[1500:1510, 2000:2010] = 255
    found = Tiles(scratched[None], channels=1)
    assert found.shape == (1, 224, 224)
    seen = found.take(torch.arange(len(found))).flatten(1).amax(1)
    assert seen.max() > 250
    assert resize(torch.from_numpy(scratched)[None], (224, 224)).max() < 180


# ------------------------------------------------------------------------------------------------------- reading them


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Of many sizes and kinds: 1, 3, 1 and 6 tiles."""
    monkeypatch.setattr(tiles, "LONG", 2)
    grey = tmp_path / "c.png"
    Image.fromarray(RNG.integers(0, 256, (30, 40), np.uint8)).save(grey)
    return [
        photo(tmp_path / "a.jpg", 60, 50),
        photo(tmp_path / "b.webp", 90, 210),
        grey,
        photo(tmp_path / "d.png", 1100, 1600),
    ]


def count_decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []
    monkeypatch.setattr(tiles, "decode", lambda path, channels: read.append(path) or decode(path, channels))
    return read


@pytest.mark.parametrize("cache", [0, 2**31])
def test_tiles_are_the_scaled_parts_of_the_photos(photos, cache):
    found = Tiles(photos, (32, 48), cache_bytes=cache)
    assert found.cached == (cache > 0)
    assert (len(found), found.shape, found.dtype) == (11, (3, 32, 48), torch.uint8)
    assert found.photo.tolist() == [0, 1, 1, 1, 2, 3, 3, 3, 3, 3, 3]
    assert found.sizes == ((60, 50), (90, 210), (30, 40), (1100, 1600))
    assert found.paths == photos
    order = torch.tensor([9, 0, 10, 3, 9])
    taken = found.take(order)
    for tile, index in zip(taken, order.tolist(), strict=True):
        box = found.boxes[index]
        whole = decode(photos[int(found.photo[index])], 3)
        assert torch.equal(tile, resize(whole[:, box.top : box.bottom, box.left : box.right], (32, 48)))
    every = found.take(torch.arange(11))
    parts = list(found.by_photo())
    assert [number for number, _ in parts] == [0, 1, 2, 3]
    assert torch.equal(torch.cat([part for _, part in parts]), every)
    assert [len(part) for _, part in found.by_photo([3, 1])] == [len(found.boxes_of(3)), 3]


def test_a_pass_in_order_decodes_each_photo_once(photos, monkeypatch):
    read = count_decoded(monkeypatch)
    found = Tiles(photos, (8, 8), cache_bytes=0)
    list(Selection(found).batches(2))
    assert read == photos
    list(Selection(found).batches(4))
    assert read == photos + photos


def test_with_a_cache_any_order_decodes_each_photo_once(photos, monkeypatch):
    read = count_decoded(monkeypatch)
    found = Tiles(photos, (8, 8))
    for _ in range(2):
        list(Selection(found).batches(2, torch.Generator().manual_seed(0)))
    assert sorted(read) == photos


def test_arrays_of_one_size_and_of_many():
    array = RNG.integers(0, 256, (4, 20, 30), np.uint8)
    found = Tiles(array, (10, 10))
    assert (len(found), found.paths, found.cached) == (4, [], False)
    assert torch.equal(found.take(torch.tensor([2]))[0, 0], resize(torch.from_numpy(array[2]), (10, 10)))
    many = [array[0], RNG.integers(0, 256, (100, 301, 3), np.uint8), torch.rand(1, 25, 35)]
    found = Tiles(many, (10, 10))
    assert found.sizes == ((20, 30), (100, 301), (25, 35))
    assert found.dtype == torch.float32
    assert len(found) == 1 + 4 + 1
    assert found.take(torch.arange(6)).shape == (6, 3, 10, 10)
    assert Tiles(many[1:2], (10, 10), channels=1).shape == (1, 10, 10)


def test_16_bits_are_kept(tmp_path, photos):
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((20, 20), 257 * 100 + 64, np.uint16)).save(deep)
    found = Tiles([deep, photos[0]], (20, 20))
    assert found.dtype == torch.float32
    assert found.take(torch.tensor([0])).unique().tolist() == pytest.approx([100 + 64 / 257])
    assert Tiles([photos[0]], (20, 20)).dtype == torch.uint8


@pytest.mark.parametrize("cache", [0, 2**31])
def test_unreadable_photos_are_left_out_and_told(photos, cache):
    photos[0].write_bytes(b"no picture")
    photos[3].write_bytes(photos[3].read_bytes()[:-4000])
    with pytest.raises(SourceError, match=r"a\.jpg"):
        Tiles(photos)
    unread: dict[Path, str] = {}
    found = Tiles(photos, (8, 8), unread=unread, cache_bytes=cache)
    assert found.paths == photos[1:]
    assert list(unread) == [photos[0]]
    assert len(found) == 10
    assert len(found.take(torch.arange(10))) == 4
    assert [number for number, _ in found.by_photo()] == [0, 1]
    assert list(unread) == [photos[0], photos[3]]
    strict = Tiles(photos[1:], (8, 8), cache_bytes=cache)
    with pytest.raises(SourceError, match=r"d\.png is damaged"):
        strict.take(torch.tensor([9]))
    with pytest.raises(SourceError, match="none of 1 files could be read"):
        Tiles(photos[:1], unread={})


def test_a_photo_that_changes_is_told(photos):
    found = Tiles(photos, cache_bytes=0)
    photo(photos[0], 61, 50)
    with pytest.raises(SourceError, match=r"a\.jpg has changed"):
        found.take(torch.tensor([0]))


def test_other_input_is_refused(photos):
    with pytest.raises(InputError, match="no photos"):
        Tiles([])
    with pytest.raises(InputError, match="images must be"):
        Tiles(np.zeros((3, 4)))
    with pytest.raises(OptionError, match="channels must be"):
        Tiles(photos, channels=2)
