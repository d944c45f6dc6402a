"""Scores as rows of a file: what identifies the sample first, then score, p_value, is_anomaly."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from memae.calibration import discoveries
from memae.cli.apart import check_folder_apart
from memae.data.images import ImageFiles, find_images, none_read, write_heat_map
from memae.data.table_files import table_chunks
from memae.data.tables import trimmed
from memae.data.videos import find_videos
from memae.errors import OptionError, SchemaError, SourceError
from memae.estimators import Estimator, FrameScore, VideoMemAE
from memae.evidence import heat


def scored(
    estimator: Estimator,
    source: Path,
    *,
    keep: bool = False,
    ignore: Sequence[str] = (),
    maps: Path | None = None,
    unread: dict[Path, str] | None = None,
) -> Iterator[pd.DataFrame]:
    """Rows for each sample of `source`, in parts.

    Args:
        estimator: fitted.
        source: data of its kind.
        keep: whether rows of a table are appended.
        ignore: columns of a table that are left out.
        maps: folder for heat maps of images or frames.
        unread: receives the images or videos that cannot be read, or not to their end, and what is wrong with them,
            where others can; None for an error at the first.
    """
    if estimator.kind == "table":
        if maps is not None:
            raise OptionError("--maps is for images and video; a table has no heat map")
        return _table(estimator, source, keep, ignore)
    if keep or ignore:
        raise OptionError("--keep and --ignore are for tables; images and video are named by their path")
    if maps is not None:
        check_folder_apart(maps, source)
        maps.mkdir(parents=True, exist_ok=True)
    if isinstance(estimator, VideoMemAE):
        return _video(estimator, source, maps, unread)
    return _images(estimator, source, maps, unread)


def scores_of(estimator: Estimator, source: Path, ignore: Sequence[str]) -> NDArray[np.float64]:
    """The scores of all samples of `source` `(n,)`, in their order."""
    return np.concatenate([part["score"].to_numpy() for part in scored(estimator, source, ignore=ignore)])


def judged(estimator: Estimator, scores: Iterable[float]) -> dict[str, Any]:
    """The three columns that every row has."""
    found = estimator.calibration_.judge(torch.as_tensor(list(scores), dtype=torch.float64))
    columns = found._replace(is_anomaly=found.is_anomaly.int())._asdict()
    return {name: column.numpy() for name, column in columns.items()}


def _table(estimator: Any, source: Path, keep: bool, ignore: Sequence[str]) -> Iterator[pd.DataFrame]:
    start = 0
    novel: dict[str, int] = {}
    for chunk in table_chunks(source, text=estimator.encoder_.text)():
        known = trimmed(chunk, ignore, estimator.ignore)
        rows = pd.DataFrame(
            {"row": range(start, start + len(chunk))} | judged(estimator, estimator.anomaly_score(known))
        )
        for name, count in estimator.encoder_.novelties(known).items():
            novel[name] = novel.get(name, 0) + count
        start += len(chunk)
        yield _beside(rows, chunk) if keep else rows
    for name, count in novel.items():
        sys.stderr.write(
            f"memae: warning: column {name!r} has {count} values that are missing or that training never showed\n"
        )


def _beside(rows: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """Scores and the rows they belong to; a column of the table that is called like one of ours is renamed."""
    given = given.rename(columns=lambda name: f"{name}_input" if name in rows.columns else name)
    return pd.concat([rows, given.reset_index(drop=True)], axis=1)


def _images(estimator: Any, source: Path, maps: Path | None, unread: dict[Path, str] | None) -> Iterator[pd.DataFrame]:
    paths = find_images(source)
    unread = None if len(paths) == 1 else unread
    images = ImageFiles(paths, channels=estimator.shape_[0], size=estimator.size, cache_bytes=0, unread=unread)
    # asked for paths only when their images have been decoded
    readable = (path for path in images.paths if not unread or path not in unread)
    count = 0
    for scores in estimator.scores(images, reasons=maps is not None):
        part = list(islice(readable, len(scores.score)))
        count += len(part)
        yield pd.DataFrame({"path": [_name(path) for path in part]} | judged(estimator, scores.score.tolist()))
        if maps is not None:
            for path, shares in zip(part, heat(estimator.scorer_, scores.error_map), strict=True):
                relative = path.relative_to(source) if path != source else Path(path.name)
                place = maps / relative.with_suffix(f"{relative.suffix}.png")
                place.parent.mkdir(parents=True, exist_ok=True)
                write_heat_map(shares.numpy(), place, top=1.0)
    if unread and not count:
        raise none_read(unread)


def _name(path: str | Path) -> str:
    """A path as text, also where it is no UTF-8, as file systems allow."""
    return os.fsencode(path).decode(errors="replace")


def _video(
    estimator: VideoMemAE, source: Path, maps: Path | None, unread: dict[Path, str] | None
) -> Iterator[pd.DataFrame]:
    videos = find_videos(source)
    if maps is not None:
        for video in videos:
            _check_maps(maps / video.name, video)
    count = 0
    for video in videos:
        try:
            for part in _frames(estimator, video, maps):
                count += len(part)
                yield part
        except (SourceError, SchemaError) as error:
            if unread is None or len(videos) == 1:
                raise
            unread[video] = str(error)
    if unread and not count:
        raise none_read(unread)


def _check_maps(folder: Path, video: Path) -> None:
    """Refuses a folder for the maps of a video that is the video."""
    check_folder_apart(folder, video)
    if video.is_file() and folder.exists() and folder.samefile(video):
        raise OptionError(f"the maps of {video} would be a folder in its place; give another --maps")


def _frames(estimator: VideoMemAE, video: Path, maps: Path | None) -> Iterator[pd.DataFrame]:
    """Rows for the frames of one video; those before damage come before its error."""
    waiting: list[tuple[str, int, float, float]] = []
    try:
        for frame in estimator.frames(video):
            waiting.append((frame.video, frame.frame, frame.time, frame.score))
            if maps is not None:
                _write_map(estimator, frame, maps / Path(frame.video).name)
            if len(waiting) == 1024:
                yield _frame_rows(estimator, waiting)
                waiting = []
    except SourceError:
        if waiting:
            yield _frame_rows(estimator, waiting)
        raise
    if waiting:
        yield _frame_rows(estimator, waiting)


def _write_map(estimator: VideoMemAE, frame: FrameScore, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    shares = heat(estimator.scorer_, frame.error_map).numpy()
    write_heat_map(shares, folder / f"{frame.frame:06d}.png", top=1.0)


def _frame_rows(estimator: Estimator, frames: list[tuple[str, int, float, float]]) -> pd.DataFrame:
    path, number, time, score = zip(*frames, strict=True)
    return pd.DataFrame(
        {"path": [_name(each) for each in path], "frame": number, "time": time} | judged(estimator, score)
    )


def discovered(parts: Iterable[pd.DataFrame], rate: float) -> tuple[list[pd.DataFrame], int]:
    """All rows, with a column that tells which are discoveries at a false-discovery rate, and the number of these.

    Each is judged by all others, so that the last must have come before the first is known.
    """
    known = list(parts)
    found = discoveries(torch.from_numpy(np.concatenate([part["p_value"] for part in known])), rate).int().numpy()
    marks = np.split(found, np.cumsum([len(part) for part in known])[:-1])
    return [_marked(part, mark) for part, mark in zip(known, marks, strict=True)], int(found.sum())


def _marked(rows: pd.DataFrame, discovery: NDArray[np.int32]) -> pd.DataFrame:
    rows = rows.rename(columns={"is_discovery": "is_discovery_input"})  # a kept one
    rows.insert(list(rows.columns).index("is_anomaly") + 1, "is_discovery", discovery)
    return rows
