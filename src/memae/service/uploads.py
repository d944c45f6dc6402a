"""Bodies of requests → rows of JSON, or files in a folder of our own.

What a caller calls a file is only ever shown again, never opened: the service names its files itself.
"""

import asyncio
import json
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import anyio.to_thread
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from memae.data.pixels import IMAGE_SUFFIXES
from memae.data.table_files import TABLE_SUFFIXES
from memae.data.videos import VIDEO_SUFFIXES
from memae.errors import MemaeError, sentence
from memae.service.limits import Deadline, Limits, Refused

JSON = "application/json"
FORM = "multipart/form-data"
TYPES: Mapping[str, str] = MappingProxyType(
    {
        "text/csv": ".csv",
        "application/vnd.apache.parquet": ".parquet",
        "image/png": ".png",
        "image/jpeg": ".jpg",
        "image/bmp": ".bmp",
        "image/tiff": ".tiff",
        "video/mp4": ".mp4",
        "video/x-msvideo": ".avi",
        "video/x-matroska": ".mkv",
        "video/quicktime": ".mov",
        "video/webm": ".webm",
        "video/mpeg": ".mpg",
    }
)
"""Content types of a body that is one file, and what such a file's name ends with."""
SUFFIXES = TABLE_SUFFIXES | IMAGE_SUFFIXES | VIDEO_SUFFIXES
SMALL = 100_000
"""Bytes of JSON that are parsed at once, without a thread."""
LONGEST = 200
"""Letters of a name that are shown."""

logger = logging.getLogger(__name__)


class Rows(NamedTuple):
    """Rows of a table, as JSON has them."""

    rows: list[Any]


class Upload(NamedTuple):
    """A file that came with a request."""

    name: str  # as the caller calls it
    path: Path  # where the service has put it


Body = Rows | list[Upload]


@asynccontextmanager
async def received(request: Request, limits: Limits, deadline: Deadline) -> AsyncIterator[Body]:
    """The body of a request; its files are there while the block runs.

    Raises:
        Refused: it does not come in time, is not what it says it is, or of a type that the service does not take.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, FORM, *TYPES):
        told = f"Content-Type {kind or '(none)'} is not known"
        raise Refused(415, f"{told}; send {JSON} with rows, {FORM} with files, or one file as {', '.join(TYPES)}")
    with tempfile.TemporaryDirectory(prefix="memae-") if kind != JSON else nullcontext("") as folder:
        try:
            async with asyncio.timeout(deadline.left()):
                body = await _read(request, kind, Path(folder), limits)
        except TimeoutError as error:
            raise Refused(408, f"the body did not come within {limits.seconds:g} s") from error
        yield body


async def _read(request: Request, kind: str, folder: Path, limits: Limits) -> Body:
    if kind == FORM:
        return await _files(request, folder, limits)
    body = await request.body()
    if kind == JSON and len(body) > limits.json_size:
        told = f"the rows take more than {limits.json_size / 1e6:g} MB of JSON"
        raise Refused(413, f"{told}; send them in several parts, or as CSV or Parquet")
    if kind == JSON:
        return _rows(body) if len(body) < SMALL else await anyio.to_thread.run_sync(_rows, body)
    path = folder / f"0{TYPES[kind]}"
    await anyio.to_thread.run_sync(path.write_bytes, body)
    return [Upload(f"the body ({kind})", path)]


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number there; null is a missing value")


def _rows(body: bytes) -> Rows:
    """`{"rows": [...]}`."""
    try:
        content = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # JSON, Unicode, numbers of thousands of digits; deep nesting
        raise Refused(422, f"the body is not JSON: {error}") from error
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows or content.keys() != {"rows"}:
        raise Refused(422, 'the body must be an object with one list, {"rows": [...]}, of at least one row')
    return Rows(rows)


async def _files(request: Request, folder: Path, limits: Limits) -> list[Upload]:
    """The files of a form, under names of our own."""
    try:
        async with request.form(max_files=limits.files, max_fields=0) as form:
            given = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            uploads = [Upload(shown(each.filename), _place(folder, number, each)) for number, each in enumerate(given)]
            for each, upload in zip(given, uploads, strict=True):
                await anyio.to_thread.run_sync(_copy, each, upload.path)
    except HTTPException as error:
        told = f"the form cannot be read ({error.detail.strip('.')})"
        raise Refused(422, f"{told}; send nothing but files, as `curl -F files=@…`") from error
    if not uploads:
        raise Refused(422, "the form holds no file; send some, as `curl -F files=@…`")
    return uploads


def _place(folder: Path, number: int, file: UploadFile) -> Path:
    """A path for an upload: of the name that it came with, only a known ending is kept."""
    suffix = Path(file.filename or "").suffix.lower()
    return folder / f"{number}{suffix if suffix in SUFFIXES else TYPES.get(file.content_type or '', '.unknown')}"


def _copy(file: UploadFile, path: Path) -> None:
    with path.open("wb") as written:
        shutil.copyfileobj(file.file, written, 2**20)


def shown(name: str | None) -> str:
    r"""A name of the caller as it may stand in an answer: one short line.

    >>> shown("a\nb.png")
    'ab.png'
    """
    line = "".join(letter for letter in name or "" if letter.isprintable())
    return (line if len(line) <= LONGEST else f"…{line[1 - LONGEST :]}") or "a file without a name"


@contextmanager
def under_their_names(body: Body) -> Iterator[None]:
    """While it is read: what goes wrong is refused, and files are called as the caller calls them.

    Parsers of files raise nearly any type on damaged bytes, so all are refused alike.
    """
    try:
        yield
    except (Refused, MemoryError):
        raise
    except Exception as error:
        known = isinstance(error, MemaeError)
        if not known:
            logger.warning("data that was refused", exc_info=True)
        told = sentence(error)
        for upload in () if isinstance(body, Rows) else body:
            told = told.replace(str(upload.path), upload.name)
        raise Refused(422, told if known else f"the data cannot be read ({type(error).__name__}: {told})") from error
