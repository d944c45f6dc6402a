"""Request bodies as rows of JSON, or as files in a temporary folder.

The file names of a caller are only shown in answers, never opened: the service names its files itself.
"""

import asyncio
import json
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import anyio.to_thread
import pandas as pd
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from memae.data.pixels import IMAGE_SUFFIXES
from memae.data.table_files import ARROW, TABLE_SUFFIXES
from memae.data.unpacking import COMPRESSED
from memae.data.videos import VIDEO_SUFFIXES
from memae.errors import MemaeError, sentence
from memae.service.limits import Deadline, Limits, Refused

JSON = "application/json"
FORM = "multipart/form-data"
TYPES: Mapping[str, str] = MappingProxyType(
    {
        "text/csv": ".csv",
        "text/tab-separated-values": ".tsv",
        "application/x-ndjson": ".jsonl",
        "application/vnd.apache.parquet": ".parquet",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
        "image/png": ".png",
        "image/jpeg": ".jpg",
        "image/bmp": ".bmp",
        "image/tiff": ".tiff",
        "image/webp": ".webp",
        "image/gif": ".gif",
        "image/jp2": ".jp2",
        "image/avif": ".avif",
        "image/heic": ".heic",
        "image/heif": ".heif",
        "video/mp4": ".mp4",
        "video/x-msvideo": ".avi",
        "video/x-matroska": ".mkv",
        "video/quicktime": ".mov",
        "video/webm": ".webm",
        "video/mpeg": ".mpg",
        "video/mp2t": ".ts",
        "video/3gpp": ".3gp",
    }
)
"""Content types of a body that is one file, and the file endings they stand for."""
SUFFIXES = (TABLE_SUFFIXES - ARROW) | IMAGE_SUFFIXES | VIDEO_SUFFIXES
"""Endings of files that are taken. Arrow files are not: nothing in them tells how large they are unpacked."""
SMALL = 100_000
"""Smaller JSON bodies, in bytes, are parsed directly, without a thread."""
LONGEST = 200
"""Maximum number of characters of a name that are shown."""

logger = logging.getLogger(__name__)


class Rows(NamedTuple):
    """Rows of a table from JSON."""

    rows: list[Any]
    numbers: Sequence[int] | None = None  # in the request; None for all, from 0


class Frame(NamedTuple):
    """Rows of a table that was read."""

    frame: pd.DataFrame


class Upload(NamedTuple):
    """A file sent with a request."""

    name: str  # the caller's name for it
    path: Path  # where the service has stored it


Body = Rows | Frame | list[Upload]


@asynccontextmanager
async def received(request: Request, limits: Limits, deadline: Deadline) -> AsyncIterator[Body]:
    """The body of a request; its files exist while the block runs.

    Raises:
        Refused: the body does not arrive in time, does not match its Content-Type, or has one that is not supported.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, FORM, *TYPES):
        message = f"Content-Type {kind or '(none)'} is not supported"
        raise Refused(415, f"{message}; send {JSON} with rows, {FORM} with files, or one file as {', '.join(TYPES)}")
    with tempfile.TemporaryDirectory(prefix="memae-") if kind != JSON else nullcontext("") as folder:
        try:
            async with asyncio.timeout(deadline.left()):
                body = await _read(request, kind, Path(folder), limits)
        except TimeoutError as error:
            raise Refused(408, f"the body did not arrive within {limits.seconds:g} s; send less at once") from error
        yield body


async def _read(request: Request, kind: str, folder: Path, limits: Limits) -> Body:
    if kind == FORM:
        return await _files(request, folder, limits)
    body = await request.body()
    if kind == JSON and len(body) > limits.json_size:
        message = f"the rows take more than {limits.json_size / 1e6:g} MB of JSON"
        raise Refused(413, f"{message}; send them in several parts, or as CSV or Parquet")
    if kind == JSON:
        return _rows(body) if len(body) < SMALL else await anyio.to_thread.run_sync(_rows, body)
    path = folder / f"0{TYPES[kind]}"
    await anyio.to_thread.run_sync(path.write_bytes, body)
    return [Upload(f"the body ({kind})", path)]


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON; use null for a missing value")


def _rows(body: bytes) -> Rows:
    """The rows of a body `{"rows": [...]}`."""
    try:
        content = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # JSON, Unicode, numbers of thousands of digits; deep nesting
        raise Refused(422, f"the body is not JSON: {error}") from error
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows or content.keys() != {"rows"}:
        raise Refused(422, 'the body must be an object with one list, {"rows": [...]}, of at least one row')
    return Rows(rows)


async def _files(request: Request, folder: Path, limits: Limits) -> list[Upload]:
    """The files of a form, stored under our own names."""
    try:
        async with request.form(max_files=limits.files, max_fields=0) as form:
            given = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            uploads = [Upload(shown(each.filename), _place(folder, number, each)) for number, each in enumerate(given)]
            for each, upload in zip(given, uploads, strict=True):
                await anyio.to_thread.run_sync(_copy, each, upload.path)
    except HTTPException as error:
        message = f"the form cannot be read ({error.detail.strip('.')})"
        raise Refused(422, f"{message}; send nothing but files, as with `curl -F files=@…`") from error
    if not uploads:
        raise Refused(422, "the form holds no file; send some, as with `curl -F files=@…`")
    return uploads


def _place(folder: Path, number: int, file: UploadFile) -> Path:
    """A path for an upload, which takes only a known ending from the caller's name."""
    given = Path(file.filename or "")
    suffix, inner = given.suffix.lower(), Path(given.stem).suffix.lower()
    if suffix in COMPRESSED and inner in SUFFIXES:
        return folder / f"{number}{inner}{suffix}"
    return folder / f"{number}{suffix if suffix in SUFFIXES else TYPES.get(file.content_type or '', '.unknown')}"


def _copy(file: UploadFile, path: Path) -> None:
    with path.open("wb") as written:
        shutil.copyfileobj(file.file, written, 2**20)


def shown(name: str | None) -> str:
    r"""A name given by the caller, made safe to show in an answer: one short line.

    >>> shown("a\nb.png")
    'ab.png'
    """
    line = "".join(letter for letter in name or "" if letter.isprintable())
    return (line if len(line) <= LONGEST else f"…{line[1 - LONGEST :]}") or "a file without a name"


@contextmanager
def under_their_names(body: Body) -> Iterator[None]:
    """Turns any error in the block into a refusal that names files as the caller does.

    File parsers raise nearly any type on damaged bytes, so all exceptions are treated alike.
    """
    try:
        yield
    except (Refused, MemoryError):
        raise
    except Exception as error:
        known = isinstance(error, MemaeError)
        if not known:
            logger.warning("refused data that cannot be read", exc_info=True)
        reason = sentence(error)
        for upload in body if isinstance(body, list) else ():
            reason = reason.replace(str(upload.path), upload.name)
        raise Refused(
            422, reason if known else f"the data cannot be read ({type(error).__name__}: {reason})"
        ) from error
