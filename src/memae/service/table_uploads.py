"""Files of tables that were sent, read in parts; what would take too much memory or time is refused."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from memae.data.dialects import Reading
from memae.data.table_files import table_chunks
from memae.data.unpacking import check_unpacked
from memae.service.limits import Deadline, Limits, Refused
from memae.service.uploads import Upload

UNPACKED = 32
"""Maximum size of an unpacked file, as a multiple of the maximum size of a body."""


def sent(
    uploads: Sequence[Upload], text: Sequence[str], reading: Reading, limits: Limits, deadline: Deadline
) -> Iterator[pd.DataFrame]:
    """The one table of a request, in parts.

    Args:
        uploads: its files.
        text: columns of text files that are read literally.
        reading: what is known of the file.
        limits: of the service.
        deadline: of the request.

    Raises:
        Refused: there are several files, too many rows, or the time is over.
        SourceError: the file cannot be read.
    """
    if len(uploads) != 1:
        raise Refused(422, f"{len(uploads)} tables are given; send one at a time")
    path, count = uploads[0].path, 0
    check_unpacked(path, UNPACKED * limits.size)
    _check_index(path, limits)
    for chunk in table_chunks(path, text=text, reading=reading)():
        count += len(chunk)
        limits.check_samples(count)
        deadline.left()
        yield chunk


def _check_index(path: Path, limits: Limits) -> None:
    """Refuses a Parquet file that is too large when unpacked, by its metadata; `table_chunks` reports damage."""
    import pyarrow.parquet  # noqa: PLC0415 (only Parquet needs it)

    try:
        index = pyarrow.parquet.read_metadata(path)
        unpacked = sum(index.row_group(number).total_byte_size for number in range(index.num_row_groups))
    except (ValueError, OSError):
        return
    limits.check_samples(index.num_rows)
    if unpacked > UNPACKED * limits.size:
        raise Refused(413, f"the table is {unpacked / 1e6:,.0f} MB unpacked; send it in several parts")
