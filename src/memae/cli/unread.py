"""What a command says of a source that it could not read whole."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from memae.kinds import Notes

LISTED = 20
"""Files that could not be read are named, so many at most; JSON names all."""


def tell_unread(notes: "Notes") -> None:
    """Names on stderr what could not be read, and ends the command with exit code 1; says nothing where all could."""
    if notes.unread:
        sys.stderr.write(_of_unread(list(notes.unread.values())))
        raise typer.Exit(1)


def unread_paths(notes: "Notes") -> list[str]:
    """All of it, for JSON."""
    return [str(path) for path in notes.unread]


def _of_unread(reasons: Sequence[str]) -> str:
    """What could not be scored, a line each, where these are not too many to be read."""
    lines = [f"memae: error: {' '.join(reason.split())}\n" for reason in reasons[:LISTED]]
    more = f", the first {LISTED} above" if len(reasons) > LISTED else ""
    files, their = ("files", "their") if len(reasons) > 1 else ("file", "its")
    told = f"{len(reasons)} {files} could not be read, or not to {their} end{more}; everything else is scored"
    return "".join([*lines, f"memae: error: {told}\n"])
