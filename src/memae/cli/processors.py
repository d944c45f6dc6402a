"""How many threads a command computes with."""

from collections.abc import Callable
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
