"""Pixels of files and arrays come in one unit, whatever the source, and broken files are told in one sentence."""

import io
import os
import struct
import sys
import warnings
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from memae.data import image_formats, pixels
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


EXACT = ["png", "bmp", "tif", "tiff", "PNG", "webp", "gif", "jp2", "j2k", "ppm", "tga", "pcx"]
LOSSLESS = {"webp": {"lossless": True, "exact": True}}


@pytest.mark.parametrize("ending", EXACT)
def test_colour_is_kept_exactly(tmp_path, ending):
    path = saved(Image.fromarray(SPOTS), tmp_path / f"a.{ending}", **LOSSLESS.get(ending, {}))
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


@pytest.mark.parametrize("ending", ["jpeg", "jfif", "webp", "avif"])
def test_lossy_formats_are_close(tmp_path, ending):
    path = saved(Image.new("RGB", (16, 8), (200, 100, 50)), tmp_path / f"a.{ending}", quality=95)
    assert pixels.is_image(path)
    decoded = pixels.decode(path, 3).float()
    assert decoded.shape == (3, 8, 16)
    assert (decoded - torch.tensor([200.0, 100, 50]).reshape(3, 1, 1)).abs().max() <= 3


@pytest.mark.parametrize("name", ["WEBP", "GIF", "JPEG2000", "AVIF", "PPM"])
def test_the_content_tells_the_format_not_the_ending(tmp_path, name):
    path = saved(Image.new("RGB", (16, 8), (200, 100, 50)), tmp_path / "a.jpg", format=name)
    assert pixels.header(path).size == (8, 16)
    assert pixels.decode(path, 3).shape == (3, 8, 16)


def test_formats_without_a_signature_need_their_ending(tmp_path):
    image = Image.new("RGB", (16, 8), (200, 100, 50))
    assert pixels.decode(saved(image, tmp_path / "a.TGA"), 3)[:, 0, 0].tolist() == [200, 100, 50]
    with pytest.raises(SourceError, match="not a PNG"):
        pixels.decode(saved(image, tmp_path / "b.png", format="TGA"), 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped_not_blended(tmp_path, mode):
    image = Image.fromarray(SPOTS).convert(mode)
    image.putalpha(7)
    path = saved(image, tmp_path / "a.png")
    assert pixels.header(path).colour == (mode == "RGBA")
    assert pixels.decode(path, 1).tolist() == [SPOTS_LUMA]


@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_what_alpha_hides_is_black_whatever_lies_there(tmp_path, ending):
    image = Image.fromarray(SPOTS).convert("RGBA")
    alpha = np.array([[0, 1, 255], [0, 128, 255]], np.uint8)
    image.putalpha(Image.fromarray(alpha))
    decoded = pixels.decode(saved(image, tmp_path / f"a.{ending}", **LOSSLESS.get(ending, {})), 3)
    assert decoded.permute(1, 2, 0).tolist() == (SPOTS * (alpha > 0)[..., None]).tolist()
    image.putalpha(0)  # as some programs write what they mean to be opaque
    decoded = pixels.decode(saved(image, tmp_path / f"b.{ending}", **LOSSLESS.get(ending, {})), 3)
    assert decoded.permute(1, 2, 0).tolist() == SPOTS.tolist()


@pytest.mark.parametrize("base", [DEEP[..., None], DEEP_COLOUR], ids=["grey", "colour"])
def test_what_deep_alpha_hides_is_black(tmp_path, base):
    alpha = np.array([[0, 1, 65535], [0, 300, 65535]], np.uint16)[..., None]
    path = write_png16(tmp_path / "a.png", np.concatenate([base, alpha], axis=-1))
    expected = torch.from_numpy((base * (alpha > 0)).astype(np.float32) / 257).permute(2, 0, 1)
    assert torch.equal(pixels.decode(path, base.shape[-1]), expected)


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


@pytest.mark.parametrize(("ending", "close"), [("tif", 0), ("jpg", 3)])
def test_cmyk_is_colour(tmp_path, ending, close):
    path = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / f"a.{ending}")
    assert pixels.header(path).colour
    assert (pixels.decode(path, 3)[:, 0, 0].int() - torch.tensor([255, 0, 0])).abs().max() <= close


@pytest.mark.parametrize("ending", ["png", "tif", "pgm", "jp2"])
def test_deep_grey_is_divided_by_257(tmp_path, ending):
    path = saved(Image.fromarray(DEEP), tmp_path / f"a.{ending}")
    assert pixels.header(path) == ((2, 3), False, True)
    decoded = pixels.decode(path, 1)
    assert decoded.dtype == torch.float32
    assert torch.equal(decoded[0], torch.from_numpy(DEEP.astype(np.float32) / 257))
    assert decoded[0, 1, 0] == 1
    assert decoded[0, 1, 2] == 255


def write_ppm16(path, array):
    """16-bit PPM of (h, w, 3)."""
    path.write_bytes(b"P6 %d %d 65535\n" % array.shape[1::-1] + array.astype(">u2").tobytes())
    return path


def write_jp2(path, array):
    """16-bit JPEG 2000 of (h, w, 3), without loss."""
    with av.open(path, "w", format="image2") as file:
        stream = file.add_stream("jpeg2000", rate=1, options={"pred": "dwt53"})
        stream.width, stream.height, stream.pix_fmt = array.shape[1], array.shape[0], "rgb48le"
        frame = av.VideoFrame.from_ndarray(array, "rgb48le")
        file.mux([*stream.encode(frame), *stream.encode()])
    return path


def test_other_depths_of_pgm_are_grey_levels_too(tmp_path):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 3 1 4095\n" + np.array([0, 2048, 4095], ">u2").tobytes())
    assert pixels.header(path) == ((1, 3), False, True)
    assert pixels.decode(path, 1)[0, 0].tolist() == pytest.approx([0, 127.53, 255], abs=0.01)
    path.write_bytes(b"P5 3 1 15\n" + bytes([0, 8, 15]))
    assert pixels.decode(path, 1)[0, 0].tolist() == [0, 136, 255]


@pytest.mark.parametrize(
    ("write", "ending"), [(write_png16, "png"), (write_tiff16, "tif"), (write_ppm16, "ppm"), (write_jp2, "jp2")]
)
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
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_orientation_is_applied(tmp_path, orientation, ending):
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(Image.fromarray(stored), tmp_path / f"a.{ending}", exif=exif, **LOSSLESS.get(ending, {}))
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


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "avif"])
def test_of_animations_the_first_frame_is_read(tmp_path, ending):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    path = saved(frames[0], tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:])
    with pytest.warns(MemaeWarning, match="3 frames and only the first is read"):
        decoded = pixels.decode(path, 3)
    assert (decoded[:, 8, 8].int() - torch.tensor([255, 0, 0])).abs().max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_avif(tmp_path, orientation):
    stored = np.zeros((16, 24), np.uint8)
    stored[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = ImageOps.exif_transpose(saved_again(Image.fromarray(stored), exif))
    path = saved(Image.fromarray(stored), tmp_path / "a.avif", exif=exif, quality=100)
    assert pixels.header(path).size == turned.size[::-1]
    assert (pixels.decode(path, 1)[0].int() - torch.from_numpy(np.array(turned)).int()).abs().max() <= 9


def saved_again(image, exif):
    """The image as a PNG with this EXIF holds it."""
    out = io.BytesIO()
    image.save(out, "PNG", exif=exif)
    return Image.open(out)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


def test_heic_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "OPEN", {name: each for name, each in Image.OPEN.items() if name != "HEIF"})
    image_formats._with_heif.cache_clear()
    for name in ("a.heic", "a.jpg"):
        (tmp_path / name).write_bytes(HEIC)
        with pytest.raises(
            SourceError, match=r"is a HEIC photo, which needs the package pillow-heif: pip install 'memae\[heic\]', or"
        ):
            pixels.decode(tmp_path / name, 3)
    image_formats._with_heif.cache_clear()


def test_heic_is_read_where_its_package_is(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    image = heif.from_pillow(Image.new("RGB", (64, 48), (200, 100, 50)))
    image.save(tmp_path / "a.heic", quality=95)
    assert pixels.header(tmp_path / "a.heic") == ((48, 64), True, False)
    expected = torch.tensor([200, 100, 50]).reshape(3, 1, 1)
    assert (pixels.decode(tmp_path / "a.heic", 3).int() - expected).abs().max() <= 3
    path = tmp_path / "half.heic"
    path.write_bytes((tmp_path / "a.heic").read_bytes()[:300])
    with pytest.raises(SourceError, match=r"half\.heic .*damaged"):
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
    "text": (lambda path: path.write_text("no image at all"), "not a PNG, JPEG, .* or PCX image"),
    "icon": (lambda path: Image.new("L", (2, 2)).save(path, format="ICO"), "not a PNG, JPEG, .* or PCX image"),
    "header alone": (lambda path: path.write_bytes(png_header(4, 4)), "or it is damaged"),
    "half PNG": (_truncated("png"), "damaged or incomplete"),
    "half JPEG": (_truncated("jpg"), "damaged or incomplete"),
    "half BMP": (_truncated("bmp"), "damaged or incomplete"),
    "half TIFF": (_truncated("tif"), "damaged"),
    "half GIF": (_truncated("gif"), "damaged or incomplete"),
    "half WebP": (_truncated("webp"), "damaged or incomplete"),
    "half JPEG 2000": (_truncated("jp2"), "damaged or incomplete"),
    "half AVIF": (_truncated("avif"), "damaged"),
    "half PPM": (_truncated("ppm"), "damaged or incomplete"),
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
@pytest.mark.parametrize(
    "ending", ["png", "jpg", "bmp", "tif", "webp", "gif", "jp2", "j2k", "avif", "ppm", "tga", "pcx"]
)
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


@pytest.mark.parametrize("ending", ["png", "webp", "gif", "jp2", "avif", "ppm", "tga", "pcx"])
def test_oversized_is_refused_from_the_header(tmp_path, monkeypatch, ending):
    path = saved(Image.fromarray(SPOTS), tmp_path / f"a.{ending}")
    times = 2 if ending in ("webp", "jp2", "avif") else 1
    monkeypatch.setattr(pixels, "MAX_PIXELS", 5 * times)
    with pytest.raises(SourceError, match="6 pixels, over the limit of 5"):
        pixels.header(path)
    monkeypatch.setattr(pixels, "MAX_PIXELS", 6 * times)
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
