"""Labels of video frames, for evaluation: arrays, tables, and folders of masks."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memae.data import pixels
from memae.data.videos import is_video
from memae.errors import SchemaError, SourceError

Labels = np.ndarray[Any, np.dtype[np.bool_]]


def find_labels(source: Path, names: Sequence[str], lengths: Sequence[int]) -> list[Labels]:
    """Which frames are abnormal, one bool array (t,) for each video.

    Args:
        source: one of
            a `.npy` file: 1-D, all videos one after the other;
            a `.csv` file: columns path, frame and label (frames counted from 0 or from 1), or one column in order;
            a folder: `NAME_gt` folders of masks (a frame is abnormal if its mask is not black) or `NAME.npy` files.
        names: the videos, as `Video.name`; labels are looked up by its last part, without the file ending.
        lengths: frames of each video.

    Raises:
        SourceError: `source` does not exist or cannot be read as labels.
        SchemaError: a video has no labels, not one for each frame, or labels other than 0 and 1.
    """
    if source.is_dir():
        return [_labels_in(source, names, number, length) for number, length in enumerate(lengths)]
    pixels.check_readable(source)
    if source.suffix == ".npy":
        return _in_order(_load(source), source, lengths)
    if source.suffix != ".csv":
        raise SourceError(f"{source} holds no labels; a .npy file, a .csv file or a folder of masks is expected")
    rows = _rows(source)
    if len(rows[0]) > 1:
        return _labels_of_table(rows, source, names, lengths)
    words = [row[0] for row in (rows if rows[0][0].strip() in ("0", "1") else rows[1:])]
    return _in_order(_binary(words, str(source)), source, lengths)


def _rows(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [row for row in csv.reader(file) if row] or [[""]]
    except (csv.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not a CSV file in UTF-8 ({error}); export it again") from error


def _binary(values: Any, where: str) -> Labels:
    """Labels of numbers or words that are all 0 or 1."""
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, SystemError) as error:  # SystemError: text that is not Unicode
        raise SchemaError(f"{where} holds labels that are not 0 or 1 ({error}); write 0 and 1") from error
    wrong = numbers[(numbers != 0) & (numbers != 1)]
    if numbers.ndim != 1 or wrong.size:
        got = f"the value {wrong.flat[0]:g}" if wrong.size else f"the shape {numbers.shape}"
        raise SchemaError(f"{where} must hold one row of labels 0 (normal) and 1 (abnormal); it has {got}")
    return np.asarray(numbers == 1, dtype=np.bool_)


def _load(path: Path) -> Labels:
    try:
        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # NumPy's parser of headers raises nearly any type on damaged bytes
        raise SourceError(f"{path} is not a NumPy array ({error}); save labels with np.save") from error
    return _binary(array, str(path))


def _in_order(labels: Labels, source: Path, lengths: Sequence[int]) -> list[Labels]:
    if len(labels) != sum(lengths):
        counts = f"{len(labels)} labels for {len(lengths)} videos of {sum(lengths)} frames"
        raise SchemaError(f"{source} has {counts}; give one label for every frame, in the order of the videos")
    return np.split(labels, np.cumsum(lengths)[:-1])


def _counted(labels: Labels, where: Path, name: str, length: int) -> Labels:
    if len(labels) != length:
        message = f"video {name} has {length} frames and {where} {len(labels)} labels"
        raise SchemaError(f"{message}; give one label for every frame")
    return labels


def _labels_in(folder: Path, names: Sequence[str], number: int, length: int) -> Labels:
    """Labels of one video from masks beside or inside it, or from its own `.npy` file."""
    name = Path(names[number])
    inside = name.is_relative_to(folder) and name != folder
    for parent in [name.parent, folder] if inside and name.parent != folder else [folder]:
        found = _labels_at(parent, name)
        if found is None:
            continue
        if parent != name.parent:
            _check_distinct(names, parent)
        return _counted(found[1], found[0], str(name), length)
    raise SchemaError(
        f"video {name} has no labels; the folder {folder / name.stem}_gt or {folder / name.stem}.npy is expected, "
        "or another location (--labels)"
    )


def _labels_at(folder: Path, name: Path) -> tuple[Path, Labels] | None:
    """The file or folder in `folder` that holds the labels of a video, and the labels."""
    for masked in (parent / f"{key}_gt" for key in _keys(name) for parent in (folder, folder / key)):
        if masked.is_dir():
            masks = [file for file in pixels.visible(masked) if pixels.is_image(file)]
            return masked, np.array([bool(pixels.decode(file, 1).any()) for file in masks], dtype=bool)
    for file in (folder / f"{key}.npy" for key in _keys(name)):
        if file.exists():
            return file, _load(file)
    return None


def _keys(name: Path) -> list[str]:
    """The last part of a video's path, without and with a file ending."""
    return [name.stem, name.name] if is_video(name) else [name.name]


def _check_distinct(names: Sequence[str], where: Path) -> None:
    twice = [key for key, count in Counter(_keys(Path(name))[0] for name in names).items() if count > 1]
    if twice:
        raise SchemaError(f"several videos are called {twice[0]} and {where} cannot tell them apart; rename them")


def _labels_of_table(rows: list[list[str]], source: Path, names: Sequence[str], lengths: Sequence[int]) -> list[Labels]:
    """Labels from rows with the columns path, frame and label, in any order."""
    head = [word.strip().lower() for word in rows[0]]
    if not {"path", "frame", "label"} <= set(head) or any(len(row) != len(head) for row in rows):
        needed = "must have the columns path, frame and label, and as many fields in every row"
        raise SchemaError(f"{source} {needed}; its first row is {','.join(rows[0])!r}: repair or export it again")
    path, frame, label = (head.index(column) for column in ("path", "frame", "label"))
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows[1:]:
        found.setdefault(row[path], []).append((row[frame], row[label]))
    if not set(names) <= set(found):
        _check_distinct(names, source)
        _check_distinct(list(found), source)
        found = {_keys(Path(name))[0]: pairs for name, pairs in found.items()}
        names = [_keys(Path(name))[0] for name in names]
    return [_of_rows(found.get(name, []), source, name, n) for name, n in zip(names, lengths, strict=True)]


def _of_rows(pairs: list[tuple[str, str]], source: Path, name: str, length: int) -> Labels:
    """Labels of one video from its (frame, label) pairs."""
    labels = _counted(_binary([label for _, label in pairs], str(source)), source, name, length)
    numbers = np.array([int(frame) if frame.strip().isdecimal() else -1 for frame, _ in pairs])
    order = np.argsort(numbers)
    if not any(np.array_equal(numbers[order], np.arange(length) + base) for base in (0, 1)):
        needed = f"must number the frames of video {name} from 0 to {length - 1} or from 1 to {length}"
        raise SchemaError(f"{source} {needed}, each once; repair or export it again")
    return labels[order]
