"""Options of the command line, made from the fields of `memae.parameters`."""

import sys
from collections.abc import Iterator, Mapping
from inspect import Parameter
from typing import Annotated, Any

import typer

from memae import parameters
from memae.parameters import Common, former_names, parameters_of
from memae.parameters.settings import GENERAL


def option(help: str, *names: str, panel: str = "Options", **more: Any) -> Any:  # noqa: A002 (typer's name)
    """An option that shows its default."""
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=True, **more)


def options_of(kind: type[Common]) -> Iterator[Parameter]:
    """The options of a command, one for each parameter of `kind`; former names follow as hidden options."""
    known = parameters_of(kind)
    yield from (_option(each, kind.LEARNS_WITH) for each in known)
    yield from (_former(each) for each in known if each.setting.was)


def _option(each: parameters.Parameter, learns_with: str) -> Parameter:
    about = each.setting
    panel = about.panel + f" (with {_flag(learns_with)})" * (learns_with != "" and about.panel != GENERAL)
    told = f"{about.help} {about.cli}".rstrip().replace("[", "\\[")  # brackets would be markup
    shown = option(told, *about.flags, panel=panel, metavar=about.metavar or None)
    default = list(each.default) if isinstance(each.default, tuple) else each.default
    hint: Any = Annotated[about.option or each.hint, shown]
    return Parameter(each.name, Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _former(each: parameters.Parameter) -> Parameter:
    hidden = option(f"The former name of {_flag(each.name)}.", hidden=True)
    hint: Any = Annotated[each.hint | None, hidden]
    return Parameter(each.setting.was, Parameter.KEYWORD_ONLY, default=None, annotation=hint)


def chosen(kind: type[Common], context: typer.Context, given: Mapping[str, Any], *, paper: bool) -> dict[str, Any]:
    """The parameters for an estimator: options given by the user override the paper's setting, which overrides ours.

    Args:
        kind: the parameters that can be set.
        context: context of the command, which knows the options that were given.
        given: values of all options of `options_of`.
        paper: whether to use the paper's setting.
    """
    explicit = {name: value for name, value in given.items() if not _left_out(context, name)}
    ours = {each.name: given[each.name] for each in parameters_of(kind)}
    return ours | (kind.PAPER if paper else {}) | _renamed(kind, explicit)


def _left_out(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is None or source.name == "DEFAULT"


def _renamed(kind: type[Common], given: dict[str, Any]) -> dict[str, Any]:
    """Options under their present names, with a warning for each that was given by its former name."""
    for old, new in former_names(kind).items():
        if old not in given:
            continue
        if new in given:
            raise typer.BadParameter(f"{_flag(new)} and {_flag(old)} are the same option; leave out the latter")
        sys.stderr.write(
            f"memae: warning: {_flag(old)} is now called {_flag(new)}; the former name goes in the next release\n"
        )
        given[new] = given.pop(old)
    return given


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
