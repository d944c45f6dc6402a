"""Runs memae's command line on real data and writes commands and output to docs/walkthrough.md."""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from memae.errors import OptionError
from memae.modelfile.artifact import versions
from recording import records
from reproduction import datasets
from reproduction.datasets import kddcup

PAGE = records.ROOT / "docs" / "walkthrough.md"

PARTS = {
    "A table: KDDCUP99": (
        "KDDCUP99 10 percent, the rows in random order (seed 0). The attacks of one half are for training: they are "
        "80 %, and the normal class of the common protocol. The other half is for the test, `label` 0 = attack, 1 = "
        "the rest.",
        [
            "memae fit table kdd/train.csv -o kdd.memae",
            "memae score kdd.memae kdd/test.csv --ignore label -o kdd.csv",
            "head -n 3 kdd.csv",
            "memae evaluate kdd.memae kdd/test.csv --labels label",
            "memae inspect kdd.memae",
        ],
    ),
    "Images: MNIST": (
        "All training images of the digit 1 as PNGs in a folder. The test has all test images of 1 in `good/`, and 500 "
        "others (seed 0) in a folder for each digit.",
        [
            "memae fit images mnist/train -o mnist.memae",
            "memae score mnist.memae mnist/test -o mnist.csv --maps mnist/maps",
            "head -n 3 mnist.csv",
            "memae evaluate mnist.memae mnist/test",
            "memae inspect mnist.memae",
        ],
    ),
    "Video: UCSD Ped2": (
        "All of UCSD Ped2: 16 training videos of people walking, and 12 test videos in which others also cycle, skate "
        "and drive.",
        [
            "memae fit video ped2/Train -o ped2.memae",
            "memae score ped2.memae ped2/Test -o ped2.csv --maps ped2/maps",
            "head -n 3 ped2.csv",
            "memae evaluate ped2.memae ped2/Test",
            "memae inspect ped2.memae",
            "memae watch ped2.memae ped2/Test/Test004 --false-alarm-rate 0.01 -o ped2/alarms",
        ],
    ),
}


def kdd(data: Path, work: Path) -> None:
    """Writes train.csv (attacks only) and test.csv (with a label)."""
    frame = kddcup(data).sample(frac=1, random_state=0)
    half = len(frame) // 2
    train, test = frame[:half], frame[half:]
    work.mkdir()
    train[train["label"] == 0].drop(columns="label").to_csv(work / "train.csv", index=False)
    test.to_csv(work / "test.csv", index=False)


def mnist(data: Path, work: Path) -> None:
    """Writes the folders train, test/good and test/0 … test/9."""
    rng = np.random.default_rng(0)

    def write(pixels: np.ndarray, index: np.ndarray, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for i in index:
            Image.fromarray(pixels[i]).save(folder / f"{i:05d}.png")

    pixels, labels = datasets.mnist(data)
    training = 60_000  # as published; the rest is for the test
    write(pixels, np.flatnonzero(labels[:training] == 1), work / "train")
    pixels, labels = pixels[training:], labels[training:]
    write(pixels, np.flatnonzero(labels == 1), work / "test" / "good")
    for i in rng.choice(np.flatnonzero(labels != 1), 500, replace=False):
        write(pixels, np.array([i]), work / "test" / str(labels[i]))


def ped2(data: Path, work: Path) -> None:
    """Copies all videos and masks."""
    shutil.copytree(data / "UCSD_Anomaly_Dataset.v1p2" / "UCSDped2", work)


def run(command: str, work: Path) -> str:
    """A command and what it prints, as a transcript."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(  # noqa: S602 (the commands above)
        command, cwd=work, shell=True, text=True, capture_output=True, env=os.environ | {"PATH": path}, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr}")
    return "\n".join(line.rstrip() for line in [f"$ {command}", *done.stderr.splitlines(), *done.stdout.splitlines()])


def write_page(data: Path, work: Path) -> None:
    """Prepares the data, runs the commands and writes the page."""
    work.mkdir(parents=True)
    for prepare in (kdd, mnist, ped2):
        prepare(data, work / prepare.__name__)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], text=True, capture_output=True, check=False)  # noqa: S607
    made = ", ".join(f"{name} {number}" for name, number in versions().items())
    lines = [
        "# The command line on real data",
        "",
        "Written by `python -m measurements walkthrough DATA WORK`, which prepares the files and runs each command; "
        f"on {datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip()}, {made}, "
        f"{platform.machine()}, {os.cpu_count()} cores shared with other work.",
    ]
    for title, (about, commands) in PARTS.items():
        lines += ["", f"## {title}", "", about, "", "```text"]
        for command in commands:
            lines += [run(command, work), ""]
        lines[-1] = "```"
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def render() -> None:
    """Writes the figures of the page into the README."""
    rows = []
    for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        title = part.splitlines()[0]
        figures = dict(re.findall(r"^(auroc|average precision|f1) +(.+)$", part, re.MULTILINE))
        cells = [re.sub(r" {2,}", " (", figures[name]) + ")" for name in ("auroc", "average precision", "f1")]
        cells += re.findall(r"([\d.]+%)\s+of\s+the\s+normal\s+ones", part)
        rows.append(f"| {title} | {' | '.join(cells)} |")
    head = (
        "| task | AUROC (95 % interval) | average precision | F1 at the threshold | normal ones above it |\n"
        "|---|---|---|---|---|\n"
    )
    readme = PAGE.parents[1] / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split("<!-- walkthrough -->\n")
    after = rest.split("<!-- end -->\n")[1]
    table = head + "\n".join(rows) + "\n"
    readme.write_text(f"{before}<!-- walkthrough -->\n{table}<!-- end -->\n{after}", encoding="utf-8")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where the data lie, and where to work."""
    parser.add_argument("data", type=Path, nargs="?", help="the data sets as their publishers lay them out")
    parser.add_argument("work", type=Path, nargs="?", help="a new folder")


def measure(arguments: argparse.Namespace) -> None:
    """Writes the page.

    Raises:
        OptionError: one of the folders is not named.
    """
    if arguments.work is None:
        raise OptionError("walkthrough needs two folders, DATA and WORK; or --render")
    write_page(arguments.data, arguments.work)
