"""Converts untrusted JSON data to typed Python values, or refuses it."""

from collections.abc import Iterable, Sequence
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

LARGEST = 2**63
"""Whole numbers must lie below."""


def typed(value: Any, hint: Any) -> Any:
    """Converts `value` to the type `hint`: dicts to dataclasses and named tuples, lists to tuples; others are checked.

    Args:
        value: JSON data.
        hint: a type, a union, a `Literal`, a tuple or sequence of one type, or `Any`.

    Raises:
        TypeError: the value does not have this type.

    Example:
        >>> typed([2, 2], tuple[int, ...]), typed("sum", Literal["sum", "mean"])
        ((2, 2), 'sum')
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _any_of(value, inner)
    if origin is Literal:
        return _one_of(value, inner)
    if origin is dict:
        return _simple(value, dict)
    if origin is not None and issubclass(origin, Sequence):
        return _items(value, inner) if origin is tuple else list(_items(value, (*inner, ...)))
    if is_dataclass(hint) or hasattr(hint, "_fields"):
        return _record(value, hint)
    return value if hint is Any else _simple(value, hint)


def _simple(value: Any, hint: Any) -> Any:
    if hint is bool and value in (0, 1) and isinstance(value, int):
        return bool(value)
    kinds: Any = (int, float) if hint is float else hint
    if not isinstance(value, kinds) or (isinstance(value, bool) and hint is not bool):
        raise _wrong(value, getattr(hint, "__name__", str(hint)))
    if isinstance(value, int) and abs(value) >= LARGEST:
        raise _wrong(value, "a smaller number")
    return value


def _any_of(value: Any, hints: Iterable[Any]) -> Any:
    for hint in hints:
        try:
            return typed(value, hint)
        except TypeError:
            continue
    raise _wrong(value, " or ".join(map(str, hints)))


def _one_of(value: Any, allowed: tuple[Any, ...]) -> Any:
    if isinstance(value, bool) or value not in allowed:
        raise _wrong(value, " or ".join(map(repr, allowed)))
    return value


def _items(value: Any, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(value, "a list")
    if len(hints) == 2 and hints[1] is ...:
        hints = (hints[0],) * len(value)
    if len(hints) != len(value):
        raise _wrong(value, f"{len(hints)} values")
    return tuple(typed(each, hint) for each, hint in zip(value, hints, strict=True))


def _record(value: Any, kind: Any) -> Any:
    if not isinstance(value, dict):
        raise _wrong(value, kind.__name__)
    hints = get_type_hints(kind)
    unknown = [name for name in value if name not in hints]
    if unknown:
        raise TypeError(f"{kind.__name__} has no {unknown[0]!r}")
    return kind(**{name: typed(each, hints[name]) for name, each in value.items()})


def _wrong(value: Any, expected: str) -> TypeError:
    return TypeError(f"{expected} is expected, not {repr(value)[:60]}")
