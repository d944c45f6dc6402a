"""Pixels of files and arrays come in one unit, whatever the source, and broken files are told in one sentence."""

import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from memae.data import pixels
from memae.errors import InputError, MemaeWarning, OptionError, SourceError

SPOTS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [255, 255, 255], [0, 0, 0]]], np.uint8)
SPOTS_LUMA = [[76, 150, 29], [18, 255, 0]]  # ITU-R 601, rounded
DEEP = np.array([[0, 1, 256], [257, 32768, 65535]], np.uint16)
DEEP_COLOUR = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], axis=-1)


def png_header(width, height, bits=8, kind=2):
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))


def _chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_png16(path, array):
    """16-bit PNG of (h, w, c): Pillow writes none but grey ones."""
    height, width, channels = array.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    head = png_header(width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels])
    path.write_bytes(head + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b""))
    return path


def write_tiff16(path, array):
    """Uncompressed little-endian 16-bit RGB TIFF."""
    height, width, channels = array.shape
    data = array.astype("<u2").tobytes()
    bits_at = 8 + len(data)
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, bits_at), (259, 3, 1, 1), (262, 3, 1, 2),
               (273, 4, 1, 8), (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(data))]  # fmt: skip
    bits = struct.pack(f"<{channels}H", *[16] * channels)
    folder = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<I", bits_at + len(bits))
    path.write_bytes(head + data + bits + struct.pack("<H", len(entries)) + folder + b"\0\0\0\0")
    return path


def saved(image, path, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "tiff", "PNG"])
def test_colour_is_kept_exactly(tmp_path, ending):
    path = saved(Image.fromarray(SPOTS), tmp_path / f"a.{ending}")
    assert pixels.header(path) == ((2, 3), True, False)
    decoded = pixels.decode(path, 3)
    assert decoded.dtype == torch.uint8
    assert torch.equal(decoded, torch.from_numpy(SPOTS).permute(2, 0, 1))


def test_grey_of_colour_is_luma(tmp_path):
    path = saved(Image.fromarray(SPOTS), tmp_path / "a.png")
    assert pixels.decode(path, 1).tolist() == [SPOTS_LUMA]
    assert pixels.decode(path, 1)[0].tolist() == np.asarray(Image.fromarray(SPOTS).convert("L")).tolist()


def test_colour_of_grey_repeats_it(tmp_path):
    path = saved(Image.fromarray(SPOTS[..., 0]), tmp_path / "a.png")
    assert not pixels.header(path).colour
    assert pixels.decode(path, 3).tolist() == [SPOTS[..., 0].tolist()] * 3


def test_jpeg_is_close(tmp_path):
    path = saved(Image.new("RGB", (16, 8), (200, 100, 50)), tmp_path / "a.jpeg", quality=95)
    decoded = pixels.decode(path, 3).float()
    assert decoded.shape == (3, 8, 16)
    assert (decoded - torch.tensor([200.0, 100, 50]).reshape(3, 1, 1)).abs().max() <= 3


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped_not_blended(tmp_path, mode):
    image = Image.fromarray(SPOTS).convert(mode)
    image.putalpha(7)
    path = saved(image, tmp_path / "a.png")
    assert pixels.header(path).colour == (mode == "RGBA")
    assert pixels.decode(path, 1).tolist() == [SPOTS_LUMA]


def test_palette_gives_its_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([9, 8, 7, 200, 100, 50])
    image.putdata([1, 0])
    path = saved(image, tmp_path / "a.png", transparency=b"\x00\x80")
    assert pixels.header(path).colour
    assert pixels.decode(path, 3)[:, 0].T.tolist() == [[200, 100, 50], [9, 8, 7]]


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_one_bit_is_black_and_white(tmp_path, ending):
    path = saved(Image.fromarray(np.array([[0, 255, 0]], np.uint8)).convert("1"), tmp_path / f"a.{ending}")
    decoded = pixels.decode(path, 1)
    assert decoded.dtype == torch.uint8
    assert decoded.tolist() == [[[0, 255, 0]]]


def test_cmyk_is_colour(tmp_path):
    path = saved(Image.new("CMYK", (2, 2), (0, 255, 255, 0)), tmp_path / "a.tif")
    assert pixels.header(path).colour
    assert pixels.decode(path, 3)[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_deep_grey_is_divided_by_257(tmp_path, ending):
    path = saved(Image.fromarray(DEEP), tmp_path / f"a.{ending}")
    assert pixels.header(path) == ((2, 3), False, True)
    decoded = pixels.decode(path, 1)
    assert decoded.dtype == torch.float32
    assert torch.equal(decoded[0], torch.from_numpy(DEEP.astype(np.float32) / 257))
    assert decoded[0, 1, 0] == 1
    assert decoded[0, 1, 2] == 255


@pytest.mark.parametrize(("write", "ending"), [(write_png16, "png"), (write_tiff16, "tif")])
def test_deep_colour_keeps_16_bits(tmp_path, write, ending):
    path = write(tmp_path / f"a.{ending}", DEEP_COLOUR)
    assert pixels.header(path) == ((2, 3), True, True)
    expected = torch.from_numpy(DEEP_COLOUR.astype(np.float32) / 257).permute(2, 0, 1)
    assert torch.equal(pixels.decode(path, 3), expected)
    luma = (expected * torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)).sum(0)
    assert torch.allclose(pixels.decode(path, 1)[0], luma, atol=0.01)


@pytest.mark.parametrize("base", [DEEP[..., None], DEEP_COLOUR], ids=["grey", "colour"])
def test_deep_alpha_is_dropped(tmp_path, base):
    alpha = np.full((*DEEP.shape, 1), 300, np.uint16)
    path = write_png16(tmp_path / "a.png", np.concatenate([base, alpha], axis=-1))
    channels = base.shape[-1]
    assert pixels.header(path).colour == (channels == 3)
    expected = torch.from_numpy(base.astype(np.float32) / 257).permute(2, 0, 1)
    assert torch.equal(pixels.decode(path, channels), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_orientation_is_applied(tmp_path, orientation, ending):
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(Image.fromarray(stored), tmp_path / f"a.{ending}", exif=exif)
    upright = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1],
        5: stored.T, 6: np.rot90(stored, -1), 7: stored[::-1, ::-1].T, 8: np.rot90(stored),
    }[orientation]  # fmt: skip
    assert pixels.decode(path, 1)[0].tolist() == upright.tolist()
    assert pixels.header(path).size == upright.shape


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_colour_turns_as_other_images_do(tmp_path, orientation):
    path = write_png16(tmp_path / "a.png", DEEP_COLOUR)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = path.read_bytes()
    at = data.index(b"IDAT") - 4
    path.write_bytes(data[:at] + _chunk(b"eXIf", exif.tobytes()[6:]) + data[at:])
    flat = saved(Image.fromarray((DEEP_COLOUR // 257).astype(np.uint8)), tmp_path / "b.png", exif=exif)
    assert torch.equal(pixels.decode(path, 3).floor().to(torch.uint8), pixels.decode(flat, 3))
    assert pixels.header(path).size == pixels.header(flat).size == tuple(pixels.decode(path, 3).shape[1:])


def test_further_pages_are_told(tmp_path):
    page = Image.fromarray(SPOTS)
    path = saved(page, tmp_path / "a.tif", save_all=True, append_images=[page, page])
    with pytest.warns(MemaeWarning, match="3 pages and only the first"):
        pixels.decode(path, 3)


def _truncated(ending):
    def write(path):
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        full = saved(Image.fromarray(noise), path.with_name(f"full.{ending}")).read_bytes()
        path.write_bytes(full[: len(full) // 2])

    return write


def _truncated_deep(path):
    noise = np.random.default_rng(0).integers(0, 65536, (64, 64, 3), np.uint16)
    path.write_bytes(write_png16(path, noise).read_bytes()[:9000])


BROKEN = {
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "text": (lambda path: path.write_text("no image at all"), "not a PNG, JPEG, BMP or TIFF"),
    "gif": (lambda path: Image.new("L", (2, 2)).save(path, format="GIF"), "not a PNG, JPEG, BMP or TIFF"),
    "header alone": (lambda path: path.write_bytes(png_header(4, 4)), "its beginning is damaged"),
    "half PNG": (_truncated("png"), "damaged or incomplete"),
    "half JPEG": (_truncated("jpg"), "damaged or incomplete"),
    "half BMP": (_truncated("bmp"), "damaged or incomplete"),
    "half TIFF": (_truncated("tif"), "damaged"),
    "half 16-bit PNG": (_truncated_deep, "damaged or incomplete"),
    "float TIFF": (lambda path: Image.new("F", (2, 2)).save(path, format="TIFF"), "convert it"),
    "missing": (lambda path: None, "cannot read .*check the path"),
    "folder": (lambda path: path.mkdir(), "cannot read"),
}


@pytest.mark.parametrize(("write", "told"), BROKEN.values(), ids=BROKEN)
def test_broken_files_are_named(tmp_path, write, told):
    path = tmp_path / "broken.png"
    write(path)
    with pytest.raises(SourceError, match=told) as caught:
        pixels.decode(path, 1)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [3, 9, 60, 120])
@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif"])
def test_no_cut_gives_another_error_or_warning(tmp_path, ending, cut):
    noise = np.random.default_rng(0).integers(0, 256, (18, 27, 3), np.uint8)
    path = saved(Image.fromarray(noise), tmp_path / f"a.{ending}")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(SourceError, match=r"a\."):
        pixels.decode(path, 3)


def test_unreadable_file(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = saved(Image.fromarray(SPOTS), tmp_path / "a.png")
    path.chmod(0)
    with pytest.raises(SourceError, match="permission"):
        pixels.decode(path, 3)


def test_oversized_is_refused_from_the_header(tmp_path, monkeypatch):
    path = saved(Image.fromarray(SPOTS), tmp_path / "a.png")
    monkeypatch.setattr(pixels, "MAX_PIXELS", 5)
    with pytest.raises(SourceError, match="6 pixels, over the limit of 5"):
        pixels.header(path)
    monkeypatch.setattr(pixels, "MAX_PIXELS", 6)
    assert pixels.header(path).size == (2, 3)


@pytest.mark.parametrize("side", [9_999, 12_000, 60_000])
def test_huge_headers_never_meet_the_warning_of_pillow(tmp_path, side):
    path = tmp_path / "a.png"
    path.write_bytes(png_header(side, side) + _chunk(b"IDAT", b""))
    if side * side <= pixels.MAX_PIXELS:
        assert pixels.header(path).size == (side, side)
    else:
        with pytest.raises(SourceError, match="over the limit of 100,000,000"):
            pixels.header(path)


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_other_channels_are_refused(tmp_path, channels):
    with pytest.raises(OptionError, match=f"got {channels}"):
        pixels.decode(tmp_path / "a.png", channels)


def test_resize_does_not_depend_on_the_batch():
    images = torch.randint(0, 256, (5, 3, 13, 17), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for dtype in (torch.uint8, torch.float32):
        batch = pixels.resize(images.to(dtype), (8, 9))
        assert batch.dtype == dtype
        assert batch.shape == (5, 3, 8, 9)
        assert all(
            torch.equal(pixels.resize(image.to(dtype), (8, 9)), row) for image, row in zip(images, batch, strict=True)
        )
        assert torch.equal(pixels.resize(images[0, 0].to(dtype), (8, 9)), batch[0, 0])


def test_resize_averages_what_it_shrinks():
    checkers = (torch.arange(64).reshape(8, 8) + torch.arange(8)[:, None]) % 2 * 200.0
    assert torch.allclose(pixels.resize(checkers, (1, 1)), torch.tensor([[100.0]]))


def test_arrays_come_in_grey_levels():
    assert pixels.pixels_of_array(np.array([True, False]), "x").tolist() == [255, 0]
    assert pixels.pixels_of_array(np.array([0, 257, 65535], ">u2"), "x").tolist() == [0, 1, 255]
    assert pixels.pixels_of_array(np.array([3, 300]), "x").tolist() == [3, 300]
    read_only = np.array([1, 2], np.uint8)
    read_only.flags.writeable = False
    assert pixels.pixels_of_array(read_only, "x").dtype == torch.uint8


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.array([[0, np.nan]]), r"1 values that are not finite, the first at \(0, 1\)"),
        (np.array([1e300]), "not finite"),
        (np.array([1j]), "complex128"),
        (np.array(["a"]), "type <U1"),
        (np.array([None]), "type object"),
    ],
)
def test_other_values_are_refused(array, told):
    with pytest.raises(InputError, match=told):
        pixels.pixels_of_array(array, "X")


def test_ragged_lists_are_refused():
    with pytest.raises(InputError, match="different shapes"):
        pixels.array_of([[1, 2], [3]], "X")


def test_damaged_metadata_does_not_matter(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a maker of cameras"
    path = saved(Image.fromarray(SPOTS), tmp_path / "a.jpg", exif=exif)
    data = path.read_bytes()
    at = data.index(b"Exif") + 6 + 8 + 2 + 4  # the length of the first entry
    path.write_bytes(data[:at] + b"\xff\xff" + data[at + 2 :])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert pixels.decode(path, 3).shape == (3, *pixels.header(path).size)
    assert caught == []


def test_natural_order():
    names = ["b/10.png", "b/9.png", "B/2.png", "a/1.png", "a/x.png"]
    ordered = sorted(map(Path, names), key=pixels.natural_key)
    assert [str(path) for path in ordered] == ["a/1.png", "a/x.png", "B/2.png", "b/9.png", "b/10.png"]
