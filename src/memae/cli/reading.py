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
    from memae.kinds import Kind

STANDARD_INPUT = "-"


Ignored = Annotated[list[str], typer.Option(help="Column that the model was not fitted with; repeat for each.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse columns that the model was not fitted with, and another order.")
]


Windows = Annotated[
    bool, typer.Option("--windows", help="One line for each window instead of each row, for a model with --window.")
]


By = Annotated[
    list[str],
    typer.Option(
        "--by", help="Column that tells groups, if it is called otherwise than when their models were fitted."
    ),
]
Shared = Annotated[
    bool, typer.Option("--shared", help="Score rows of groups without a model by the model that groups share.")
]


class Columns(NamedTuple):
    """How columns that the model was not fitted with are dealt with."""

    ignore: Ignored = []  # noqa: RUF012 (typer's way)
    strict: Strict = False


class Rows(NamedTuple):
    """The same, what a line of the output stands for, and which of many models scores a row."""

    ignore: Ignored = []  # noqa: RUF012 (typer's way)
    strict: Strict = False
    windows: Windows = False
    by: By = []  # noqa: RUF012 (typer's way)
    shared: Shared = False


class Names(NamedTuple):
    """Whether columns that the model was not fitted with, and another order, are refused."""

    strict: Strict = False


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
    columns = signature(run).parameters.get("columns")
    if columns is not None:
        run = grouped(columns=columns.annotation)(run)

    @wraps(run)
    def command(*args: Any, **given: Any) -> None:
        from memae.data.dialects import WORDS, Dialect

        said = {name: given.pop(name) for name in OPTIONS}
        said = {name: WORDS.get(value, value) if name != "sheet" else value for name, value in said.items()}
        run(*args, **given, dialect=Dialect(**said))

    own = [each for name, each in signature(run).parameters.items() if name != "dialect"]
    more = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in OPTIONS.items()
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


def read_as(estimator: "Estimator", dialect: "Dialect", *, strict: bool = False) -> None:
    """Makes a detector read files as the options say.

    Args:
        estimator: fitted.
        dialect: as far as given.
        strict: see `Names`.

    Raises:
        OptionError: options are given and the data is no table.
    """
    from memae.data.dialects import Dialect
    from memae.errors import OptionError
    from memae.estimators import TabularMemAE

    if isinstance(estimator, TabularMemAE):
        estimator.read_as(dialect, strict=strict)
    elif strict:
        raise OptionError("--strict is for tables; images and video have no columns")
    elif dialect != Dialect():
        raise OptionError(
            "--separator, --decimal, --thousands, --encoding, --sheet and --header are for tables; leave them out"
        )


def by_window(kind: "Kind") -> "Kind":
    """A kind whose samples are the windows of rows, not the rows.

    Raises:
        OptionError: the model scores no windows.
    """
    from dataclasses import replace

    from memae.errors import OptionError
    from memae.kinds.windows import WindowedTables

    if not isinstance(kind, WindowedTables):
        raise OptionError("--windows is for a table's model that was fitted with --window; leave it out")
    return replace(kind, each_window=True)


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
