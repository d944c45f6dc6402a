import re
from pathlib import Path

import pytest
import typer

import memae
from memae.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_departure_from_the_paper_is_in_the_code_and_in_the_docs():
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    marked = set(re.findall(r"NOTE\[DIFF\] ([a-z-]+)", source))
    table = (ROOT / "docs" / "method.md").read_text().split("| name | paper | here |")[1]
    told = set(re.findall(r"^\| ([a-z-]+) \|", table, re.MULTILINE))
    assert marked == told
    assert source.count("NOTE[DIFF]") >= len(marked)


WITH_PYTHON = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("guide", "method", "shelf", "your-data")),
]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_the_python_of_the_docs_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)  # noqa: S102 (our own docs)


def commands(group, above=""):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def test_every_command_and_public_name_is_documented():
    reference = (ROOT / "docs" / "cli.md").read_text()
    found = dict(commands(typer.main.get_command(app)))
    assert set(found) == {
        "fit table",
        "fit images",
        "fit video",
        "score",
        "evaluate",
        "explain",
        "drift",
        "report",
        "export",
        "watch",
        "serve",
        "inspect",
        "update",
        "recalibrate",
        "demo",
    }
    for name, command in found.items():
        assert f"`memae {name}" in reference
        assert "Example" in command.help
        assert all(option.help for option in command.params)
    text = "\n".join(page.read_text() for page in PAGES)
    for name in memae.__all__:
        assert getattr(memae, name).__doc__
        assert name in text


def test_links_in_the_docs_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_version_is_the_same_everywhere():
    assert f'version = "{memae.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert f"version: {memae.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {memae.__version__}" in (ROOT / "CHANGELOG.md").read_text()
