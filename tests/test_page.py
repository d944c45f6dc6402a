"""The service's page in a real browser, by clicks and keys alone; skipped where Chromium is not installed."""

import csv
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.goods import bars, table
from tests.serving import encoded

from memae import ImageMemAE, TabularMemAE, VideoMemAE
from memae.service.app import Service
from memae.service.limits import Limits
from memae.service.server import Server, bound

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TOKEN = "a-token-of-sixteen-and-more"  # noqa: S105 (of the tests)

expect.set_options(timeout=20_000)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def rows() -> TabularMemAE:
    return TabularMemAE(kept_samples=60).fit(table(300))


@pytest.fixture(scope="module")
def images() -> ImageMemAE:
    return ImageMemAE(8, epochs=3, kept_samples=20, widths=(6, 8), strides=[(2, 2), (2, 2)]).fit(bars(80))


def serving(service: Service) -> Iterator[str]:
    """The address of a service while it runs."""
    listening = bound("127.0.0.1", 0, None)
    server = Server(service, Limits())
    thread = threading.Thread(target=server.serve_on, args=(listening,))
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    service.gate.closed = True
    thread.join()


@pytest.fixture(scope="module")
def address(rows: TabularMemAE, images: ImageMemAE, watcher: VideoMemAE) -> Iterator[str]:
    yield from serving(Service({"rows": rows, "images": images, "film": watcher}))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page, opened; it asks nobody but the service, and nothing goes wrong in it."""
    context = browser.new_context(accept_downloads=True)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on(
        "request",
        lambda request: wrong.append(request.url) if not request.url.startswith((address, "data:", "blob:")) else None,
    )
    opened.on(
        "console",
        lambda message: (
            wrong.append(message.text) if message.type in ("error", "warning") and "422" not in message.text else None
        ),
    )
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("filechooser", lambda _: None)  # from now on, since a key may be faster than the first who waits for one
    opened.goto(address)
    opened.get_by_label(re.compile("Drop")).wait_for()  # it has asked what there is
    yield opened
    context.close()
    assert not wrong


@pytest.fixture(scope="module")
def goods(tmp_path_factory: pytest.TempPathFactory, squares: Any) -> Path:
    """A table, pictures and a video, each with something odd in it."""
    folder = tmp_path_factory.mktemp("goods")
    frame = table(60, seed=1)
    frame.loc[41, "weight"] = 99.0
    frame.to_csv(folder / "new.csv", index=False)
    frame.assign(label=1).to_csv(folder / "labelled.csv", index=False)
    pictures = bars(5, seed=2)
    pictures[3] = 255 - pictures[3]
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"part {number}.png")
    (folder / "walk.mp4").write_bytes(encoded(squares(60, odd=(20, 40)), "mp4"))
    return folder


def give(page: Page, *paths: Path) -> None:
    """Chooses files by a click on the button that says so."""
    with page.expect_file_chooser() as chooser:
        page.get_by_label(re.compile("Drop")).click()
    chooser.value.set_files(list(paths))


def test_a_table(page: Page, goods: Path, rows: TabularMemAE, tmp_path: Path) -> None:
    give(page, goods / "new.csv")
    expect(page.get_by_role("heading", name="new.csv")).to_be_focused()
    frame = pd.read_csv(goods / "new.csv")
    flagged = int((rows.predict(frame) < 0).sum())
    expect(page.locator("#summary")).to_contain_text(f"{flagged} of 60 rows look")
    first = page.locator("#list tbody tr").first
    expect(first).to_contain_text("row 41")
    expect(first).to_contain_text("unusual")
    first.get_by_role("button", name="Why row 41?").click()
    expect(page.get_by_role("heading", name="Why row 41 looks unusual")).to_be_focused()
    reasons = page.locator("#reasons table").first.locator("tbody tr")
    assert {reasons.nth(0).locator("td").first.inner_text(), reasons.nth(1).locator("td").first.inner_text()} == {
        "size",
        "weight",
    }
    expect(page.locator("#reasons")).to_contain_text("99")
    page.get_by_role("button", name="Back").click()
    expect(first.get_by_role("button")).to_be_focused()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "scores.csv")
    told = pd.read_csv(tmp_path / "scores.csv")
    assert list(told) == ["row", "score", "p_value", "is_anomaly"]
    np.testing.assert_array_equal(told["score"], rows.anomaly_score(frame))
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#list tbody tr")).to_have_count(60)
    page.get_by_role("button", name="Row", exact=True).click()
    expect(page.locator("#list tbody tr").first).to_contain_text("row 0")
    expect(page.locator("#list th").first).to_have_attribute("aria-sort", "ascending")


def test_kept_rows_are_named(browser: Browser, goods: Path) -> None:
    detector = TabularMemAE().fit(table(300))
    [evidence] = detector.explain(goods / "new.csv", only=[41])
    for address in serving(Service({"kept": detector})):
        page = browser.new_page()
        page.goto(address)
        give(page, goods / "new.csv")
        page.get_by_role("button", name="Why row 41?").click()
        page.get_by_text("What the model remembered").click()
        for item in evidence.items:
            expect(page.get_by_role("heading", name=re.compile(f"^{item.sample}: "))).to_be_visible()
        expect(page.locator("#reasons details").last).to_contain_text("The model keeps normal rows of the training.")
        expect(page.locator("#reasons details").last).not_to_contain_text("Closest in the training")
        expect(page.locator("#reasons")).not_to_contain_text("null")
        page.close()


def test_columns_to_leave_out(page: Page, goods: Path) -> None:
    give(page, goods / "labelled.csv")
    expect(page.locator("#summary")).to_contain_text("Left out, since the model does not know them: label.")
    page.get_by_label("Columns to leave out").fill("label")
    page.get_by_label("Columns to leave out").press("Enter")
    expect(page.locator("#summary")).not_to_contain_text("Left out")
    expect(page.get_by_role("heading", name="labelled.csv")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_pictures(page: Page, goods: Path) -> None:
    page.get_by_label("Model").select_option("images")
    give(page, *sorted(goods.glob("*.png")))
    expect(page.get_by_role("heading", name="5 pictures")).to_be_visible()
    first = page.locator("#list tbody tr").first
    expect(first).to_contain_text("part 3.png")
    assert first.locator("img").evaluate("image => image.naturalWidth") == 16
    first.get_by_role("button", name="Why part 3.png?").click()
    shown = page.locator("#reasons .pictures").first.locator("img")
    expect(shown).to_have_count(3)
    for number in range(3):
        assert shown.nth(number).evaluate("image => image.naturalWidth") > 0
    page.get_by_text("What the model remembered").click()
    expect(page.locator("#reasons details")).to_contain_text("of the answer")


def test_one_table_at_a_time(page: Page, goods: Path) -> None:
    give(page, goods / "new.csv", goods / "labelled.csv")
    expect(page.get_by_role("alert")).to_contain_text("These are 2 files; give one table at a time.")
    give(page, goods / "part 0.png", goods / "part 3.png")  # the model that takes them is found
    expect(page.get_by_role("heading", name="2 pictures")).to_be_focused()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_video(page: Page, goods: Path, watcher: VideoMemAE, tmp_path: Path) -> None:
    give(page, goods / "walk.mp4")  # the model that takes it is found
    expect(page.get_by_label("Model")).to_have_value("film")
    expect(page.get_by_role("img", name="anomaly score over time")).to_be_visible()
    scores = watcher.anomaly_score(goods / "walk.mp4")
    expect(page.locator("#timeline")).to_contain_text(f"frame {scores.argmax()}:")  # the peak is chosen
    page.get_by_role("button", name="Why this frame?").click()
    expect(page.get_by_role("heading", name=f"Why frame {scores.argmax()}")).to_be_focused()
    assert page.get_by_alt_text("Where it is unusual").evaluate("image => image.naturalWidth") > 0
    picture = page.get_by_role("img", name="anomaly score over time")
    box = picture.bounding_box()
    assert box is not None
    picture.click(position={"x": 1, "y": box["height"] / 2})
    expect(page.locator("#timeline")).to_contain_text("frame 0:")
    most = int((scores > watcher.threshold_).sum()) > len(scores) / 2
    assert ("unlike what the model has learned" in (page.locator("#summary").text_content() or "")) == most
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as file:
        assert [float(row["score"]) for row in csv.DictReader(file)] == scores.tolist()


def test_keys_are_enough(page: Page, goods: Path) -> None:
    page.get_by_label("Model").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_label(re.compile("Drop"))).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(goods / "walk.mp4")
    expect(page.get_by_role("heading", name="walk.mp4")).to_be_focused()
    page.keyboard.press("Tab")  # download
    page.keyboard.press("Tab")
    slider = page.get_by_role("slider", name="Frame")
    expect(slider).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#timeline")).to_contain_text("frame 1:")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Why frame 1,")).to_be_focused()
    page.get_by_role("button", name="Back").press("Enter")
    expect(page.get_by_role("button", name="Why this frame?")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(page: Page, goods: Path, scheme: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)
    give(page, goods / "walk.mp4")
    page.get_by_role("button", name="Why this frame?").click()
    expect(page.get_by_alt_text("The frame")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360  # nothing is cut off
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", back))) < 150) == (scheme == "dark")


def test_what_is_dropped_is_taken(page: Page) -> None:
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["size,weight,shop\\n10,30,a\\n10,<b>90</b>,a\\n"], "<img src=x>.csv"));
            document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }"""
    )
    expect(page.get_by_role("alert")).to_contain_text("row 1 has '<b>90</b>'")  # and is text, whatever it holds


def test_the_page_asks_for_the_token(browser: Browser, rows: TabularMemAE, goods: Path) -> None:
    served = serving(Service({"rows": rows}, token=TOKEN))
    page = browser.new_page()
    page.goto(next(served))
    page.get_by_label("asks for a token").fill("wrong")
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_role("alert")).to_contain_text("not the token")
    page.get_by_label("asks for a token").fill(TOKEN)
    page.get_by_role("button", name="Use it").click()
    give(page, goods / "new.csv")
    expect(page.get_by_role("heading", name="new.csv")).to_be_visible()
    page.close()
    next(served, None)
