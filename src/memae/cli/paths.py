"""Checks that a command neither overwrites its input nor writes where its output would be read as data later."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def check_apart(output: Path | None, *given: Path | None) -> None:
    """Checks, before anything is computed, that the output can be written and is not also an input.

    Args:
        output: file to write; None for none.
        given: files and folders that are read; None for none. An image or video must not be written into such a folder,
            since it would be read the next time.

    Raises:
        OptionError: the output is among the inputs, or would be the next time.
        OutputError: see `memae.files.check_writable`.
    """
    from memae.errors import OptionError
    from memae.files import check_writable

    if output is None:
        return
    check_writable(output)
    for source in given:
        if source is not None and source.exists() and _reads(source, output):
            message = f"{output} is an input of this command, or would be the next time, so it is not written"
            raise OptionError(f"{message}; give another output")


def check_folder_apart(folder: Path | None, source: Path) -> None:
    """Raises OptionError if a folder for pictures lies in the folder that is read."""
    from memae.errors import OptionError

    if folder is not None and source.is_dir() and _inside(folder / "any", source):
        message = f"the pictures in {folder} would lie in {source}, from which this command reads"
        raise OptionError(f"{message}; give another folder")


def check_maps(folders: Iterable[tuple[Path, Path]]) -> None:
    """Checks the folders of heat maps or masks, given as `(folder, source)` by `memae.kinds.Kind.map_folders`.

    Raises:
        OptionError: a folder lies in its source, or would replace it.
    """
    from memae.errors import OptionError

    for folder, source in folders:
        check_folder_apart(folder, source)
        if source.is_file() and folder.exists() and folder.samefile(source):
            raise OptionError(f"the pictures of {source} would be a folder in its place; give another folder")


def _reads(source: Path, output: Path) -> bool:
    """Whether a command that reads `source` also reads `output`, now or once it exists."""
    from memae.data.images import find_images
    from memae.data.pixels import is_image
    from memae.data.table_files import FORMATS
    from memae.data.table_folders import table_paths
    from memae.data.unpacking import ending
    from memae.data.videos import find_videos, is_video
    from memae.errors import MemaeError

    if output.exists() and output.samefile(source):
        return True
    readers = [find for reads, find in ((is_image, find_images), (is_video, find_videos)) if reads(output)]
    if source.is_dir() and ending(output) in FORMATS and _inside(output, source) and not _has_media(source):
        others = {ending(path) for path in table_paths(source, FORMATS) if path.absolute() != output.absolute()}
        return ending(output) in others  # a folder of such tables
    if not source.is_dir() or not readers:
        return False
    if _inside(output, source):
        return True
    if output.exists():
        with suppress(MemaeError):  # the command itself reports what cannot be read
            return any(output.samefile(each) for find in readers for each in find(source))
    return False


def _has_media(folder: Path) -> bool:
    """Whether a folder has images or videos in it, beside which tables are no data."""
    from memae.data.pixels import is_image
    from memae.data.videos import is_video

    return any(is_image(path) or is_video(path) for path in folder.rglob("*"))


def _inside(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder, before or after links are resolved."""
    return folder.absolute() in path.absolute().parents or folder.resolve() in path.resolve().parents
