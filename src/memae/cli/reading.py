"""What all commands that read data share: standard input as a source, and options on how table files are written."""

import atexit
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from memae.data.dialects import Dialect
    from memae.estimators import Estimator

STANDARD_INPUT = "-"
WORDS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "apostrophe": "'", "none": ""}
"""Characters that are hard to type in a shell."""


Ignored = Annotated[list[str], typer.Option(help="Column that the model was not fitted with; repeat for each.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse columns that the model was not fitted with, and another order.")
]


class Columns(NamedTuple):
    """How columns that the model was not fitted with are dealt with."""

    ignore: list[str]
    strict: bool


def _option(help: str, *names: str) -> Any:  # noqa: A002 (typer's name)
    return typer.Option(*names, help=help, rich_help_panel="Table files", show_default=False)


OPTIONS: dict[str, Any] = {
    "separator": Annotated[
        str | None, _option("Between columns: one character, or tab or space. By default detected.")
    ],
    "decimal": Annotated[str | None, _option("Decimal separator, . or , (detected).")],
    "thousands": Annotated[str | None, _option("Separator of thousands: . , space, apostrophe or none (detected).")],
    "encoding": Annotated[str | None, _option("Encoding, such as utf-8 or cp1252 (detected).")],
    "sheet": Annotated[str | None, _option("Sheet of an Excel file; by default the first.")],
    "header": Annotated[
        bool | None, _option("Whether the first line names the columns (detected).", "--header/--no-header")
    ],
}
"""The options on table files: the fields of `Dialect`."""


def reads_tables(run: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `run(…, dialect)` an option for each field of a `Dialect`; with `columns`, for theirs too."""
    named = "columns" in signature(run).parameters

    @wraps(run)
    def command(*args: Any, **given: Any) -> None:
        from memae.data.dialects import Dialect

        said = {name: given.pop(name) for name in OPTIONS}
        said = {name: WORDS.get(value, value) if name != "sheet" else value for name, value in said.items()}
        columns = {"columns": Columns(given.pop("ignore"), given.pop("strict"))} if named else {}
        run(*args, **given, **columns, dialect=Dialect(**said))

    own = [each for name, each in signature(run).parameters.items() if name not in ("columns", "dialect")]
    options = {"ignore": (Ignored, []), "strict": (Strict, False)} if named else {}
    options |= {name: (annotation, None) for name, annotation in OPTIONS.items()}
    more = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]
    command.__annotations__ = {each.name: each.annotation for each in own}
    command.__signature__ = signature(run).replace(parameters=[*own, *more])  # type: ignore[attr-defined]
    return command


def grouped(**groups: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command an option for each field of the NamedTuples that it takes as keywords.

    Args:
        groups: parameter of the command → class of its value, whose fields are annotated as options.
    """

    def decorate(run: Callable[..., None]) -> Callable[..., None]:
        @wraps(run)
        def command(*args: Any, **given: Any) -> None:
            made = {name: group(*(given.pop(each) for each in group._fields)) for name, group in groups.items()}
            run(*args, **given, **made)

        parts = []
        for name, each in signature(run).parameters.items():
            fields = signature(groups[name]).parameters.values() if name in groups else [each]
            parts += [field.replace(kind=each.kind) for field in fields]
        command.__annotations__ = {each.name: each.annotation for each in parts}
        command.__signature__ = signature(run).replace(parameters=parts)  # type: ignore[attr-defined]
        return command

    return decorate


def read_as(estimator: "Estimator", dialect: "Dialect") -> None:
    """Makes a detector read files as the options say.

    Raises:
        OptionError: options are given and the data is no table.
    """
    from memae.data.dialects import Dialect
    from memae.errors import OptionError
    from memae.estimators import TabularMemAE

    if isinstance(estimator, TabularMemAE):
        estimator.read_as(dialect)
    elif dialect != Dialect():
        raise OptionError(
            "--separator, --decimal, --thousands, --encoding, --sheet and --header are for tables; leave them out"
        )


def source_of(help: str) -> Any:  # noqa: A002 (typer's name)
    """An argument with data to read: a path, or - for standard input."""
    return typer.Argument(help=help, show_default=False, callback=_from_standard_input)


def _from_standard_input(path: Path) -> Path:
    """The path itself, or for "-" that of a temporary file with what standard input holds, since data is read twice."""
    if str(path) != STANDARD_INPUT:
        return path
    folder = Path(tempfile.mkdtemp(prefix="memae-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    spooled = folder / "stdin"
    with spooled.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return spooled
