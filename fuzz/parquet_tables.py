"""Parquet: columns of every type that Arrow writes, including nested ones, in all compressions, and damaged bytes."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from io import BytesIO
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fuzz import mutations, places
from fuzz.formats import Format, taken
from memae.estimators import TabularMemAE

ROWS = 9
COMPRESSIONS = ("NONE", "SNAPPY", "GZIP", "ZSTD", "LZ4", "BROTLI")
NAMES = ("a", "b", "c", "kind", "id", "", "a.b", "label", "__index_level_0__", "x" * 300, "\n")
INTEGERS = (0, 1, -1, 127, 2**31, 2**63 - 1, -(2**63), 2**53 + 1)
FLOATS = (0.0, -0.0, 1.5, 1e308, -1e308, 1e-320, float("nan"), float("inf"), float("-inf"))
TEXTS = ("", "x", "y", "grün", "nan", "1", "1e999", "\0", "x" * 200, "[1]", "\U0001f600")


def target(data: bytes) -> int:
    """Uses a table for fit and score."""
    path = places.put("a.parquet", data)
    score = partial(places.scored_into, places.table_detector(), path)
    fresh = TabularMemAE(widths=(4,), **places.SMALL)
    return taken(
        partial(places.begun, fresh, path),
        partial(score, ".parquet", keep=True),
        partial(score, ".jsonl", keep=True),
        partial(score, ".csv", keep=True),
    )


# --------------------------------------------------------------------------------------------------------- valid files


@cache
def seeds() -> tuple[bytes, ...]:
    """Tables with the detector's columns, written with several options, and some of unusual types."""
    known = pa.Table.from_pandas(places.rows(12))
    options: tuple[dict[str, Any], ...] = (
        {},
        *({"compression": each} for each in COMPRESSIONS),
        {"row_group_size": 3, "data_page_version": "2.0", "write_page_checksum": True},
        {"use_dictionary": False, "column_encoding": {"a": "BYTE_STREAM_SPLIT", "kind": "DELTA_BYTE_ARRAY"}},
        {"write_statistics": False, "store_schema": False, "version": "1.0"},
    )
    random = Random(0)  # noqa: S311 (no secret)
    return (*(_written(known, **each) for each in options), *(made(random) for _ in range(20)))


def _written(table: pa.Table, **options: Any) -> bytes:
    out = BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def made(random: Random) -> bytes:
    """A valid file of random types and values, mostly with the detector's column names."""
    names = ["a", "b", "c", "kind"]
    columns = [_column(random) if random.random() < 0.4 else _plain(name, random) for name in names]
    if random.random() < 0.3:
        names[random.randrange(4)] = random.choice(NAMES)
    if random.random() < 0.2:
        names, columns = [*names, random.choice(NAMES)], [*columns, _column(random)]
    table = pa.Table.from_arrays(columns, names=names)
    if random.random() < 0.1:
        table = table.slice(0, random.choice((0, 1)))
    if random.random() < 0.2:
        table = table.replace_schema_metadata({b"pandas": random.choice((b"", b"{}", b"[]", b'{"columns": 1}'))})
    try:
        return _written(table, compression=random.choice(COMPRESSIONS), row_group_size=random.choice((2, 5, 100)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # Parquet does not support this type or value
        return made(random)


def _plain(name: str, random: Random) -> pa.Array:
    words = name == "kind"
    return pa.array([random.choice(("x", "y")) if words else random.gauss(0, 1) for _ in range(ROWS)])


def _column(random: Random) -> pa.Array:
    kind = random.choice(KINDS)
    try:
        return kind(random)
    except (pa.ArrowInvalid, OverflowError):  # a value that this type cannot hold
        return pa.nulls(ROWS)


def _drawn(kind: pa.DataType, values: Sequence[Any], random: Random) -> pa.Array:
    nothing = random.choice((0.0, 0.3, 1.0))
    chosen = [None if random.random() < nothing else random.choice(values) for _ in range(ROWS)]
    return pa.array(chosen, kind, from_pandas=False)


def _of(kind: pa.DataType, values: Sequence[Any]) -> Callable[[Random], pa.Array]:
    return lambda random: _drawn(kind, values, random)


def _cast(kind: pa.DataType, values: Sequence[Any]) -> Callable[[Random], pa.Array]:
    """Integers cast to dates, times or durations, beyond the range of Python's own types."""
    return lambda random: _drawn(pa.int64(), values, random).cast(kind, safe=False)


def _integer(bits: int, *, signed: bool) -> Callable[[Random], pa.Array]:
    kind = getattr(pa, f"{'' if signed else 'u'}int{bits}")()
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return _of(kind, [low, high, 0, 1, 7])


def _nested(random: Random) -> pa.Array:
    inner: pa.DataType
    values: list[Any]
    inner, values = random.choice(((pa.int64(), [1, 2]), (pa.string(), ["x"]), (pa.list_(pa.int8()), [[1], []])))
    return random.choice(
        (
            lambda: _drawn(pa.list_(inner), [values, [], [None]], random),
            lambda: _drawn(pa.struct([("a", inner), ("b", pa.float64())]), [{"a": values[0], "b": 1.0}, {}], random),
            lambda: _drawn(pa.map_(pa.string(), inner), [[("k", values[0])], []], random),
            lambda: _drawn(pa.list_(inner, 1), [values[:1]], random),
        )
    )()


KINDS: tuple[Callable[[Random], pa.Array], ...] = (
    *(_integer(bits, signed=signed) for bits in (8, 16, 32, 64) for signed in (True, False)),
    *(_of(kind, FLOATS) for kind in (pa.float32(), pa.float64())),
    _of(pa.float16(), [1.5, float("nan"), float("inf")]),
    *(_of(kind, TEXTS) for kind in (pa.string(), pa.large_string(), pa.string_view())),
    *(_of(kind, [b"", b"\xff\0", b"x" * 99]) for kind in (pa.binary(), pa.large_binary())),
    _of(pa.binary(2), [b"ab", b"\0\xff"]),
    _of(pa.bool_(), [True, False]),
    _of(pa.null(), [None]),
    _of(pa.decimal128(20, 3), [0, 1, -7]),
    _of(pa.decimal256(60, 2), [0, 10**50]),
    *(_cast(pa.timestamp(unit, zone), INTEGERS) for unit in ("s", "ns") for zone in (None, "Europe/Berlin")),
    *(_cast(pa.duration(unit), INTEGERS) for unit in ("s", "us")),
    _cast(pa.date64(), INTEGERS),
    lambda random: _drawn(pa.int32(), [0, 2**31 - 1, -1], random).cast(pa.date32()),
    _cast(pa.time64("ns"), [0, 1, 86_399 * 10**9]),
    lambda random: _drawn(pa.string(), TEXTS, random).dictionary_encode(),
    lambda random: _drawn(pa.int64(), INTEGERS, random).dictionary_encode(),
    _nested,
    _nested,
)


# ------------------------------------------------------------------------------------------------------------- spoiling


def spoiled(files: Sequence[bytes], random: Random) -> bytes:
    """A new table of unusual types, or one with damaged bytes."""
    if random.random() < 0.4:
        return made(random)
    return mutations.spoiled(random.choice(files), files, random)


@cache
def bombs() -> tuple[bytes, ...]:
    """Small files with many rows, long texts or many columns."""
    many = 10**5
    same = pa.DictionaryArray.from_arrays(pa.array([0] * 10**5, pa.int32()), pa.array(["x" * 10**5]))
    known = dict.fromkeys("abc", pa.array([1.0]))
    rows = pa.table({name: pa.repeat(1.0, many) for name in "abc"} | {"kind": pa.repeat("x", many)})
    texts = pa.table({name: pa.repeat(1.0, 10**5) for name in "abc"} | {"kind": same})
    return (
        _written(rows, row_group_size=many),
        _written(texts, compression="ZSTD"),
        _written(pa.table({f"c{number}": pa.array([1.0, 2.0]) for number in range(5_000)})),
        _written(pa.table(known | {"kind": pa.array(["x" * 10**8])}), compression="ZSTD", use_dictionary=False),
        _written(pa.table(known | {"kind": pa.array([[[[[[[[1]]]]]]]])})),
    )


FORMAT = Format("parquet", seeds, spoiled, target, bombs)
