"""Metrics of the code base, as one JSON object: `python -m measurements house src/memae`, of any checkout.

They say how long modules and functions are, how many parameters a function has, and how often code asks for the kind of
data or for a pretext task outside the rooms that may know of them.
"""

import argparse
import ast
import json
import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from memae.errors import SourceError
from recording import records

KIND = re.compile(
    r"['\"](table|image|video|tabular)s?['\"]"  # a name of a kind
    r"|\b(estimator|detector|source|kind|cls|self|about)\.kind\b"  # an attribute, but not that of a column
    r"|\b(Tabular|Image|Video)MemAE\b|\b(Tables|Images|Videos)\b|\bis_(table|image|video)\b"  # a class, a question
    r"|^(not )?(table|image|video)$"  # a flag
)
"""A conditional that asks for the kind of data."""
PRETEXT = re.compile(
    r"\b_?(turns?|rotations?|orientation|compass|rotated|turned)(_\w+)?\b"
    r"|\b_?(hide|hides|hidden|hiding|masked_columns|masked)\b"
    r"|\b_?(paces?|speeds)(_\w+)?\b"
    r"|\b(Rotations|MaskedColumns|Speeds|Hiding|Pace|Compass|Orientation)\b"
)
"""A conditional that asks for a pretext task, by its name now or before: rotations, masked columns, playback speeds."""
ROOMS = (
    "data/",
    "networks/",
    "pretext/",
    "kinds/",
    "estimators/tabular.py",
    "estimators/image.py",
    "estimators/video.py",
)
"""Where a line may know of kinds and pretext tasks; paths below the directory that is measured."""


class Function(NamedTuple):
    """One function or method; one that is defined within another counts for both."""

    where: str  # "scoring.py:12 Scorer.forward"
    lines: int  # from `def` to its end, without decorators and docstring
    parameters: int  # without self and cls


class Module(NamedTuple):
    """One file."""

    path: str
    lines: int
    functions: list[Function]
    conditions: list[str]  # source of each condition


def metrics(root: Path) -> dict[str, Any]:
    """All metrics of the Python files below a directory.

    Raises:
        SourceError: there is none, or one cannot be parsed.
    """
    modules = [_module(root, path) for path in sorted(root.rglob("*.py"))]
    if not modules:
        raise SourceError(f"{root} holds no Python files; name the directory of a package, for instance src/memae")
    functions = [function for module in modules for function in module.functions]
    lengths = sorted(function.lines for function in functions) or [0]
    longest = max(modules, key=lambda module: module.lines)
    return {
        "lines": sum(module.lines for module in modules),
        "modules": {
            "count": len(modules),
            "median": statistics.median(module.lines for module in modules),
            "longest": longest.lines,
            "longest_is": longest.path,
        },
        "functions": {
            "count": len(functions),
            "median": statistics.median(lengths),
            "p95": lengths[min(len(lengths) * 95 // 100, len(lengths) - 1)],
            "longest": lengths[-1],
            "longest_is": max(functions, key=lambda each: each.lines).where if functions else "",
            "most_parameters": max((each.parameters for each in functions), default=0),
            "most_parameters_is": max(functions, key=lambda each: each.parameters).where if functions else "",
        },
        "conditionals_on_kind": _asking(modules, KIND),
        "conditionals_on_pretext": _asking(modules, PRETEXT),
    }


def _asking(modules: list[Module], words: re.Pattern[str]) -> dict[str, Any]:
    """The number of matching conditions outside the rooms, in all and by file."""
    files = {
        module.path: count
        for module in modules
        if not module.path.startswith(ROOMS)
        and (count := sum(words.search(condition) is not None for condition in module.conditions))
    }
    return {"count": sum(files.values()), "files": files}


def _module(root: Path, path: Path) -> Module:
    text, name = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise SourceError(f"{path} is no Python that this interpreter parses: {error}") from error
    conditions = [ast.unparse(test) for node in ast.walk(tree) for test in _conditions(node)]
    return Module(name, len(text.splitlines()), list(_functions(tree, name)), conditions)


def _conditions(node: ast.AST) -> list[ast.expr]:
    """The conditions of a branching node."""
    if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
        return [node.test]
    if isinstance(node, ast.comprehension):
        return node.ifs
    return [node.subject] if isinstance(node, ast.Match) else []


def _functions(node: ast.AST, module: str, within: str = "") -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        name = (
            f"{within}{child.name}" if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else ""
        )
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(f"{module}:{child.lineno} {name}", _lines(child), _parameters(child))
        yield from _functions(child, module, f"{name}." if name else within)


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first, last = function.body[0], function.end_lineno or function.lineno
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return last - function.lineno + 1 - docstring


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return (
        sum(each.arg not in ("self", "cls") for each in named) + (given.vararg is not None) + (given.kwarg is not None)
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The directory that is measured."""
    default = records.ROOT / "src" / "memae"
    parser.add_argument("directory", type=Path, nargs="?", default=default, help="of a package; by default src/memae")


def main(arguments: argparse.Namespace) -> None:
    """Prints the metrics as JSON."""
    sys.stdout.write(json.dumps(metrics(arguments.directory), indent=1) + "\n")
