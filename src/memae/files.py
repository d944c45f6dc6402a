"""Atomic file writing: whole files, and logs that grow by whole lines."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from memae.errors import OutputError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path next to `path`, which replaces `path` when the block succeeds.

    If the block raises (an error, an interrupt, a full disk) or the process is killed, the old file stays unchanged.
    The data is flushed to disk before the file is renamed.

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
    """A text file that grows by whole lines: readers never see a partial line, even if this process is killed.

    Args:
        path: the file, which is appended to. Text after its last line break, as after a power failure, is removed.

    Raises:
        OutputError: the file cannot be written.

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
        """Whether the file was new or empty."""

    def add(self, line: str) -> None:
        """Writes a line immediately."""
        try:
            self._file.write(f"{line}\n".encode())
        except OSError as error:
            raise self._error(error) from error

    def _whole(self) -> int:
        """Number of bytes up to and including the last line break."""
        end = self._file.seek(0, os.SEEK_END)
        while end > 0:
            start = self._file.seek(max(end - 65536, 0))
            offset = self._file.read(end - start).rfind(b"\n")
            if offset >= 0:
                return start + offset + 1
            end = start
        return 0

    def _error(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path}: {error.strerror or error}; its lines so far are untouched")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def sweep(path: Path) -> None:
    """Removes temporary files of `replacing(path)` that killed processes left behind."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        left.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Checks in advance that `path` can be written, to fail before hours of training.

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
