"""Files are written whole or not at all, and those that grow, by whole lines."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from memae.errors import OutputError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` that takes its place when the block ends well.

    If the block raises (an error, an interrupt, a full disk) or the process is killed, the old file stays
    as it was. The data is on the disk before the name changes.

    Args:
        path: the file to write or replace; its folder must exist.

    Raises:
        OutputError: the folder is missing, not writable, or the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder) / "a.txt") as temporary:
        ...         _ = temporary.write_text("whole")
        ...     (Path(folder) / "a.txt").read_text()
        'whole'
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.touch()
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; what was there before is untouched"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


class Lines:
    """A text file that grows by whole lines: whoever reads it, or kills this process, finds no half one.

    Args:
        path: the file, which goes on where it ended. What follows its last line break, as after a power cut, is cut.

    Raises:
        OutputError: it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Lines(Path(folder) / "a.txt") as lines:
        ...     lines.add("one")
        ...     lines.path.read_text().splitlines()
        ['one']
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("ab+", buffering=0)
            whole = self._whole()
            self._file.truncate(whole)
        except OSError as error:
            raise self._error(error) from error
        self.fresh = whole == 0
        """Whether nothing was there."""

    def add(self, line: str) -> None:
        """Writes a line at once."""
        try:
            self._file.write(f"{line}\n".encode())
        except OSError as error:
            raise self._error(error) from error

    def _whole(self) -> int:
        """Bytes up to and with the last line break."""
        end = self._file.seek(0, os.SEEK_END)
        while end > 0:
            start = self._file.seek(max(end - 65536, 0))
            found = self._file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
        return 0

    def _error(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path}: {error.strerror or error}; its lines so far are untouched")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def sweep(path: Path) -> None:
    """Removes what processes that were killed while they replaced `path` left beside it."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        left.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Fails now rather than after hours of training.

    Raises:
        OutputError: the folder is missing or not writable, or `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"cannot write {path}: no permission to write in {path.parent}")
