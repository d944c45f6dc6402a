"""How commands report files that were left out, and those that could not be read."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from memae.kinds import Notes

LISTED = 20
"""Maximum number of unreadable files that are named; JSON names all."""


def tell_unread(notes: "Notes") -> None:
    """Names on stderr what was left out as no sample, and unreadable files, which end the command with exit code 1."""
    for omission in notes.omissions:
        sys.stderr.write(f"memae: warning: {omission}\n")
    if notes.unread:
        sys.stderr.write(_of_unread(list(notes.unread.values())))
        raise typer.Exit(1)


def unread_paths(notes: "Notes") -> list[str]:
    """The paths of all unreadable files, for JSON."""
    return [str(path) for path in notes.unread]


def skipped_paths(notes: "Notes") -> list[str]:
    """The paths of what was left out as no sample, for JSON."""
    return [str(path) for skipped in notes.skipped.values() for path in skipped]


def _of_unread(reasons: Sequence[str]) -> str:
    """One line for each of the first `LISTED` files, and a line that sums up."""
    lines = [f"memae: error: {' '.join(reason.split())}\n" for reason in reasons[:LISTED]]
    more = f", the first {LISTED} above" if len(reasons) > LISTED else ""
    files, their = ("files", "their") if len(reasons) > 1 else ("file", "its")
    total = f"{len(reasons)} {files} could not be read, or not to {their} end{more}; everything else is scored"
    return "".join([*lines, f"memae: error: {total}\n"])
