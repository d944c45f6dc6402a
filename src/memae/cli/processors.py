"""How many threads a command computes with, and which of several processes speaks."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import wraps
from typing import Any


def computing(run: Callable[..., None]) -> Callable[..., None]:
    """Gives a command as many threads as this machine or container lets it use; `--help` does not wait for torch."""

    @wraps(run)
    def command(*args: Any, **given: Any) -> None:
        from memae.estimators.devices import use_threads

        use_threads()
        run(*args, **given)

    return command


def leads() -> bool:
    """Whether this process is the first of those that a launcher such as torchrun has started, or the only one."""
    return os.environ.get("RANK", "0") == "0" or os.environ.get("WORLD_SIZE", "1") == "1"


@contextmanager
def one_voice() -> Iterator[None]:
    """Of several processes, the first one alone prints meanwhile; errors are printed by each."""
    if leads():
        yield
        return
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield
