"""What the field of a dataclass says about a setting, and the parameter lists and docstrings made from all fields."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from inspect import get_annotations
from textwrap import fill
from typing import Annotated, Any, ForwardRef, NamedTuple, get_args, get_origin

from memae.errors import OptionError

GENERAL, NETWORK, MEMORY, TRAINING = "Options", "Network", "Memory", "Training"
PANELS = (GENERAL, NETWORK, MEMORY, TRAINING)
"""Groups of settings, in the order of signatures and docstrings."""


@dataclass(frozen=True)
class Setting:
    """Everything about one setting except its type and default, which are those of its field.

    A kind of data overrides what differs; what it leaves empty is inherited from `Common`.
    """

    help: str = ""  # one or two sentences, for command line and docstring
    panel: str = ""  # one of PANELS
    cli: str = ""  # added on the command line only
    api: str = ""  # added in the estimator's docstring only
    flags: tuple[str, ...] = ()  # of the command line, if they do not follow from the name
    option: Any = None  # type of the command line's value, if it is not the field's
    metavar: str = ""
    was: str = ""  # the name in earlier releases


class Parameter(NamedTuple):
    """A setting of a kind of data as a parameter of its estimator."""

    name: str
    hint: Any  # its type
    default: Any
    positional: bool  # the others are keyword-only
    setting: Setting


def parameters_of(kind: type[Any]) -> tuple[Parameter, ...]:
    """The parameters of a kind of data: positional ones first, then panel by panel.

    In each panel, the settings that `Common` lacks come first.

    Example:
        >>> from memae.parameters import Tabular
        >>> [each.name for each in parameters_of(Tabular)][:3]
        ['n_items', 'ignore', 'keep_columns']
    """
    return _parameters_of(kind)  # type: ignore[arg-type]  # mypy does not see that classes can be hashed


@cache  # each model that is loaded asks
def _parameters_of(kind: Any) -> tuple[Parameter, ...]:
    shared = {each.name for each in fields([above for above in kind.__mro__ if is_dataclass(above)][-1])}
    parameters = [
        Parameter(each.name, _hint(each.type), each.default, not each.kw_only, _setting(kind, each.name))
        for each in fields(kind)
    ]

    def rank(each: Parameter) -> tuple[bool, int, bool]:
        return not each.positional, PANELS.index(each.setting.panel), each.name in shared

    return tuple(sorted(parameters, key=rank))


def _setting(kind: type[Any], name: str) -> Setting:
    """The setting of a field, merged over the classes: a subclass overrides what it does not leave empty."""
    merged: dict[str, Any] = {}
    for above in reversed(kind.__mro__):
        for note in get_args(get_annotations(above).get(name))[1:]:
            merged |= {what: value for what, value in vars(note).items() if value} if isinstance(note, Setting) else {}
    return Setting(**({"panel": TRAINING} | merged))


def _hint(annotation: Any) -> Any:
    """The type of an annotation, without the metadata of `Annotated`."""
    hint = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return hint.__forward_arg__ if isinstance(hint, ForwardRef) else hint


def described(kind: type[Any], indent: str = "    ") -> str:
    """The parameters of a kind of data, formatted for the section "Args:" of a docstring."""
    shape: dict[str, Any] = {"initial_indent": indent, "subsequent_indent": 2 * indent, "break_on_hyphens": False}
    settings = ((name, setting) for name, _, _, _, setting in parameters_of(kind))
    return "\n".join(
        fill(f"{name}: {each.help[0].lower()}{each.help[1:]} {each.api}".rstrip(), 120, **shape)
        for name, each in settings
    )


def former_names(kind: type[Any]) -> dict[str, str]:
    """Parameter names of earlier releases, which still work → their current names."""
    return {each.setting.was: each.name for each in parameters_of(kind) if each.setting.was}


def renamed(former: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments under their current names; warns of each former name.

    Args:
        former: see `former_names`.
        given: arguments by name.

    Raises:
        OptionError: an argument is given under both names.
    """
    current = dict(given)
    for old, new in former.items():
        if old not in current:
            continue
        if new in current:
            raise OptionError(f"{new} and {old} are the same parameter; leave out {old}, its former name")
        warnings.warn(
            f"{old} is now called {new}; the former name goes in the next release", FutureWarning, stacklevel=3
        )
        current[new] = current.pop(old)
    return current
