"""Readers for video anomaly sets as their publishers lay them out: UCSD Ped1 and Ped2, CUHK Avenue, ShanghaiTech.

They lie below `MEMAE_DATA`, `../data` by default. Nothing is downloaded: `PAGES` says where each set is offered.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memae.data import pixels
from memae.data.labels import Labels, find_labels
from memae.data.videos import frame_files, read_video
from memae.errors import OptionError, SchemaError, SourceError
from reproduction.datasets import DATA

Masks = NDArray[np.bool_]
"""Which pixels of a video are abnormal, (t, h, w)."""


class VideoSet(NamedTuple):
    """A video anomaly set: normal videos to learn from, and test videos whose labels are known.

    Attributes:
        name: "ped1", "ped2", "avenue" or "shanghaitech".
        training: videos in natural order, each a file or a folder of frames; `memae.data.videos` reads both.
        test: the same, of the videos to be judged.
        labels: for the index of a test video, which of its frames are abnormal, (t,). Raises SourceError if they are
            missing or damaged, SchemaError if they do not fit the frames.
        masks: for the index of a test video, which of its pixels are abnormal, (t, h, w); None if the set has no masks
            for it. They are read at the call and take t * h * w bytes. Raises SourceError.
    """

    name: str
    training: tuple[Path, ...]
    test: tuple[Path, ...]
    labels: Callable[[int], Labels]
    masks: Callable[[int], Masks | None]


class Counts(NamedTuple):
    """Numbers of videos and frames of a set; None if not known for certain."""

    training_videos: int
    training_frames: int | None
    test_videos: int
    test_frames: int | None
    abnormal_frames: int | None


PAGES = {
    "ped1": "http://www.svcl.ucsd.edu/projects/anomaly/dataset.html",
    "ped2": "http://www.svcl.ucsd.edu/projects/anomaly/dataset.html",
    "avenue": "https://www.cse.cuhk.edu.hk/leojia/projects/detectabnormal/dataset.html",
    "shanghaitech": "https://svip-lab.github.io/dataset/campus_dataset.html",
}
"""The publishers' pages."""

PUBLISHED = {
    "ped1": Counts(34, 6800, 36, 7200, None),
    "ped2": Counts(16, 2550, 12, 2010, 1648),
    "avenue": Counts(16, 15328, 21, 15324, None),
    "shanghaitech": Counts(330, None, 107, None, None),
}
"""Counts of the complete sets."""


def video_set(name: str, data: Path = DATA) -> VideoSet:
    """The videos of a set, and functions that read its labels and masks; nothing is decoded yet.

    Args:
        name: "ped1", "ped2", "avenue" or "shanghaitech".
        data: the folder that holds the publishers' folders.

    Raises:
        OptionError: there is no set of that name.
        SourceError: videos are missing; the message says which and where the publisher offers them.
    """
    if name not in READERS:
        raise OptionError(f"{name!r} is no video set; expected one of {', '.join(READERS)}")
    return READERS[name](name, data)


def _ucsd(name: str, data: Path) -> VideoSet:
    folder = data / "UCSD_Anomaly_Dataset.v1p2" / f"UCSD{name}"
    training = _listed(folder / "Train", r"Train\d{3}", name)
    test = _listed(folder / "Test", r"Test\d{3}", name)  # not Test001_gt
    script = folder / "Test" / f"UCSD{name}.m"
    return VideoSet(name, training, test, partial(_ucsd_labels, name, script, test), partial(_ucsd_masks, test))


def _ucsd_labels(name: str, script: Path, test: tuple[Path, ...], video: int) -> Labels:
    listed = gt_frames(_there(script, name))
    if len(listed) != len(test):
        fault = f"{script} lists {len(listed)} test videos and {script.parent} holds {len(test)}"
        raise SchemaError(f"{fault}; unpack the set again")
    numbers = [frame_number(file) for file in frame_files(test[video])]
    absent = sorted(listed[video] - set(numbers))
    if absent:
        fault = f"{script} calls frame {absent[0]} of {test[video].name} abnormal, which is not there"
        raise SchemaError(f"{fault} ({len(absent)} such frames); unpack the set again")
    return np.array([number in listed[video] for number in numbers], dtype=np.bool_)


_STATEMENT = re.compile(r"TestVideoFile\s*\{\s*end\s*\+\s*1\s*\}\s*\.gt_frame\s*=\s*\[?([\d\s:,]*)\]?\s*;?")
_RANGE = re.compile(r"(\d+)(?:\s*:\s*(\d+))?")


def gt_frames(script: Path) -> list[set[int]]:
    """The abnormal frames of each test video, counted from 1, as a MATLAB script of UCSD lists them.

    A line holds one video: `TestVideoFile{end+1}.gt_frame = [5:90, 140:200];`.

    Raises:
        SourceError: the script cannot be read, or a line has another form.
    """
    pixels.check_readable(script)
    lines = [line.split("%")[0].strip() for line in script.read_text("utf-8", errors="replace").splitlines()]
    return [_frames_of(line, script) for line in lines if "gt_frame" in line]


def _frames_of(line: str, script: Path) -> set[int]:
    statement = _STATEMENT.fullmatch(line)
    if statement is None or _RANGE.sub("", statement[1]).strip(", \t"):
        expected = "TestVideoFile{end+1}.gt_frame = [first:last, first:last];"
        raise SourceError(f"{script} has the line {line!r}; expected is {expected!r}: unpack the set again")
    ranges = [(int(first), int(last or first)) for first, last in _RANGE.findall(statement[1])]
    return {number for first, last in ranges for number in range(first, last + 1)}


def _ucsd_masks(test: tuple[Path, ...], video: int) -> Masks | None:
    folder = test[video].with_name(f"{test[video].name}_gt")
    return _marked(read_video(folder).frames[:, 0].numpy()) if folder.is_dir() else None


def _avenue(name: str, data: Path) -> VideoSet:
    folder = _first(data / "Avenue Dataset", data / "Avenue_Dataset")
    training = _listed(folder / "training_videos", r"\d+\.avi", name)
    test = _listed(folder / "testing_videos", r"\d+\.avi", name)
    marks = _first(folder / "testing_label_mask", folder / "ground_truth_demo" / "testing_label_mask")
    masks = partial(_avenue_masks, name, marks, test)
    return VideoSet(name, training, test, lambda video: np.asarray(masks(video).any((1, 2))), masks)


def _avenue_masks(name: str, folder: Path, test: tuple[Path, ...], video: int) -> Masks:
    file = _there(folder / f"{int(test[video].stem)}_label.mat", name)
    cells = _cells(file)
    sizes = {cell.shape for cell in cells if cell.size} or {(0, 0)}
    if len(sizes) > 1 or len(size := sizes.pop()) != 2:
        raise SourceError(f"{file} must hold masks (h, w) of one size; it holds others: unpack the set again")
    # a frame without a mask may have an empty cell
    return np.stack([_marked(cell) if cell.size else np.zeros(size, np.bool_) for cell in cells])


def _cells(file: Path) -> list[NDArray[Any]]:
    """The masks of one video, one for each frame."""
    from scipy.io import loadmat  # noqa: PLC0415 (slow to import, and only Avenue needs it)

    pixels.check_readable(file)
    try:
        found = loadmat(file, variable_names=["volLabel"]).get("volLabel")
    except Exception as error:  # its parser raises nearly any type on damaged bytes
        raise SourceError(f"{file} is not a MATLAB file, or is damaged ({error}); unpack the set again") from error
    if found is None or found.dtype != object or not found.size:
        kind = "lacks it" if found is None else f"has {found.dtype} {found.shape}"
        raise SourceError(f"{file} must hold the variable volLabel, a cell of masks; it {kind}: unpack the set again")
    return list(found.ravel())


def _shanghaitech(name: str, data: Path) -> VideoSet:
    folder = data / "shanghaitech"
    training = _listed(folder / "training" / "videos", r".+\.avi", name)
    test = _listed(folder / "testing" / "frames", r"\d+_\d+", name)
    labels = partial(_shanghaitech_labels, name, folder / "testing" / "test_frame_mask", test)
    masks = partial(_shanghaitech_masks, folder / "testing" / "test_pixel_mask", test)
    return VideoSet(name, training, test, labels, masks)


def _shanghaitech_labels(name: str, folder: Path, test: tuple[Path, ...], video: int) -> Labels:
    file = _there(folder / f"{test[video].name}.npy", name)
    return find_labels(file, [test[video].name], [len(frame_files(test[video]))])[0]


def _shanghaitech_masks(folder: Path, test: tuple[Path, ...], video: int) -> Masks | None:
    file = folder / f"{test[video].name}.npy"
    if not file.is_file():
        return None
    try:
        masks = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SourceError(f"{file} is not a NumPy array ({error}); unpack the set again") from error
    if masks.ndim != 3:
        raise SourceError(f"{file} must hold masks (t, h, w); it has the shape {masks.shape}: unpack the set again")
    return _marked(masks)


READERS = {"ped1": _ucsd, "ped2": _ucsd, "avenue": _avenue, "shanghaitech": _shanghaitech}
"""How each set is read."""


def frame_number(file: Path) -> int:
    """The number with which the name of a frame ends; SourceError if there is none.

    >>> frame_number(Path("Test001/061.tif"))
    61
    """
    digits = re.search(r"\d+$", file.stem)
    if digits is None:
        raise SourceError(f"the frame {file} has no number at the end of its name; rename it like 001{file.suffix}")
    return int(digits[0])


def _marked(masks: NDArray[Any]) -> Masks:
    return np.asarray(masks != 0, dtype=np.bool_)


def _listed(folder: Path, pattern: str, name: str) -> tuple[Path, ...]:
    """Entries of `folder` whose names match `pattern`, in natural order; SourceError if there is none."""
    entries = pixels.visible(_there(folder, name))
    found = tuple(entry for entry in entries if re.fullmatch(pattern, entry.name))
    if not found:
        raise SourceError(f"{folder} holds no videos; {_offer(name)}")
    return found


def _there(path: Path, name: str) -> Path:
    if not path.exists():
        raise SourceError(f"{path} is missing; {_offer(name)}")
    return path


def _offer(name: str) -> str:
    where = "the folder of data sets, ../data or what the environment variable MEMAE_DATA names"
    return f"get {name} from {PAGES[name]} and unpack it into {where}"


def _first(*folders: Path) -> Path:
    """The first folder that exists; if none does, the first, for the error message."""
    return next((folder for folder in folders if folder.is_dir()), folders[0])
