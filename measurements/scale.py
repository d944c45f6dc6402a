"""The same detector in several processes: equality, CPU time, killed workers, and bad files; into docs/scale.md."""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from PIL import Image

from measurements import many_models, ranks, scale_costs, scale_memory
from memae.cli.folder_parts import Scoring as Folder
from memae.cli.folder_parts import Tally
from memae.data.dialects import Dialect
from memae.errors import MemaeError
from memae.estimators import Estimator, ImageMemAE, TabularMemAE
from memae.kinds import Notes
from memae.kinds.pieces import Piece
from memae.modelfile.artifact import dumped
from memae.parallel import Pictures, Scoring
from memae.parallel.workers import done
from recording import marked, records
from recording.records import figure

PAGE = records.ROOT / "docs" / "scale.md"
FILES, ROWS = 12, 2500
REPEATS = 3  # of the runs with one and two workers, in turn
ROOMS = 4  # groups of pictures

Found = dict[str, Any]


def rows(count: int, seed: int) -> pd.DataFrame:
    """Rows of 16 numbers, one with missing values, and two categories."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, 5)) @ np.random.default_rng(0).normal(size=(5, 16))
    frame = pd.DataFrame(mixed + random.normal(0, 0.3, mixed.shape), columns=[f"n{index}" for index in range(16)])
    frame.loc[random.random(count) < 0.05, "n3"] = np.nan
    return frame.assign(kind=random.choice(["x", "y", "z"], count), id=[f"{seed}-{row}" for row in range(count)])


def folder_of(estimator: Estimator, output: Path) -> Folder:
    """What `memae score FOLDER` does with each piece."""
    content = dumped(estimator.to_artifact())
    return Folder(content, output, None, "torch", keep=True, ignore=(), strict=False, dialect=Dialect())


@dataclass(frozen=True)
class Mortal:
    """Scores a piece; the first process that is given the piece called `victim` dies once it has scored it."""

    scoring: Folder
    victim: str = ""

    def __call__(self, piece: Piece) -> tuple[Tally, float, int]:
        """The tally, and the CPU seconds and number of rows of this piece."""
        began = os.times()
        mark = self.scoring.output / "died"
        tally = self.scoring(piece)
        if piece.name == self.victim and not mark.exists():
            mark.touch()
            self.scoring.path(piece).unlink()  # as if it had died before the file was whole
            os.kill(os.getpid(), signal.SIGKILL)
        ended = os.times()
        return tally, ended.user + ended.system - began.user - began.system, tally.rows


def tables(folder: Path) -> Found:
    """Scores by parts against those of one process, with a killed worker; CPU seconds a row of two workers over one."""
    source = folder / "in"
    source.mkdir()
    given = [rows(ROWS, seed + 1) for seed in range(FILES)]
    for number, frame in enumerate(given):
        frame.to_parquet(source / f"{number:02d}.parquet")
    detector = TabularMemAE(ignore=["id"]).fit(rows(3000, 0))
    whole = pd.concat(given, ignore_index=True)
    expected = whole[["id"]].assign(score=detector.anomaly_score(whole), p_value=detector.p_value(whole))
    pieces = list(detector.kind_.pieces(source, Notes()))
    one, two = folder_of(detector, folder / "one"), folder_of(detector, folder / "two")
    spent: dict[int, list[float]] = {1: [], 2: []}  # CPU seconds a row, of each file
    for scoring in (one, two):
        scoring.output.mkdir()
    for _ in range(REPEATS):
        for scoring, workers in ((one, 1), (two, 2)):
            victim = pieces[FILES // 2].name if workers == 2 else ""
            results = [each.result for each in done(Mortal(scoring, victim), pieces, workers)]
            spent[workers] += [result[1] / result[2] for result in results if result is not None]
    # of the faster half, which others on the machine disturb least
    seconds = {workers: statistics.mean(sorted(each)[: len(each) // 2]) for workers, each in spent.items()}
    found = pd.concat(pq.ParquetFile(path).read().to_pandas() for path in sorted(two.output.glob("*.parquet")))
    engine = Scoring(one.content, keep=["id"])
    cuts = np.linspace(0, len(whole), 38).astype(int)
    by_engine = pd.concat(engine.each(whole[a:b] for a, b in pairwise(cuts)))
    lost = len(set(whole["id"]) - set(found["id"])) + int(found["id"].duplicated().sum())
    unequal = sum(_unequal(expected, each) for each in (found, by_engine))
    return {
        "rows": len(whole),
        "p_values_that_differ": unequal,
        "figures": {
            "scale/tables/largest_relative_difference": figure(
                max(_apart(expected, each) for each in (found, by_engine))
            ),
            "scale/cpu_a_row_two_workers_over_one": figure(seconds[2] / seconds[1]),
            "scale/killed/rows_lost_or_doubled": figure(lost + unequal),
        },
    }


def _apart(expected: pd.DataFrame, found: pd.DataFrame) -> float:
    """The largest relative difference of scores."""
    both = expected.merge(found, on="id")
    return float(((both["score_x"] - both["score_y"]).abs() / both["score_x"].abs()).max())


def _unequal(expected: pd.DataFrame, found: pd.DataFrame) -> int:
    both = expected.merge(found, on="id")
    return int((both["p_value_x"] != both["p_value_y"]).sum())


def pictures(folder: Path) -> Found:
    """Scores of groups of pictures against those of one process."""
    random = np.random.default_rng(0)
    normal = random.integers(0, 255, (64, 16, 16)).astype(np.uint8)
    net: dict[str, Any] = {
        "widths": (8,),
        "strides": ((2, 2),),
        "n_items": 8,
        "epochs": 1,
        "warmup": 0,
        "size": (16, 16),
    }
    detector = ImageMemAE(**net, batch_size=16, rotations=False, init="uniform", random_state=0).fit(normal)
    paths = [folder / f"{number}.png" for number in range(256)]
    for path in paths:
        Image.fromarray(random.integers(0, 255, (16, 16)).astype(np.uint8)).save(path)
    expected = detector.anomaly_score(paths)
    score = Pictures(dumped(detector.to_artifact()))
    groups = np.array_split(np.array(list(map(str, paths))), ROOMS)
    found = pd.concat(score.each(pd.DataFrame({"path": group}) for group in groups))["score"].to_numpy(dtype=float)
    apart = figure(float((np.abs(found - expected) / np.abs(expected)).max()))
    return {"pictures": len(paths), "figures": {"scale/images/largest_relative_difference": apart}}


def bad_cases(folder: Path) -> Found:
    """How many of six bad tables are scored with another result, and without a word."""
    detector = TabularMemAE(ignore=["id"]).fit(rows(600, 0))
    score = Scoring(dumped(detector.to_artifact()), keep=["id"])
    good = rows(300, 1)
    expected = score(good)["score"].to_numpy()
    cut = folder / "cut.parquet"
    good.to_parquet(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    cases: dict[str, Callable[[], pd.DataFrame]] = {
        "cut file": lambda: pd.concat(part.given for part in detector.kind_.open(cut)),
        "infinity": lambda: good.assign(n1=[*good["n1"][:-1], np.inf]),
        "missing column": lambda: good.drop(columns="n5").assign(n5=None),  # as Spark and Ray fill it
        "another order": lambda: good[list(good.columns[::-1])],
        "text in numbers": lambda: good.assign(n1=["?", *good["n1"][1:].map(str)]),
        "all missing": lambda: good.assign(n7=np.nan),
    }
    answers = {name: _answer(score, make, expected) for name, make in cases.items()}
    silent = sum(answer == "silent" for answer in answers.values())
    return {"answers": answers, "figures": {"scale/bad_cases/silent": figure(silent)}}


def _answer(score: Scoring, make: Callable[[], pd.DataFrame], expected: Any) -> str:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found = score(make())["score"].to_numpy()
        except MemaeError as error:
            return f"refused: {error}"
    return "the same scores" if np.allclose(found, expected, rtol=1e-13) else "told" if told else "silent"


PARTS: dict[str, Callable[[Path], Found]] = {
    "tables": tables,
    "images": pictures,
    "bad cases": bad_cases,
    "memory": scale_memory.measured,
    "costs": scale_costs.measured,
    **many_models.PARTS,
    "torchrun": ranks.compared,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the option that chooses parts."""
    parser.add_argument(
        "--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), metavar="PART", help=", ".join(PARTS)
    )


def measure(arguments: argparse.Namespace) -> None:
    """Measures and records each part."""
    torch.set_num_threads(1)
    for part in arguments.only:
        sys.stderr.write(f"scale: {part}\n")
        with tempfile.TemporaryDirectory() as folder:
            records.save("scale", part, PARTS[part](Path(folder)))


def render() -> None:
    """Writes what was measured between the marks of the page."""
    found = records.read(records.RESULTS / "scale.json")
    marked.replace(PAGE, list(_shown(found)))
    ranks.render()


WORDS = {
    "scale/tables/largest_relative_difference": ("tables by parts: largest relative difference of a score", "≤ 1e-13"),
    "scale/images/largest_relative_difference": ("pictures in groups: largest relative difference of a score", "0"),
    "scale/cpu_a_row_two_workers_over_one": ("CPU seconds a row, two workers over one", "≤ 1.1"),
    "scale/killed/rows_lost_or_doubled": ("a worker is killed: rows lost or doubled", "0"),
    "scale/folder/peak_memory_8m_over_1m": ("peak memory, 8 million rows over 1 million: a folder", "≤ 1.1"),
    "scale/fdr/peak_memory_8m_over_1m": ("peak memory, 8 million rows over 1 million: a file with `--fdr`", "≤ 1.1"),
    "scale/costs/predicted_over_measured": ("length of a run of two workers, predicted over measured", "0.9 to 1.1"),
    "scale/bad_cases/silent": ("of six bad tables, silently scored otherwise", "0"),
    **many_models.WORDS,
}


def _shown(found: Found) -> Iterator[str]:
    figures = {key: each for record in found.values() for key, each in record["figures"].items()}
    if figures:
        yield from ("| | target | measured |", "|---|---:|---:|")
    for key, (what, target) in WORDS.items():
        if key in figures:
            yield f"| {what} | {target} | {figures[key]['value']:.3g} |"
    yield from _beyond(found.get("costs", {}))


def _beyond(costs: Found) -> Iterator[str]:
    """What the model of costs says of more cores, if it has predicted what was measured."""
    if not costs:
        return
    if not costs["believed"]:
        yield "\nThe model of costs has not predicted the run of two workers within 10 %, so nothing is said of more."
        return
    beyond = costs["beyond"]
    shares = ", ".join(f"{share:.2f} with {cores}" for cores, share in beyond["efficiency"].items())
    yield (
        f"\nBy the model of costs, {beyond['rows']:.0e} rows of 16 numbers take {beyond['core_hours']:.0f} hours of a "
        f"core. In files of ten seconds, the share of the cores' time that is spent on scoring is {shares} cores, "
        "where none fails and reading costs nothing."
    )
