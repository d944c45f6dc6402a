"""`memae serve`: serves models over HTTP, with a page to drop files on."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memae.cli.score import Engine, EngineOption, FalseAlarms

if TYPE_CHECKING:
    from collections.abc import Callable

    from memae.estimators import Estimator
    from memae.shelves.reading import Shelf

    Model = Estimator | Shelf

MEGABYTES = 256.0
"""Models of many groups that are held in memory, by default."""


def serve(
    models: Annotated[
        list[Path], typer.Argument(help="Model files; each model is named after its file.", show_default=False)
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that other machines can reach needs --token-file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="File with a secret that requests must send; 16 characters or more.")
    ] = None,
    max_mb: Annotated[float, typer.Option(help="Maximum size of a request in MB.")] = 64.0,
    max_samples: Annotated[int, typer.Option(help="Maximum number of rows, images or frames per request.")] = 100_000,
    max_seconds: Annotated[float, typer.Option(help="Seconds until a request is given up.")] = 60.0,
    max_requests: Annotated[int, typer.Option(help="Maximum number of requests at once; more get status 429.")] = 256,
    max_batch: Annotated[
        int | None,
        typer.Option(help="Maximum number of samples per batch; by default the model's own.", show_default=False),
    ] = None,
    models_mb: Annotated[
        float, typer.Option(help="Of the models of many groups: maximum size in memory in MB; others are read again.")
    ] = MEGABYTES,
    false_alarm_rate: FalseAlarms = None,
    engine: EngineOption = "torch",
) -> None:
    """Serve models over HTTP: scores, explanations, metrics, and a page at / to drop files on.

    SIGTERM and Ctrl-C stop it after it has answered the requests it accepted.

    Models by group, as `memae fit table --by` writes them, are one model: rows name their group.

    Example: memae serve model.memae --port 8000
    """
    import torch

    from memae.errors import MissingExtraError

    try:
        from memae.service.app import Service
        from memae.service.limits import Limits
        from memae.service.server import Server, bound
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"serve needs {error.name}: pip install 'memae[serve]'") from error

    limits = Limits(
        megabytes=max_mb, samples=max_samples, seconds=max_seconds, requests=max_requests, together=max_batch
    )
    token = None if token_file is None else _token(token_file)
    with bound(host, port, token) as listening:
        named = _named(models, lambda path: _opened(path, models_mb, false_alarm_rate, engine))
        torch.set_num_threads(max(torch.get_num_threads() - 1, 1))  # leaves a core for HTTP
        server = Server(Service(named, limits=limits, token=token), limits)
        shown = f"[{host}]" if ":" in host else host
        sys.stderr.write(f"memae: {', '.join(named)} at http://{shown}:{listening.getsockname()[1]} (Ctrl-C ends it)\n")
        server.serve_on(listening)
    if server.caught == signal.SIGINT:
        raise typer.Exit(130)


def _token(path: Path) -> str:
    from memae.errors import OptionError

    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise OptionError(
            f"cannot read the token file {path}: {reason}; make one: openssl rand -hex 16 > {path}"
        ) from error


def _named(paths: list[Path], opened: "Callable[[Path], Model]") -> "dict[str, Model]":
    """The models by the names of their files."""
    from memae.errors import OptionError

    models: dict[str, Any] = {}
    for path in paths:
        if path.stem in models:
            raise OptionError(f"two models are called {path.stem!r}; rename one of the files")
        models[path.stem] = opened(path)
    return models


def _opened(path: Path, megabytes: float, false_alarm_rate: float | None, engine: Engine) -> "Model":
    """A detector, or the detectors of many groups."""
    from memae.errors import OptionError
    from memae.estimators import load
    from memae.shelves.reading import Shelf, is_shelf

    if is_shelf(path):
        if engine != "torch":
            raise OptionError(f"--engine cannot be used with the models of many groups, {path}; leave it out")
        shelf = Shelf(path, megabytes=megabytes, false_alarm_rate=false_alarm_rate)
        _ = shelf.sample  # raises if there is no model
        return shelf
    estimator = load(path).use_engine(engine)
    return estimator if false_alarm_rate is None else estimator.recalibrate(false_alarm_rate=false_alarm_rate)
