"""A setting, as the field of a dataclass describes it, and what is made of all of them."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from inspect import get_annotations
from textwrap import fill
from typing import Annotated, Any, ForwardRef, NamedTuple, get_args, get_origin

from memae.errors import OptionError

GENERAL, NETWORK, MEMORY, TRAINING = "Options", "Network", "Memory", "Training"
PANELS = (GENERAL, NETWORK, MEMORY, TRAINING)
"""Groups of settings, in the order in which signatures and docstrings have them."""


@dataclass(frozen=True)
class Setting:
    """What is known of one setting besides its type and its default, which its field has.

    A kind of data says what is different for it; what it leaves empty is as `Common` has it.
    """

    help: str = ""  # a sentence or two, for everybody
    panel: str = ""  # one of PANELS
    cli: str = ""  # what only the command line needs to add
    api: str = ""  # what only the docstring of the estimator needs to add
    flags: tuple[str, ...] = ()  # of the command line, where they do not follow from the name
    option: Any = None  # type of the command line's value, where it is not the field's
    metavar: str = ""
    was: str = ""  # the name in earlier releases


class Parameter(NamedTuple):
    """A field of a kind of data, with its setting."""

    name: str
    hint: Any  # type
    default: Any
    positional: bool  # all others are given by name
    setting: Setting


def parameters_of(kind: type[Any]) -> tuple[Parameter, ...]:
    """The parameters of a kind of data: what can be positional first, then panel by panel.

    In each panel, those that no other kind has come first.

    Example:
        >>> from memae.parameters import Tabular
        >>> [each.name for each in parameters_of(Tabular)][:3]
        ['n_items', 'ignore', 'scaling']
    """
    shared = {each.name for each in fields([above for above in kind.__mro__ if is_dataclass(above)][-1])}
    found = [
        Parameter(each.name, _hint(each.type), each.default, not each.kw_only, _setting(kind, each.name))
        for each in fields(kind)
    ]

    def place(each: Parameter) -> tuple[bool, int, bool]:
        return not each.positional, PANELS.index(each.setting.panel), each.name in shared

    return tuple(sorted(found, key=place))


def _setting(kind: type[Any], name: str) -> Setting:
    """What a kind of data says of a field; where it is silent, what the class above it says."""
    known: dict[str, Any] = {}
    for above in reversed(kind.__mro__):
        for told in get_args(get_annotations(above).get(name))[1:]:
            known |= {what: value for what, value in vars(told).items() if value} if isinstance(told, Setting) else {}
    return Setting(**({"panel": TRAINING} | known))


def _hint(annotation: Any) -> Any:
    """The type that an annotation names, without what it says besides."""
    hint = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return hint.__forward_arg__ if isinstance(hint, ForwardRef) else hint


def described(kind: type[Any], indent: str = "    ") -> str:
    """The parameters of a kind of data as a docstring lists them below "Args:"."""
    shape: dict[str, Any] = {"width": 120, "initial_indent": indent, "subsequent_indent": 2 * indent}
    told = ((name, setting) for name, _, _, _, setting in parameters_of(kind))
    return "\n".join(
        fill(f"{name}: {about.help[0].lower()}{about.help[1:]} {about.api}".rstrip(), **shape) for name, about in told
    )


def former_names(kind: type[Any]) -> dict[str, str]:
    """Names of earlier releases, which still work, and what each is called now."""
    return {each.setting.was: each.name for each in parameters_of(kind) if each.setting.was}


def renamed(former: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments under the names of today, with a warning for each of an earlier release.

    Args:
        former: see `former_names`.
        given: arguments by name.

    Raises:
        OptionError: one is given under both of its names.
    """
    found = dict(given)
    for old, new in former.items():
        if old not in found:
            continue
        if new in found:
            raise OptionError(f"{new} and {old} are the same parameter; leave out {old}, its former name")
        warnings.warn(
            f"{old} is now called {new}; the former name goes in the next release", FutureWarning, stacklevel=3
        )
        found[new] = found.pop(old)
    return found
