"""The model card: what it says is true of the model, and no value of the data is in it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memae import ImageMemAE, TabularMemAE, VideoMemAE, load
from memae.cli.card import LISTED, WIDTH, card
from memae.scoring.drift import promised_band

RNG = np.random.default_rng(0)
ROWS = pd.DataFrame(RNG.normal(size=(200, 2)), columns=["weight", "a|b"]).assign(
    place=RNG.choice(["Xanadu", "Yoknapatawpha"], 200), empty=7654.25
)
ROWS.loc[:9, "weight"] = np.nan
SECTIONS = (
    *("Intended use", "Training data", "How a score is made", "What is flagged, and what that promises", "The memory"),
    *("What the file holds of the data", "Limits", "Where it comes from"),
)

Run = Callable[..., Any]  # the fixture of conftest.py: gives code, out, err


@pytest.fixture(scope="module")
def table() -> TabularMemAE:
    return TabularMemAE(n_items=10, epochs=4, false_alarm_rate=0.1, keep_examples=True).fit(ROWS)


@pytest.fixture(scope="module")
def images() -> ImageMemAE:
    pixels = RNG.integers(0, 255, (60, 1, 12, 12), dtype=np.uint8)
    return ImageMemAE(8, widths=(4, 4), strides=((2, 2), (2, 2)), epochs=3, warmup=1, false_alarm_rate=0.1).fit(pixels)


def cells(text: str) -> dict[str, str]:
    """The first two cells of all rows of all tables."""
    rows = [re.split(r"(?<!\\)\|", line.strip("|")) for line in text.splitlines() if line.startswith("|")]
    return {row[0].strip(): row[1].strip() for row in rows}


def section(text: str, title: str) -> str:
    return " ".join(text.split(f"## {title}\n")[1].split("\n## ", maxsplit=1)[0].split())


def test_a_card_has_its_sections_and_is_whole_markdown(table: TabularMemAE) -> None:
    text = card(table, "trade.memae")
    assert text.startswith(
        "# Model card: trade.memae\n\nA memory-augmented autoencoder (MemAE), fitted by memae to rows"
    )
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == SECTIONS
    assert text.endswith("give.\n")
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1, block
    assert max(map(len, (line for line in text.splitlines() if not line.startswith("|")))) <= WIDTH


def test_what_it_says_of_the_data_is_counts_and_names_alone(table: TabularMemAE) -> None:
    text = card(table, "m")
    told = cells(text)
    assert told["learned"] == f"{table.learned_} distinct rows"
    assert table.learned_ + len(table.calibration_.scores) == 200
    assert told["held out, to choose the epoch and to calibrate"] == "20 rows"
    assert told["SHA-256 of the training data"] == f"`{table.checksum_}`"
    assert told["`weight`"] == "numbers"
    assert told["`a\\|b`"] == "numbers"
    assert told["`place`"] == "2 categories"
    assert told["`empty`"] == "one value alone"
    assert "| `weight` | numbers | 10 |" in text
    for value in ("Xanadu", "Yoknapatawpha", "7654"):
        assert value not in text
    for column in table.encoder_.columns[:2]:
        for number in (column.mean, column.spread, column.least, column.most):
            assert f"{number:.4g}" not in text


def test_what_it_promises_is_what_the_calibration_promises(table: TabularMemAE) -> None:
    text = section(card(table, "m"), "What is flagged, and what that promises")
    low, high = promised_band(table.calibration_, 10_000)
    assert (
        f"above **{table.threshold_:.6g}** are flagged, that is p-values of at most 0.1, given the scores of 20" in text
    )
    assert f"of 10,000 new normal ones {low:.2%} to {high:.2%}, with a probability of 95 %" in text
    assert f"The lowest rate that so many rows can promise is {1 / 21:.2g}" in text


def test_what_it_says_of_score_memory_and_file(table: TabularMemAE) -> None:
    text, health = card(table, "m"), table.health_
    assert health is not None
    told = cells(text)
    weights = table.scorer_.balance.weights
    assert weights is not None
    assert (told["error"], told["distance"]) == tuple(f"{weight:.4g}" for weight in weights.tolist())
    assert f"10 items: {health.in_use} in use, {health.dead} dead" in section(text, "The memory")
    assert section(text, "The memory").endswith("Verdict: well.")
    held = section(text, "What the file holds of the data")
    assert f"**{table.learned_} rows of the training data**" in held
    assert f"row numbers of {len(table.examples_.names)} training samples" in held  # type: ignore[union-attr]
    assert "Numbers are clamped to ±8 standard deviations" in section(text, "Limits")
    origin = section(text, "Where it comes from")
    assert f"`{' '.join(repr(table).split())}`" in origin
    assert f"torch {table.versions_['torch']}" in origin


def test_kept_rows_are_told_as_such(tmp_path: Path) -> None:
    detector = TabularMemAE(false_alarm_rate=0.1).fit(ROWS)
    detector.save(tmp_path / "m")
    text = card(load(tmp_path / "m"), "m")
    told, kept = cells(text), len(detector.scorer_.kept_samples)  # type: ignore[arg-type]
    assert text.startswith(
        "# Model card: m\n\nA memory of kept rows (MemAE without a trained network), fitted by memae"
    )
    assert told["read"] == "200 rows"
    assert told["kept as the memory"] == f"{kept} distinct rows"
    assert told["used to calibrate"] == "200 rows, each scored without itself among the kept ones"
    assert {"error", "distance", "local distance", "regression"} <= told.keys()
    assert "bits of surprise" in section(text, "How a score is made")
    assert section(text, "The memory").startswith(f"{kept} kept rows. Each new one is restored from the 8 that are")
    held = section(text, "What the file holds of the data")
    assert f"**{kept} rows of the training data**" in held
    assert "weights and memory items" not in held
    assert "nothing was trained" in section(text, "Where it comes from")
    for word in ("epoch", "held out", "held-out", "network sees", "λ"):
        assert word not in text


def test_a_model_that_keeps_nothing_says_so() -> None:
    bare = {"kept_samples": 0, "masked_columns": False, "scaling": "minmax", "contamination": 0.05}
    text = card(TabularMemAE(n_items=0, epochs=4, **bare).fit(ROWS), "m")  # type: ignore[arg-type]
    assert "A plain autoencoder, fitted" in text
    assert "It is the reconstruction error, sum over" in section(text, "How a score is made")
    assert section(text, "The memory").startswith("None:")
    assert "training data**" not in text
    assert "training samples" not in section(text, "What the file holds of the data")
    assert "standard deviations" not in section(text, "Limits")
    assert cells(text)["left out as unlike the others"] == "0.05 of the rows"


def test_distance_beside_a_plain_error() -> None:
    text = card(TabularMemAE(n_items=5, epochs=4, masked_columns=False).fit(ROWS), "m")
    assert "| the reconstruction error |" in text
    assert "| the distance to the nearest kept rows |" in text


def test_images_tell_which_pictures_are_in_the_file(images: ImageMemAE) -> None:
    text = card(images, "m")
    kept = len(images.examples_.names)  # type: ignore[union-attr]
    assert f"**small pictures and names** of {kept} training samples" in section(
        text, "What the file holds of the data"
    )
    assert cells(text)["learned"] == f"{images.learned_} images"
    assert cells(text)["a sample, as it is scored"] == "1 × 12 × 12"
    assert {"error", "surprise", "distance"} <= cells(text).keys()


def test_video_says_where_its_promise_is_weak(watcher: VideoMemAE) -> None:
    text = card(watcher, "m")
    alike = f"count as {watcher.independent_:,} independent ones here. On another day the promise is weaker"
    assert alike in section(text, "What is flagged, and what that promises")
    assert "another time or site the p-value is a guide" in section(text, "Limits")
    assert cells(text)["learned"] == f"{watcher.learned_} clips"


def test_many_columns_are_counted_not_listed() -> None:
    wide = pd.DataFrame(RNG.normal(size=(60, LISTED + 5)), columns=[f"c{place}" for place in range(LISTED + 5)])
    text = card(TabularMemAE(n_items=5, epochs=4, false_alarm_rate=0.1).fit(wide), "m")
    assert f"`c{LISTED - 1}`" in text
    assert f"`c{LISTED}`" not in text
    assert "| … | 5 more columns | |" in text


def test_what_was_learned_is_in_the_file_and_grows_with_updates(table: TabularMemAE, tmp_path: Path) -> None:
    table.save(tmp_path / "m")
    assert load(tmp_path / "m").learned_ == table.learned_
    more = table.update(ROWS.assign(weight=ROWS["weight"] + 1), epochs=1)
    assert more.learned_ > table.learned_


def test_the_command_prints_it(run: Run, table: TabularMemAE, tmp_path: Path) -> None:
    table.save(tmp_path / "trade.memae")
    assert run("inspect", tmp_path / "trade.memae", "--card").out == card(load(tmp_path / "trade.memae"), "trade.memae")
    both = run("inspect", tmp_path / "trade.memae", "--card", "--json")
    assert (both.code, both.out) == (2, "")
    assert f"{table.learned_} samples" in run("inspect", tmp_path / "trade.memae").out
