"""Mutations of bytes of any format."""

from collections.abc import Callable, Sequence
from random import Random

NUMBERS = (
    *(0, 1, 2, 3, 7, 8, 16, 32, 64, 100, 127, 128, 255, 256, 1000, 4096, 32767, 32768, 65535, 65536, 10**6),
    *(2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**63 - 1, 2**64 - 1),
)
"""Boundary values."""
EDGE = 96
"""Bytes at either end, where headers and indices are, that are chosen more often."""


def spoiled(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """`data` with one to eight faults."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        random.choice(WAYS)(out, others, random)
    return bytes(out)


def number(random: Random, size: int, order: str = "") -> bytes:
    """A boundary value in `size` bytes."""
    value: int = random.choice(NUMBERS) % (1 << 8 * size)
    return value.to_bytes(size, "little" if (order or random.choice("<>")) == "<" else "big")


def place(length: int, random: Random) -> int:
    """A random offset in `length` bytes, often near an end."""
    if not length:
        return 0
    near = min(EDGE, length)
    return random.choice((random.randrange(length), random.randrange(near), length - 1 - random.randrange(near)))


def _span(out: bytearray, random: Random) -> slice:
    start = place(len(out), random)
    return slice(start, start + random.choice((1, 2, 4, 8, 64, 1024)))


def _flip(out: bytearray, _: Sequence[bytes], random: Random) -> None:
    if out:
        out[place(len(out), random)] ^= 1 << random.randrange(8)


def _number(out: bytearray, _: Sequence[bytes], random: Random) -> None:
    start, size = place(len(out), random), random.choice((1, 2, 4, 8))
    out[start : start + size] = number(random, size)


def _cut(out: bytearray, _: Sequence[bytes], random: Random) -> None:
    del out[place(len(out), random) :]


def _without(out: bytearray, _: Sequence[bytes], random: Random) -> None:
    del out[_span(out, random)]


def _twice(out: bytearray, _: Sequence[bytes], random: Random) -> None:
    span = _span(out, random)
    out[span] = out[span] * random.choice((2, 3, 50))


def _zero(out: bytearray, _: Sequence[bytes], random: Random) -> None:
    span = _span(out, random)
    out[span] = bytes(len(out[span]))


def _noise(out: bytearray, _: Sequence[bytes], random: Random) -> None:
    span = _span(out, random)
    out[span] = random.randbytes(len(out[span]))


def _spliced(out: bytearray, others: Sequence[bytes], random: Random) -> None:
    other = random.choice(others)
    out[place(len(out), random) :] = other[place(len(other), random) :]


def _moved(out: bytearray, others: Sequence[bytes], random: Random) -> None:
    other = random.choice(others)
    span = _span(bytearray(other), random)
    start = place(len(out), random)
    out[start:start] = other[span]


Way = Callable[[bytearray, Sequence[bytes], Random], None]
WAYS: tuple[Way, ...] = (_flip, _flip, _flip, _number, _number, _cut, _without, _twice, _zero, _noise, _spliced, _moved)
