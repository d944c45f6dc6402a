"""`memae score` of a folder into a folder: in several processes or on several machines, and continued when stopped."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import typer

from memae.cli.folder_parts import Scoring, Tally, footer
from memae.errors import MemaeNotice, MemaeWarning, OptionError, OutputError, SourceError
from memae.files import replacing
from memae.kinds import Notes
from memae.kinds.pieces import Piece
from memae.parallel.workers import done
from memae.scoring.calibration import limit
from memae.scoring.drift import Drift, drift_of_counts

SUCCESS = "_SUCCESS"
"""Name of the file that is written when all of a folder is scored."""
LISTED = 20
"""Maximum number of files that errors name."""


class Share(NamedTuple):
    """Which pieces this process scores: each `of`th, from number `number` on."""

    number: int = 0
    of: int = 1

    @classmethod
    def parsed(cls, text: str | None) -> "Share":
        """The share "I/N"; OptionError if that is none."""
        if text is None:
            return cls()
        number, _, of = text.partition("/")
        if not (number.isdecimal() and of.isdecimal() and int(number) < int(of)):
            raise OptionError(f"--part takes I/N with I from 0 to N - 1, such as 0/3, 1/3 and 2/3; got {text!r}")
        return cls(int(number), int(of))


def score_folder(scoring: Scoring, source: Path, workers: int, share: Share, fdr: float | None) -> dict[str, Any]:
    """Scores a folder, except for what is scored already, and tells what is in the files, JSON-ready.

    Raises:
        Exit: some of the files could not be scored, or not be read to their end.
    """
    _check_apart(source, scoring.output)
    scoring.output.mkdir(parents=True, exist_ok=True)
    kind, notes = scoring.kind(), Notes()
    (scoring.output / SUCCESS).unlink(missing_ok=True)
    shared = islice(kind.pieces(source, notes), share.number, None, share.of)
    failed = _score(scoring, shared, workers)
    whole, names, lacking = Tally(len(scoring.estimator.calibration_.scores)), set[Path](), list[str]()
    for piece in kind.pieces(source, Notes()):
        names.add(scoring.path(piece))
        tally = scoring.known(piece)
        whole.add(tally) if tally is not None else lacking.append(piece.name)
    facts = _facts(scoring, whole, len(names), fdr)
    _tell(scoring, whole, notes)
    if failed:
        sys.stderr.writelines(f"memae: error: {line}\n" for line in failed[:LISTED])
        sys.stderr.write(f"memae: error: {len(failed)} of {len(names)} files could not be scored; correct them, and ")
        sys.stderr.write("give the same command again, which scores these alone\n")
        raise typer.Exit(1)
    if lacking:
        sys.stderr.write(f"{len(lacking)} of {len(names)} files are left to other parts, such as {lacking[0]}\n")
        return facts
    _check_no_more(scoring.output, names)
    with replacing(scoring.output / SUCCESS) as temporary:
        temporary.write_text(json.dumps(facts) + "\n", encoding="utf-8")
    return facts


def _score(scoring: Scoring, pieces: Iterator[Piece], workers: int) -> list[str]:
    """Scores the pieces that are not scored yet; gives a sentence for each that failed."""
    failed, told, skipped, names = [], set[str](), 0, dict[Path, str]()

    def waiting() -> Iterator[Piece]:
        nonlocal skipped
        for piece in pieces:
            path = scoring.path(piece)
            if path in names:
                raise OptionError(
                    f"{piece.name} and {names[path]} would both be scored into {path}; rename one of them"
                )
            names[path] = piece.name
            if scoring.known(piece) is None:
                yield piece
            else:
                skipped += 1

    for each in done(scoring, waiting(), workers):
        for category, message in each.warnings:
            if message not in told and issubclass(category, MemaeWarning):
                told.add(message)
                sys.stderr.write(f"{'' if issubclass(category, MemaeNotice) else 'memae: warning: '}{message}\n")
        if each.result is None:
            failed.append(f"{each.task.name}: {each.error}")
        else:
            sys.stderr.write(f"{each.task.name}: {each.result.rows:,} scored, {each.result.flagged:,} flagged\n")
    if skipped:
        sys.stderr.write(f"{skipped} of {len(names)} files were scored before, by this model, and are kept\n")
    return failed


def _facts(scoring: Scoring, tally: Tally, files: int, fdr: float | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "model": scoring.checksum,
        "settings": json.loads(scoring.settings),
        "files": files,
        "samples": tally.rows,
        "flagged": tally.flagged,
        "threshold": scoring.estimator.threshold_,
        "held_out": tally.held_out,
        "p_values": tally.p_values.tolist(),  # how many are k / (held_out + 1), at index k
        "drift": asdict(_drift(scoring, tally)) if tally.rows else None,
        "novel": tally.novel,
        "left_out": tally.unknown,
        "unread": tally.unread,
    }
    if fdr is not None:
        highest = limit(tally.p_values, fdr)
        found = int(tally.p_values[: round(highest * (tally.held_out + 1)) + 1].sum())
        facts["fdr"] = {"rate": fdr, "p_value_up_to": highest, "discoveries": found}
    return facts


def _drift(scoring: Scoring, tally: Tally) -> Drift:
    """Whether all scores are like those of the calibration."""
    return drift_of_counts(scoring.estimator.calibration_, tally.p_values, tally.independent)


def _tell(scoring: Scoring, tally: Tally, notes: Notes) -> None:
    """Says on stderr what was found."""
    notes.novel, notes.unknown = tally.novel, tally.unknown
    for sentence in (*notes.remarks, *notes.omissions):
        sys.stderr.write(f"memae: warning: {sentence}\n")
    threshold = scoring.estimator.threshold_
    told = f"{tally.rows:,} scored, {tally.flagged:,} flagged (score above {threshold:.4g})"
    sys.stderr.write(f"{scoring.output}: {told}\n")
    if tally.rows:
        sys.stderr.write(f"{_drift(scoring, tally).sentence}\n")
    for reason in list(tally.unread.values())[:LISTED]:
        sys.stderr.write(f"memae: error: {' '.join(reason.split())}\n")


def _check_apart(source: Path, output: Path) -> None:
    """Raises OptionError if files of scores would be read as data, or data taken for files of scores."""
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output} is a file; a folder is scored into a folder")
    inner, outer = output.resolve(), source.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise OptionError(f"{output} and {source} lie in each other; give another output")


def _check_no_more(output: Path, names: set[Path]) -> None:
    """Raises SourceError if there are scores of files that are gone, which would be read with the others."""
    more = [path for path in sorted(output.rglob("*.parquet")) if path not in names and footer(path) is not None]
    if more:
        message = f"{output} has the scores of {len(more)} files that are no more there, such as {more[0]}"
        raise SourceError(f"{message}; delete these scores, and give the same command again")
