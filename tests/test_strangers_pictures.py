"""Photos and films as other programs write them, through fit, score, evaluate, explain, report and the service."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import ExifTags, Image
from tests.asked import served
from tests.photographs import parts, scratched

from memae.demo import street

pytestmark = pytest.mark.usefixtures("described_at_random")
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def saved(image: Image.Image, form: str, **more: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **more)
    return file.getvalue()


def phone(pixels: Pixels) -> bytes:
    """A JPEG that lies on its side, with a note in its EXIF that it does."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # shown turned clockwise by 90°
    return saved(Image.fromarray(np.rot90(pixels)).convert("RGB"), "JPEG", exif=exif, quality=92)


def microscope(pixels: Pixels) -> bytes:
    """16 bits a pixel."""
    return saved(Image.fromarray(pixels.astype(np.uint16) * 257), "TIFF", compression="tiff_lzw")


def screenshot(pixels: Pixels) -> bytes:
    """A PNG with a channel that says that nothing is transparent."""
    return saved(Image.fromarray(pixels).convert("RGBA"), "PNG")


PHOTOS: dict[str, tuple[str, Callable[[Pixels], bytes]]] = {
    "a phone": ("jpg", phone),
    "a microscope": ("tif", microscope),
    "a screenshot": ("png", screenshot),
    "the web, progressive": ("JPEG", lambda x: saved(Image.fromarray(x).convert("RGB"), "JPEG", progressive=True)),
    "the web": ("webp", lambda x: saved(Image.fromarray(x).convert("RGB"), "WEBP", quality=90)),
    "Paint": ("BMP", lambda x: saved(Image.fromarray(x).convert("RGB"), "BMP")),
    "a printer's shop": ("jpg", lambda x: saved(Image.fromarray(x).convert("CMYK"), "JPEG", quality=95)),
    "an old web page": ("gif", lambda x: saved(Image.fromarray(x).convert("P"), "GIF")),
    "an archive": ("jp2", lambda x: saved(Image.fromarray(x), "JPEG2000")),
    "netpbm": ("pgm", lambda x: saved(Image.fromarray(x), "PPM")),
}
GOOD, TESTED = 16, 4


@pytest.mark.parametrize("program", PHOTOS)
def test_a_strangers_photos_go_all_the_way(program, run, tmp_path):
    ending, write = PHOTOS[program]
    for folder, photos in (
        ("set/train/good", parts(GOOD)),
        ("set/test/good", parts(TESTED, seed=7)),
        ("set/test/scratch", scratched(TESTED)),
    ):
        (tmp_path / folder).mkdir(parents=True)
        for number, pixels in enumerate(photos):
            (tmp_path / folder / f"IMG {number:04}.{ending}").write_bytes(write(pixels))
    new, model = tmp_path / "set/test", tmp_path / "m.memae"

    def done(*arguments: object) -> str:
        ran = run(*arguments)
        assert ran.code == 0, ran.err
        return ran.out

    done("fit", "images", tmp_path / "set/train/good", "-o", model)
    done("score", model, new, "-o", tmp_path / "s.jsonl", "--maps", tmp_path / "maps", "--masks", tmp_path / "masks")
    scores = pd.read_json(tmp_path / "s.jsonl", lines=True)
    assert len(scores) == 2 * TESTED
    odd = scores["path"].str.contains("scratch")
    assert scores["score"][odd].min() > scores["score"][~odd].max()
    assert len(list((tmp_path / "maps").rglob("*.*"))) == len(list((tmp_path / "masks").rglob("*.*"))) == len(scores)
    assert json.loads(done("evaluate", model, tmp_path / "set", "--json"))["auroc"]["value"] == 1
    assert "scratch" in json.loads(done("explain", model, new, "--json", "--top", 1).splitlines()[0])["name"]
    done("report", model, new, "-o", tmp_path / "r.html")
    files = [(path.name, path.read_bytes()) for path in sorted((new / "scratch").iterdir())]
    np.testing.assert_allclose(served(model, files), scores.sort_values("path")["score"][odd], rtol=1e-6)


FILMS = {
    "a phone": ("mov", "libx264", "yuv420p", {"bf": "2", "preset": "ultrafast"}),
    "a browser": ("webm", "libvpx", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}),
    "an old camera": ("avi", "mjpeg", "yuvj422p", {}),
    "a recorder": ("ts", "mpeg2video", "yuv420p", {}),
    "a camcorder": ("m2ts", "libx264", "yuv420p", {"preset": "ultrafast"}),
    "an editor": ("mkv", "ffv1", "gray", {}),
    "a drone": ("mp4", "libx265", "yuv420p10le", {"preset": "ultrafast", "x265-params": "log-level=none"}),
    "a screen recorder": ("mp4", "mpeg4", "yuv420p", {}),
}


FRAMES = 48


def film(path: Path, frames: Pixels, codec: str, layout: str, options: dict[str, str]) -> None:
    import av

    with av.open(str(path), "w") as container:
        try:
            stream = container.add_stream(codec, rate=25, options=options)
        except ValueError:
            pytest.skip(f"this build of FFmpeg has no {codec}")
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = layout
        stream.bit_rate = 2_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())


@pytest.mark.parametrize("program", FILMS)
def test_a_strangers_films_go_all_the_way(program, run, tmp_path):
    ending, *how = FILMS[program]
    for name, frames in (
        *((f"normal/{seed}", street(FRAMES, seed)) for seed in range(3)),
        ("test/box", street(FRAMES, 5, box=FRAMES // 2)),
    ):
        path = tmp_path / f"{name}.{ending}"
        path.parent.mkdir(exist_ok=True)
        film(path, frames, *how)
    model, new = tmp_path / "m.memae", tmp_path / f"test/box.{ending}"
    (tmp_path / "labels").mkdir()
    np.save(tmp_path / "labels/box.npy", np.arange(FRAMES) >= FRAMES // 2)

    def done(*arguments: object) -> str:
        ran = run(*arguments)
        assert ran.code == 0, ran.err
        return ran.out

    done("fit", "video", tmp_path / "normal", "-o", model)
    done("score", model, new, "-o", tmp_path / "s.csv")
    scores = pd.read_csv(tmp_path / "s.csv")
    assert len(scores) == FRAMES
    np.testing.assert_allclose(scores["time"] - scores["time"][0], np.arange(FRAMES) / 25, atol=0.021)
    facts = json.loads(done("evaluate", model, new, "--labels", tmp_path / "labels", "--json"))
    assert facts["auroc"]["value"] > 0.9
    done("explain", model, new, "--json", "--top", 1)
    done("report", model, new, "-o", tmp_path / "r.html")
    done("watch", model, new, "-o", tmp_path / "alarms")
    np.testing.assert_allclose(served(model, [(new.name, new.read_bytes())]), scores["score"], rtol=1e-6)
