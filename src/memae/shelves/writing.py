"""Writes a shelf: groups in the order of their keys, some in each row group, so that one model is read alone."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from memae.files import replacing
from memae.shelves.groups import MODEL, Group, columns_of, schema_of
from memae.shelves.keys import Keys

TOGETHER = 50
"""Maximum number of groups in a row group."""
BYTES = 2**23
"""Bytes of models from which a row group ends."""


def write(path: Path, keys: Keys, groups: Iterable[Group]) -> None:
    """Writes a shelf, whole or not at all.

    Args:
        path: to write.
        keys: the columns of keys, of known kinds.
        groups: ordered by key; one without a key comes first.

    Raises:
        OutputError: the file cannot be written; an existing one is kept.
    """
    import pyarrow as pa  # noqa: PLC0415 (only shelves need it)
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = schema_of(keys)
    told: dict[str, Any] = {"use_dictionary": [name for name in schema.names if name != MODEL]}
    told["write_statistics"] = list(keys.names)  # with which engines find a key; those of models would be models
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd", **told) as writer:
        for part in _parts(groups):
            writer.write_table(pa.Table.from_pydict(columns_of(keys.names, part), schema))


def _parts(groups: Iterable[Group]) -> Iterator[list[Group]]:
    """Groups that are written together; the shared model lies alone."""
    part: list[Group] = []
    for group in groups:
        part.append(group)
        full = sum(len(each.model or b"") for each in part) >= BYTES
        if full or len(part) == TOGETHER or group.is_shared_model:
            yield part
            part = []
    if part:
        yield part
