"""`memae report`: what the page says, that nothing in it comes from elsewhere or from the data, and what it costs."""

import base64
import io
import re
import tracemalloc
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memae import Calibration, ImageMemAE, TabularMemAE, VideoMemAE
from memae.errors import OptionError, SchemaError, SourceError
from memae.report import survey, write

RNG = np.random.default_rng(0)
EVIL = '<script>alert("1")</script>&"\'><img src=x onerror=alert(2)>'
VOID = {"meta", "img", "br"}

Run = Callable[..., Any]  # the fixture of conftest.py: gives code, out, err


class Page(HTMLParser):
    """What a browser makes of a page: elements, their attributes, and the text of each section."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {"": ""}
        self._open: list[str] = []
        self._section = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
            self.text[self._section] = ""
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in ("td", "th"):
            self.text[self._section] += "|"
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text[self._section] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def check_self_contained(page: Page) -> None:
    """Nothing is loaded, nothing runs, and what is linked is there."""
    assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in page.tags}
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        assert (attributes.get("src") or "data:image/").startswith("data:image/"), tag
        assert (attributes.get("href") or "#").startswith("#"), tag
        assert (attributes.get("href") or "#")[1:] in {"", *ids}
    assert not re.search(r"https?:|url\(|@import", page.source)
    for image in page.of("img"):
        assert image["alt"]
        data = (image["src"] or "").split(",")[1]
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            picture.verify()
    assert all(chart["aria-label"] for chart in page.of("svg") if chart.get("role") == "img")
    assert "prefers-color-scheme: dark" in page.source


# -------------------------------------------------------------------------------------------------------------- tables


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Normal rows: b follows a, and two shops."""
    a = RNG.normal(size=400)
    shops = RNG.choice(["north", "south"], 400)
    return pd.DataFrame({"a": a, "b": a + RNG.normal(0, 0.1, 400), EVIL: shops, "c": RNG.normal(size=400)})


@pytest.fixture(scope="module")
def table(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TabularMemAE]:
    """A folder with a table of today, and a detector: rows 7, 20 and 21 are odd, the last two the same."""
    folder = tmp_path_factory.mktemp("table")
    detector = TabularMemAE(8, widths=(8, 4), epochs=8, keep_examples=True).fit(rows[:300])
    today = rows[300:].reset_index(drop=True)
    today.loc[7, "c"] = 9.0
    today.loc[20:21] = [1.0, -1.0, f"{EVIL}{'x' * 200}", 0.0]
    today.to_csv(folder / "today.csv", index=False)
    return folder, detector


@pytest.fixture(scope="module")
def of_table(table: tuple[Path, TabularMemAE]) -> Page:
    folder, detector = table
    write(detector, folder / "today.csv", folder / "report.html", top=3, title=f"Title {EVIL}")
    return Page(folder / "report.html")


def test_a_table_is_told_in_its_own_columns(of_table: Page, table: tuple[Path, TabularMemAE]) -> None:
    folder, detector = table
    check_self_contained(of_table)
    today = pd.read_csv(folder / "today.csv")
    scores = detector.anomaly_score(today)
    flagged = int((scores > detector.threshold_).sum())
    text = of_table.text
    assert f"{flagged} of 100 rows are flagged" in text["summary"]
    assert f"about {detector.calibration_.promised() * 100:.2g}: between" in text["summary"]
    assert "Column" in text["summary"]  # the shop that was never seen in training
    assert "were never seen in training" in text["summary"]
    assert "Normal rows, which set the threshold (30)" in text["scores"]
    assert "The rows of this report (100)" in text["scores"]
    assert "1. row 20" in text["reasons"]  # the first of the two
    assert "2 rows have exactly this score" in text["reasons"]
    assert "2. row 7" in text["reasons"]
    (evidence,) = detector.explain(today.iloc[[7]])
    first = evidence.contributions[0]
    assert (
        f"Mostly because c is 9 where {first.expected:.4g} was expected ({first.share:.0%}".replace("%", "\xa0%")
        in (text["reasons"])
    )
    assert "nearest training rows" in text["reasons"]
    assert "The 8 most used items in your columns" in text["memory"]
    for item in range(8):
        assert f"item {item}" in text["memory"]
    assert detector.health_ is not None
    assert f"{detector.health_.in_use} of 8 items are used" in text["health"]
    assert detector.checksum_ in text["origin"]
    assert "n_items=8" in text["origin"]


def test_kept_rows_are_told_as_such(rows: pd.DataFrame, table: tuple[Path, TabularMemAE], tmp_path: Path) -> None:
    detector = TabularMemAE().fit(rows[:300])
    write(detector, table[0] / "today.csv", tmp_path / "report.html", top=3)
    text = Page(tmp_path / "report.html").text
    [evidence] = detector.explain(pd.read_csv(table[0] / "today.csv").iloc[[20]])
    assert all(str(item.sample) in text["reasons"] for item in evidence.items[:4])
    assert "The memory holds 300 normal rows of the training data" in text["memory"]
    assert "has kept 300 rows of the training data" in text["health"]
    for words in ("item ", "epoch", "held-out", "training queries"):
        assert words not in text["reasons"] + text["memory"] + text["health"] + text["origin"]


def test_flagged_rows_are_told_together(of_table: Page, table: tuple[Path, TabularMemAE]) -> None:
    folder, detector = table
    today = pd.read_csv(folder / "today.csv")
    odd = today[detector.anomaly_score(today) > detector.threshold_]
    parts = detector.contributions(odd)
    main = parts.idxmax(axis=1).value_counts()
    told = of_table.text["columns"]
    assert f"the {len(odd)} flagged ones" in told
    for name, count in main.items():
        assert f"{name}|{count}|" in told


def test_hostile_names_and_values_are_text(of_table: Page) -> None:
    """A tag that came from the data would be an element of its own: `check_self_contained` finds scripts."""
    assert f"Title {EVIL}" in of_table.text[""]
    assert EVIL in of_table.text["reasons"]
    assert "x" * 100 not in of_table.source  # long values are cut
    assert len(of_table.of("h1")) == 1
    assert not of_table.of("img")  # and tables have no pictures
    policy = next(meta for meta in of_table.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_the_charts_count_what_was_scored(of_table: Page, table: tuple[Path, TabularMemAE]) -> None:
    folder, detector = table
    scores = detector.anomaly_score(folder / "today.csv")
    counts = [int(found) for found in re.findall(r": ([\d,]+) rows? \(", of_table.source.split("</figure>")[0])]
    assert sum(counts) == len(scores) + len(detector.calibration_.scores)
    red = re.findall(r'<rect class="flagged"[^>]*><title>[^:]*: (\d+) row', of_table.source)
    known = int((detector.calibration_.scores > detector.threshold_).sum())
    assert sum(map(int, red)) == known + (scores > detector.threshold_).sum()


def test_the_command_line(run: Run, table: tuple[Path, TabularMemAE], tmp_path: Path) -> None:
    folder, detector = table
    detector.save(tmp_path / "m.memae")
    labelled = pd.read_csv(folder / "today.csv").assign(label="?")
    labelled.to_csv(tmp_path / "labelled.csv", index=False)
    out = tmp_path / "r.html"
    options = ("--top", 2, "--ignore", "label", "--false-alarm-rate", 0.2, "--title", "Monday")
    ran = run("report", tmp_path / "m.memae", tmp_path / "labelled.csv", "-o", out, *options)
    assert ran.code == 0
    assert ran.out == ""
    known = Calibration(detector.calibration_.scores, 0.2)
    flagged = int((detector.anomaly_score(folder / "today.csv") > known.threshold()).sum())
    assert ran.err == f"{out}: 100 scored, {flagged} flagged\n"
    page = Page(out)
    assert "Monday" in page.text[""]
    assert "20\xa0%" in page.text["summary"]
    assert page.text["reasons"].count("(threshold") == 2
    assert f"memae report {tmp_path / 'm.memae'}" in page.text["origin"]
    assert re.search(r"sha256 [0-9a-f]{64}", page.text["origin"])
    assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC", page.text["origin"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("today.csv", "-o", "r.pdf"), "must end in .html"),
        (("today.csv", "-o", "r.html", "--ignore", "label"), "no column 'label' to leave out"),
        (("nothing.csv", "-o", "r.html"), "nothing.csv is not a file"),
        (("today.csv", "-o", "missing/r.html"), "does not exist"),
    ],
)
def test_refusals_leave_nothing(
    run: Run, table: tuple[Path, TabularMemAE], tmp_path: Path, monkeypatch: Any, arguments: Any, told: str
) -> None:
    folder, detector = table
    detector.save(tmp_path / "m.memae")
    (tmp_path / "today.csv").write_bytes((folder / "today.csv").read_bytes())
    monkeypatch.chdir(tmp_path)
    ran = run("report", "m.memae", *arguments)
    assert ran.code == 1
    assert told in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.memae", "today.csv"]


def test_a_large_table_takes_constant_memory(table: tuple[Path, TabularMemAE], tmp_path: Path) -> None:
    """Four times as many rows, read in parts, take the same memory, whatever is kept of them."""
    folder, detector = table
    lines = (folder / "today.csv").read_text().splitlines(keepends=True)
    peaks = []
    for times in (700, 2800):
        path = tmp_path / f"{times}.csv"
        path.write_text("".join([lines[0], *lines[1:] * times]))
        tracemalloc.start()
        found = survey(detector, path, 4)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.tally.count == 100 * times
        assert [reason.alike for reason in found.reasons[:2]] == [2 * times, times]
        assert found.reasons[1].name == "row 7"
    assert peaks[1] < 1.3 * peaks[0]


# ----------------------------------------------------------------------------------------------------- images and video


def test_images_are_shown_with_what_the_memory_answers(tmp_path: Path) -> None:
    for folder, count in (("good", 40), ("new", 10)):
        (tmp_path / folder).mkdir()
        for place in range(count):
            pixels = RNG.integers(0, 40, (12, 12)) + 8 * np.arange(12)[:, None]
            pixels = 255 - pixels if folder == "new" and place == 3 else pixels
            name = f"{place} <b>&.png" if place == 3 else f"{place}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / folder / name)
    net: dict[str, Any] = {
        "widths": (4, 6),
        "strides": ((2, 2), (2, 2)),
        "epochs": 3,
        "warmup": 1,
        "false_alarm_rate": 0.1,
    }
    detector = ImageMemAE(6, **net).fit(tmp_path / "good")
    write(detector, tmp_path / "new", tmp_path / "r.html", top=2)
    page = Page(tmp_path / "r.html")
    check_self_contained(page)
    assert "1. 3 <b>&.png" in page.text["reasons"]
    alts = [image["alt"] or "" for image in page.of("img")]
    assert sum(alt.endswith("input") for alt in alts) == 2
    assert any("as rebuilt from memory" in alt for alt in alts)
    assert sum(image["alt"] == image.get("title") for image in page.of("img")) >= 6 * 3  # neighbours, named
    assert {f"item {number}, decoded" for number in range(6)} <= set(alts)
    assert "how far it lies from the training images" in page.text["reasons"]
    with pytest.raises(OptionError, match="ignore is for tables"):
        survey(detector, tmp_path / "new", 2, ["label"])
    with pytest.raises(OptionError, match="top must be 1 sample or more; got 0"):
        survey(detector, tmp_path / "new", 0)


def test_a_model_without_memory_says_so(tmp_path: Path) -> None:
    images = RNG.integers(0, 255, (30, 8, 8), dtype=np.uint8)
    (tmp_path / "new").mkdir()
    for place, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "new" / f"{place}.png")
    detector = ImageMemAE(0, widths=(4,), strides=((2, 2),), epochs=2, warmup=0, false_alarm_rate=0.1).fit(
        tmp_path / "new"
    )
    write(detector, tmp_path / "new", tmp_path / "r.html", top=1)
    page = Page(tmp_path / "r.html")
    assert "no memory" in page.text["memory"]
    assert "The memory items used" not in page.text["reasons"]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, squares: Any) -> Path:
    """A folder of videos: one odd from frame 60 to 90, one calm, one too short."""
    root = tmp_path_factory.mktemp("films")
    for name, frames in (("odd", squares(140, odd=(60, 90))), ("calm", squares(60)), ("short", squares(3))):
        (root / name).mkdir()
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(root / name / f"{number}.png")
    return root


def test_video_has_a_timeline_and_alarms(films: Path, watcher: VideoMemAE, tmp_path: Path) -> None:
    found = write(watcher, films, tmp_path / "r.html", top=2)
    page = Page(tmp_path / "r.html")
    check_self_contained(page)
    scores = watcher.anomaly_score(films / "odd")
    calm = watcher.anomaly_score(films / "calm")
    assert found.tally.count == 200
    assert found.tally.flagged == int((np.concatenate([scores, calm]) > watcher.threshold_).sum())
    assert "1 of them" in page.text["summary"]  # the short one
    assert found.films is not None
    highest = max(found.films.alarms, key=lambda kept: kept.peak.score)
    assert 60 <= highest.peak.frame < 95
    assert highest.peak.score == pytest.approx(scores.max(), rel=1e-6)
    assert f"odd at 0:0{highest.peak.time:.1f}, frame {highest.peak.frame}" in page.text["reasons"]
    assert f"It is the peak of alarm {highest.number}" in page.text["reasons"]
    assert found.reasons[0].evidence.score == pytest.approx(highest.peak.score, rel=1e-6)
    assert {"calm", "odd"} <= set(re.findall(r"calm|odd|short", page.text["timeline"]))
    assert page.source.count('class="marked"') >= 1
    assert [attributes["id"] for _, attributes in page.tags if (attributes.get("id") or "").startswith("alarm-")] == [
        f"alarm-{kept.number}" for kept in found.films.alarms
    ]
    assert sum((image["alt"] or "").startswith("peak of alarm") for image in page.of("img")) == len(found.films.alarms)


def test_videos_that_cannot_be_reported_on(films: Path, watcher: VideoMemAE, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="no video of 4 frames"):
        survey(watcher, films / "short", 1)
    with pytest.raises(SourceError, match="video0"):  # no camera: a report has an end
        survey(watcher, Path("/dev/video0"), 1)
