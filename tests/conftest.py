"""One hypothesis profile for all tests: the same examples in every run, and no clock. One thread: models are tiny."""

import sys
import warnings
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from hypothesis import Phase, settings

from memae import cli

PHASES = (Phase.explicit, Phase.generate, Phase.shrink)  # no explanation, which is slow
settings.register_profile("memae", deadline=None, derandomize=True, max_examples=50, phases=PHASES)
settings.load_profile("memae")
torch.set_num_threads(1)


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs the command line in this process."""
    monkeypatch.setattr("warnings.showwarning", lambda *_, **__: None)  # restored after main() has replaced it

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["memae", *map(str, arguments)])
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            with pytest.raises(SystemExit) as stop:
                cli.main()
        ran = Ran(int(stop.value.code or 0), *capsys.readouterr())
        assert "Traceback" not in ran.err
        assert "internal error" not in ran.err
        return ran

    return call
