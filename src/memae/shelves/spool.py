"""Groups that are fitted so far, in a file from which a stopped run continues."""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from memae.errors import OutputError, TrainingError
from memae.shelves.groups import Group
from memae.shelves.keys import Key, plain_text

SECONDS = 1.0
"""Seconds of work that a killed process may lose."""


class Spool:
    """A file of groups, which another process may continue; as a context, it is closed, and removed if it is empty.

    Args:
        path: of the file, new or of a run that was stopped.
        identity: of table and options; those of a stopped run must be the same.

    Raises:
        TrainingError: the file is of another table or other options, or damaged.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        with self._errors():
            self._file = sqlite3.connect(path, isolation_level=None)
            self._file.execute("PRAGMA synchronous = OFF")  # a killed process loses nothing, a power cut may
            self._file.execute("CREATE TABLE IF NOT EXISTS run (identity TEXT)")
            self._file.execute("CREATE TABLE IF NOT EXISTS groups (key TEXT PRIMARY KEY, model BLOB, about TEXT)")
            found = self._file.execute("SELECT identity FROM run").fetchone()
            if found is None:
                self._file.execute("INSERT INTO run VALUES (?)", [identity])
            self._begin()
        if found not in (None, (identity,)):
            self.close()
            raise TrainingError(f"{path} was written for other data or options; use those, or delete it and refit")

    def __len__(self) -> int:
        """Number of groups."""
        return int(self._file.execute("SELECT count(*) FROM groups").fetchone()[0])

    def __contains__(self, key: Key | None) -> bool:
        return self._file.execute("SELECT 1 FROM groups WHERE key = ?", [_text(key)]).fetchone() is not None

    def add(self, group: Group) -> None:
        """Adds a group, which is on disk a second later."""
        about = {name: value for name, value in asdict(group).items() if name not in ("key", "model")}
        with self._errors():
            row = (_text(group.key), group.model, json.dumps(about))
            self._file.execute("INSERT OR REPLACE INTO groups VALUES (?, ?, ?)", row)
            if time.monotonic() - self._begun > SECONDS:
                self._file.execute("COMMIT")
                self._begin()

    def groups(self, keys: Iterable[Key | None]) -> Iterator[Group]:
        """The groups of these keys, in their order; those that are not there are left out."""
        for key in keys:
            found = self._file.execute("SELECT model, about FROM groups WHERE key = ?", [_text(key)]).fetchone()
            if found is not None:
                about = json.loads(found[1])
                yield Group(key=key, model=found[0], **(about | {"text": tuple(about["text"])}))

    def failed(self, keys: Iterable[Key]) -> set[Key]:
        """Those of the keys whose groups could not be fitted."""
        found = dict(self._file.execute("SELECT key, about FROM groups WHERE model IS NULL"))
        errors = {key for key, about in found.items() if json.loads(about)["error"] is not None}
        return {key for key in keys if _text(key) in errors}

    def close(self) -> None:
        """Writes what is left, and closes the file."""
        with self._errors():
            if self._file.in_transaction:
                self._file.execute("COMMIT")
            self._file.close()

    def clear(self) -> None:
        """Removes all groups, once they are on a shelf."""
        with self._errors():
            self._file.execute("DELETE FROM groups")

    def _begin(self) -> None:
        self._begun = time.monotonic()
        self._file.execute("BEGIN")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OutputError(f"cannot write {self.path}: {error}; what was there before is untouched") from error
        except sqlite3.DatabaseError as error:
            raise TrainingError(
                f"{self.path} is not a readable checkpoint ({error}); delete it and fit again"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        empty = not len(self)
        self.close()
        if empty:
            self.path.unlink(missing_ok=True)


def _text(key: Key | None) -> str:
    return json.dumps(key if key is None else [plain_text(value) for value in key])
