"""What a command reads is never what it writes over, and what it writes is never read as data later."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def check_apart(output: Path | None, *given: Path | None) -> None:
    """Refuses, before anything is computed, to write over what is read, and where nothing can be written.

    Args:
        output: file to write; None for none.
        given: files and folders that are read; None for none. An image or a video is not written into such a folder,
            since it would be read the next time.

    Raises:
        OptionError: the output is one of them, or would be.
        OutputError: see `memae.files.check_writable`.
    """
    from memae.errors import OptionError
    from memae.files import check_writable

    if output is None:
        return
    check_writable(output)
    for source in given:
        if source is not None and source.exists() and _reads(source, output):
            told = f"{output} is read by this command, or would be the next time, and is not written"
            raise OptionError(f"{told}; give another place")


def check_folder_apart(folder: Path | None, source: Path) -> None:
    """The same for a folder to write pictures into: it does not lie in the folder that is read.

    Raises:
        OptionError: it does.
    """
    from memae.errors import OptionError

    if folder is not None and source.is_dir() and _inside(folder / "any", source):
        told = f"the pictures in {folder} would lie in {source}, from which this command reads"
        raise OptionError(f"{told}; give another folder")


def check_maps(folders: Iterable[tuple[Path, Path]]) -> None:
    """The same for the folders of heat maps, as `memae.kinds.Kind.map_folders` has them.

    Raises:
        OptionError: one lies in what is read, or would take its place.
    """
    from memae.errors import OptionError

    for folder, source in folders:
        check_folder_apart(folder, source)
        if source.is_file() and folder.exists() and folder.samefile(source):
            raise OptionError(f"the maps of {source} would be a folder in its place; give another --maps")


def _reads(source: Path, output: Path) -> bool:
    """Whether a command that reads `source` reads `output`, now or once it is there."""
    from memae.data.images import find_images
    from memae.data.pixels import is_image
    from memae.data.videos import find_videos, is_video
    from memae.errors import MemaeError

    if output.exists() and output.samefile(source):
        return True
    readers = [find for reads, find in ((is_image, find_images), (is_video, find_videos)) if reads(output)]
    if not source.is_dir() or not readers:
        return False
    if _inside(output, source):
        return True
    if output.exists():
        with suppress(MemaeError):  # what cannot be read is told by the command
            return any(output.samefile(each) for find in readers for each in find(source))
    return False


def _inside(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder, as it is written or as its links lead."""
    return folder.absolute() in path.absolute().parents or folder.resolve() in path.resolve().parents
