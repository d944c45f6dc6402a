"""Completion in shells, as a user gets it: installed and asked in the real shell, and by each shell's protocol."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WHERE = Path(sys.executable).parent


def asked(command: list[str], home: Path, **environment: str) -> str:
    known = os.environ | {"PATH": f"{WHERE}{os.pathsep}{os.environ['PATH']}", "HOME": str(home)} | environment
    known.pop("XDG_CONFIG_HOME", None)
    ran = subprocess.run(command, env=known, cwd=home, capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("shell", "environment"),
    [
        ("bash", {"COMP_WORDS": "memae fit table --similarity ", "COMP_CWORD": "4"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "memae fit table --similarity "}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "memae fit table --similarity ", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_values_of_an_option_complete_in(shell: str, environment: dict[str, str], tmp_path: Path) -> None:
    found = asked(["memae"], tmp_path, _MEMAE_COMPLETE=f"complete_{shell}", **environment)
    assert "cosine" in found
    assert "dot" in found
    assert "table" not in found


BASH = """
memae --install-completion > /dev/null
source ~/.bashrc
for words in "memae sc" "memae fit " "memae score --eng" "memae score --engine o" "memae score nor"; do
  read -ra COMP_WORDS <<< "$words"
  [[ $words == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  _memae_completion memae
  echo "$words: ${COMPREPLY[*]}"
done
complete -p memae
"""


def test_bash_itself(tmp_path: Path) -> None:
    assert asked(["bash", "-c", BASH], tmp_path).splitlines() == [
        "memae sc: score",
        "memae fit : table images video",
        "memae score --eng: --engine",
        "memae score --engine o: onnxruntime openvino",
        "memae score nor: ",  # nothing of ours, so that …
        "complete -o default -F _memae_completion memae",  # … bash completes names of files
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bash_completions", ".bashrc"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_itself(tmp_path: Path) -> None:
    (tmp_path / "normal.csv").touch()
    ask = 'memae --install-completion >/dev/null; complete -C "memae sc"; complete -C "memae score nor"'
    assert [line.split()[0] for line in asked(["fish", "-c", ask], tmp_path).splitlines()] == ["score", "normal.csv"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_can_be_shown(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    shown = asked([shell, "-c", "memae --show-completion; true"], tmp_path)
    assert f"_MEMAE_COMPLETE=complete_{shell}" in shown
    assert not list(tmp_path.glob(".bash*"))
