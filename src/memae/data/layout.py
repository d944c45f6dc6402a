"""Labels and masks of images from folder names: the layout of MVTec AD.

    root/test/good/…            normal photos; `normal` for `good` is as good
    root/test/crack/001.jpg     photos with a defect of the kind crack
    root/ground_truth/crack/001.png, or 001_mask.png       its pixels: 0 normal, any other value defective

Without masks, folders good/ and others directly below the root will do.
"""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from memae.data import pixels
from memae.data.images import find_images
from memae.errors import MemaeWarning, SchemaError

MASKS = "ground_truth"
"""Folder of the masks."""


def labelled_images(root: Path, skipped: list[Path] | None = None) -> list[Path]:
    """The images of a labelled folder: those of `root`/test if that has a folder good or normal, else all but masks.

    Args:
        root: folder of the data set.
        skipped: see `find_images`.
    """
    base = root / "test"
    if base.is_dir() and any(_is_good(entry.name) for entry in pixels.visible(base) if entry.is_dir()):
        return find_images(base, skipped)
    return [path for path in find_images(root, skipped) if not path.is_relative_to(root / MASKS)]


def labels_from_layout(paths: Sequence[Path], root: Path) -> NDArray[np.int64]:
    """Labels (n,) from folder names: 0 for files in the folder good or normal directly below `root`, else 1.

    If `root` has test/good or test/normal, the folders below `root`/test are used instead.

    Raises:
        SchemaError: a file lies in no folder below `root`, or all files have the same label.

    >>> labels_from_layout([Path("d/good/1.png"), Path("d/crack/1.png")], Path("d")).tolist()
    [0, 1]
    """
    folders = defects_from_layout(paths, root)
    labels = np.array([folder is not None for folder in folders], dtype=np.int64)
    if len(set(labels.tolist())) < 2:
        base = _base(paths, root)
        found = ", ".join(sorted({_folder_below(path, base) for path in paths})) or "nothing"
        raise SchemaError(f"{base} must hold a folder good or normal, and others beside it; found {found}")
    return labels


def defects_from_layout(paths: Sequence[Path], root: Path) -> list[str | None]:
    """The kind of defect of each image, as its folder is named; None for good ones. See `labels_from_layout`.

    >>> defects_from_layout([Path("d/good/1.png"), Path("d/crack/1.png")], Path("d"))
    [None, 'crack']
    """
    base = _base(paths, root)
    folders = [_folder_below(path, base) for path in paths]
    return [None if _is_good(folder) else folder for folder in folders]


def masks_from_layout(paths: Sequence[Path], root: Path) -> list[Path | None] | None:
    """The mask file of each image: None for good ones, and for defective ones without a mask, of which it warns.

    Args:
        paths: images.
        root: folder of the data set, or its folder test, beside which the folder ground_truth may lie.

    Returns:
        None if there is no folder with a mask.
    """
    folder = next((each for each in _mask_folders(root) if each.is_dir()), None)
    if folder is None:
        return None
    base = _base(paths, root)
    known = {path.relative_to(folder).with_suffix(""): path for path in find_images(folder)}
    masks: list[Path | None] = []
    missing = []
    for path, defect in zip(paths, defects_from_layout(paths, root), strict=True):
        name = path.relative_to(base).with_suffix("")
        mask = known.get(name, known.get(name.with_name(f"{name.name}_mask")))
        masks.append(None if defect is None else mask)
        if defect is not None and mask is None:
            missing.append(path)
    if missing:
        named = f"{len(missing)} defective images have no mask in {folder}, the first {missing[0]}"
        warnings.warn(f"{named}; figures of pixels are made without them", MemaeWarning, stacklevel=2)
    return masks


def read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask `(h, w)`: True where any channel of the file is not 0.

    Args:
        path: an image file.
        size: height and width of the photo. A mask of another size and the same aspect is scaled, by nearest pixels.

    Raises:
        SourceError: the file cannot be read.
        SchemaError: it has another aspect than the photo.
    """
    mask = pixels.decode(path, 3).ne(0).any(0)
    height, width = mask.shape
    if (height, width) == size:
        return mask.numpy()
    if abs(height * size[1] - width * size[0]) > max(height, width, *size):  # more than one pixel
        sizes = f"{height} x {width} pixels (h x w) and its photo {size[0]} x {size[1]}"
        raise SchemaError(f"the mask {path} has {sizes}; both must show the same: export the mask again")
    scaled: NDArray[Any] = torch.nn.functional.interpolate(mask[None, None].float(), size)[0, 0].numpy() > 0
    return scaled


def _base(paths: Iterable[Path], root: Path) -> Path:
    """The folder whose folders give the labels."""
    tests = [path.relative_to(root).parts[1:-1] for path in paths if path.is_relative_to(root / "test")]
    return root / "test" if any(folders and _is_good(folders[0]) for folders in tests) else root


def _mask_folders(root: Path) -> tuple[Path, ...]:
    return (root / MASKS, root.absolute().parent / MASKS) if root.absolute().name == "test" else (root / MASKS,)


def _is_good(folder: str) -> bool:
    return folder.lower() in ("good", "normal")


def _folder_below(path: Path, base: Path) -> str:
    if not path.is_relative_to(base):
        raise SchemaError(f"{path} lies outside of {base}, whose folders give the labels; give {base} as the source")
    folders = path.relative_to(base).parts[:-1]
    if not folders:
        raise SchemaError(f"{path} must lie in a folder below {base} that gives its label, such as good or crack")
    return folders[0]
