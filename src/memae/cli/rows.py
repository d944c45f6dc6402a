"""Scores as rows of a file: what identifies the sample first, then score, p_value, is_anomaly."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from memae.data.images import find_images, write_heat_map
from memae.data.table_files import table_chunks
from memae.data.tables import without
from memae.errors import OptionError
from memae.estimators import Estimator, VideoMemAE
from memae.files import replacing

ENDINGS = (".csv", ".parquet", ".jsonl")
MAP_TOP = 0.5
"""Deviation of a pixel, as a share of the full range, that heat maps show brightest: the same in every picture."""


def scored(
    estimator: Estimator, source: Path, *, keep: bool = False, ignore: Sequence[str] = (), maps: Path | None = None
) -> Iterator[pd.DataFrame]:
    """Rows for each sample of `source`, in parts; heat maps are written into the folder `maps`."""
    if estimator.kind == "table":
        if maps is not None:
            raise OptionError("--maps is for images and video; a table has no heat map")
        return _table(estimator, source, keep, ignore)
    if keep or ignore:
        raise OptionError("--keep and --ignore are for tables; images and video are named by their path")
    if maps is not None:
        maps.mkdir(parents=True, exist_ok=True)
    if isinstance(estimator, VideoMemAE):
        return _video(estimator, source, maps)
    return _images(estimator, source, maps)


def judged(estimator: Estimator, scores: Iterable[float]) -> dict[str, Any]:
    """The three columns that every row has."""
    found = torch.as_tensor(list(scores), dtype=torch.float64)
    calibration = estimator.calibration_
    return {
        "score": found.numpy(),
        "p_value": calibration.p_value(found).numpy(),
        "is_anomaly": (found > calibration.threshold()).int().numpy(),
    }


def _table(estimator: Any, source: Path, keep: bool, ignore: Sequence[str]) -> Iterator[pd.DataFrame]:
    start = 0
    novel: dict[str, int] = {}
    for chunk in table_chunks(source, text=estimator.encoder_.text)():
        known = without(without(chunk, ignore, strict=True), estimator.ignore, strict=False)
        rows = pd.DataFrame(
            {"row": range(start, start + len(chunk))} | judged(estimator, estimator.anomaly_score(known))
        )
        for name, count in estimator.encoder_.novelties(known).items():
            novel[name] = novel.get(name, 0) + count
        start += len(chunk)
        yield rows.join(chunk.reset_index(drop=True), rsuffix="_input") if keep else rows
    for name, count in novel.items():
        sys.stderr.write(
            f"memae: warning: column {name!r} has {count} values that are missing or that training never showed\n"
        )


def _images(estimator: Any, source: Path, maps: Path | None) -> Iterator[pd.DataFrame]:
    paths = find_images(source)
    start = 0
    for scores in estimator.scores(paths, reasons=maps is not None):
        part = paths[start : start + len(scores.score)]
        start += len(part)
        yield pd.DataFrame({"path": [str(path) for path in part]} | judged(estimator, scores.score.tolist()))
        if maps is not None:
            for path, error_map in zip(part, deviation(estimator, scores.error_map), strict=True):
                relative = path.relative_to(source) if path != source else Path(path.name)
                place = maps / relative.with_suffix(f"{relative.suffix}.png")
                place.parent.mkdir(parents=True, exist_ok=True)
                write_heat_map(error_map, place, top=MAP_TOP)


def deviation(estimator: Estimator, error_map: torch.Tensor) -> Any:
    """Deviation of each pixel, as a share of the full range, mean over colours: `(…, c, h, w)` → `(…, h, w)`.

    Where a map is the score of each place, `MAP_TOP` is twice the threshold.
    """
    scorer = estimator.scorer_
    if scorer.model.pace is not None:
        return (estimator.calibration_.strength(error_map.mean(-3)) * (MAP_TOP / 2)).numpy()
    absolute = scorer.reduction == "absolute" and scorer.criterion == "error"
    error = error_map if absolute else error_map.sqrt()
    return error.mean(-3).numpy()


def _video(estimator: VideoMemAE, source: Path, maps: Path | None) -> Iterator[pd.DataFrame]:
    waiting: list[tuple[str, int, float, float]] = []
    for frame in estimator.frames(source):
        waiting.append((frame.video, frame.frame, frame.time, frame.score))
        if maps is not None:
            folder = maps / Path(frame.video).name
            folder.mkdir(exist_ok=True)
            write_heat_map(deviation(estimator, frame.error_map), folder / f"{frame.frame:06d}.png", top=MAP_TOP)
        if len(waiting) == 1024:
            yield _frame_rows(estimator, waiting)
            waiting = []
    if waiting:
        yield _frame_rows(estimator, waiting)


def _frame_rows(estimator: Estimator, frames: list[tuple[str, int, float, float]]) -> pd.DataFrame:
    path, number, time, score = zip(*frames, strict=True)
    return pd.DataFrame({"path": path, "frame": number, "time": time} | judged(estimator, score))


def write(parts: Iterator[pd.DataFrame], output: Path | None) -> tuple[int, int]:
    """Writes rows as CSV, Parquet or JSON lines by the ending of `output`, or as CSV to stdout; counts all and flagged.

    Raises:
        OptionError: another ending.
        OutputError: it cannot be written; a file that was there stays.
    """
    counts = [0, 0]

    def counted() -> Iterator[pd.DataFrame]:
        for part in parts:
            counts[0] += len(part)
            counts[1] += int(part["is_anomaly"].sum())
            yield part

    if output is None:
        for number, part in enumerate(counted()):
            sys.stdout.write(part.to_csv(index=False, header=number == 0))
    else:
        with replacing(output) as temporary:
            _write_as(output.suffix.lower(), counted(), temporary)
    return counts[0], counts[1]


def check_ending(output: Path | None) -> None:
    """Refuses an ending that `write` does not know, before anything is computed."""
    if output is not None and output.suffix.lower() not in ENDINGS:
        raise OptionError(f"{output} must end in {', '.join(ENDINGS)}, which chooses its format")


def _write_as(ending: str, parts: Iterator[pd.DataFrame], path: Path) -> None:
    if ending == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        first = pa.Table.from_pandas(next(parts), preserve_index=False)
        with pq.ParquetWriter(path, first.schema) as writer:
            writer.write_table(first)
            for part in parts:
                writer.write_table(pa.Table.from_pandas(part, first.schema, preserve_index=False))
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, part in enumerate(parts):
            if ending == ".csv":
                part.to_csv(file, index=False, header=number == 0)
            else:
                part.to_json(file, orient="records", lines=True)
