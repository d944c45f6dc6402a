"""The house: what the core may name, and how long and wide its parts may be."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from measurements import house

ROOT = Path(__file__).parents[1]
CORE = (
    "memory.py", "kernel.py", "losses.py", "health.py", "model.py", "options.py", "checkpoint.py", "training.py",
    "scoring", "evidence.py", "engines", "modelfile",
)  # fmt: skip
FORMER = "modelfile/migration.py"
"""Reads files of older formats, which named pretext tasks: the one file of the core that must know these names."""
KNOWN_ELSEWHERE = re.compile(
    r"(?<![a-z])(tables?|tabular|images?|videos?|films?|clips|rotations?|rotated|turns|speeds?|paces?"
    r"|masked|masks|hiding|compass|erasing)(?![a-z])",
    re.IGNORECASE,
)
"""Kinds of data and pretext tasks."""
PACKAGES = {"src/memae": 400, "reproduction": 400, "measurements": 400, "recording": 400}


def files_of_the_core() -> list[Path]:
    paths = [ROOT / "src" / "memae" / name for name in CORE]
    assert all(path.exists() for path in paths), "a part of the core has moved; name its new place"
    return [file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]


def names_in(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every identifier, module and string of code that is no docstring."""
    tree = ast.parse(source)
    prose = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for name in ("id", "attr", "arg", "name", "module"):
            if isinstance(found := getattr(node, name, None), str):
                yield line, found
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield line, node.value


@pytest.mark.parametrize("path", files_of_the_core(), ids=lambda path: path.relative_to(ROOT / "src/memae").as_posix())
def test_the_core_names_no_kind_of_data_and_no_pretext_task(path):
    named = [f"{line}: {text!r}" for line, text in names_in(path.read_text()) if KNOWN_ELSEWHERE.search(text)]
    assert path.as_posix().endswith(FORMER) == bool(named), "\n".join([path.name, *named])


def test_a_name_is_found_wherever_it_stands():
    code = (
        'import memae.pretext.speeds\ndef image_of(x, clips=None):\n    """A table."""\n    return x.turns, "video"\n'
    )
    found = [text for _, text in names_in(code) if KNOWN_ELSEWHERE.search(text)]
    assert sorted(found) == ["clips", "image_of", "memae.pretext.speeds", "turns", "video"]
    assert not any(KNOWN_ELSEWHERE.search(text) for text in ("returns", "spaces", "stable", "clip_grad", "speeded"))


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_and_functions_keep_their_budgets(package):
    found = house.metrics(ROOT / package)
    modules, functions = found["modules"], found["functions"]
    assert modules["longest"] <= PACKAGES[package], modules["longest_is"]
    assert modules["median"] <= 150
    assert functions["median"] <= 10
    assert functions["p95"] <= 35
    assert functions["most_parameters"] <= 12, functions["most_parameters_is"]
