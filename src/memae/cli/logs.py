"""Logs of a training besides the terminal: TensorBoard and MLflow."""

import os
import textwrap
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType, TracebackType
from typing import Any, Self

from memae.cli.card import card
from memae.cli.inspect import describe
from memae.errors import MemaeWarning, MissingExtraError, OutputError
from memae.estimators import Estimator
from memae.mlflow import save_model
from memae.options import Epoch

HEALTH = ("in_use", "dead", "duplicates", "effective", "survivors", "fallback_rate", "top_share")
DETECTOR = "detector"
"""Name of the detector in a run of MLflow."""
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing is sent anywhere but to the user's server
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for results
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # errors are reported here, in a sentence
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # 14 s; with the default, a wrong address takes four minutes to fail
}
"""Environment variables for MLflow; values that the user has set take precedence."""


def figures(epoch: Epoch) -> dict[str, float]:
    """The metrics of an epoch by their names in logs."""
    values = {name: getattr(epoch, name) for name in ("loss", "error", "entropy", "held_out_error", "seconds")}
    return values | ({f"memory/{name}": getattr(epoch.health, name) for name in HEALTH} if epoch.health else {})


class Log(ABC):
    """A log of a training, from its start to its model file."""

    @abstractmethod
    def add(self, epoch: Epoch) -> None:
        """Logs an epoch that has ended."""

    @abstractmethod
    def finish(self, estimator: Estimator, model: Path) -> None:
        """Logs the fitted estimator once its model file is written."""

    @abstractmethod
    def close(self, error: BaseException | None) -> None:
        """Closes the log; `error` is the exception that ended the training early, if any."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)


class TensorBoard(Log):
    """TensorBoard's event files in a folder.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # an optional extra
        except ImportError as error:
            raise MissingExtraError("--log-dir needs the \"log\" extra: pip install 'memae[log]'") from error
        self._writer: Any = SummaryWriter(str(folder))

    def add(self, epoch: Epoch) -> None:
        """Logs the metrics as scalars."""
        for name, value in figures(epoch).items():
            self._writer.add_scalar(name, value, epoch.epoch)

    def finish(self, estimator: Estimator, model: Path) -> None:
        """Logs the model card as text."""
        self._writer.add_text("model card", card(estimator, model.name))

    def close(self, error: BaseException | None) -> None:  # noqa: ARG002 (event files have no end)
        """Closes the file."""
        self._writer.close()


class MLflow(Log):
    """A run of MLflow: parameters, metrics of each epoch, the threshold, and model file and card as artifacts.

    An address that cannot be logged to raises an error before the training. If it fails later, a single warning is
    given and the training goes on.

    Args:
        address: address of MLflow's tracking server, or a folder for a database and the artifacts.
        estimator: the estimator, before it is fitted.
        source: its training data.
        name: name of the run.

    Raises:
        MissingExtraError: MLflow is not installed.
        OutputError: the address cannot be logged to.
    """

    def __init__(self, address: str, estimator: Estimator, source: Path, name: str) -> None:
        self._address = address
        self._lost = False
        client = _client()
        try:
            uri, artifacts = located(address)
            self._client = client(tracking_uri=uri)
            experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", "memae")
            known = self._client.get_experiment_by_name(experiment)
            number = known.experiment_id if known else self._client.create_experiment(experiment, artifacts)
            self._run: str = self._client.create_run(number, run_name=name).info.run_id
            self._log(options=estimator.get_params() | {"kind": estimator.kind, "source": source})
        except Exception as error:  # whatever a server, a database or a disk may raise
            raise OutputError(
                f"cannot log to MLflow at {address}: {_reason(error)}; give a running server's address, or a folder"
            ) from error

    def add(self, epoch: Epoch) -> None:
        """Logs the metrics of an epoch."""
        self._try(self._log, figures(epoch), step=epoch.epoch)

    def finish(self, estimator: Estimator, model: Path) -> None:
        """Logs threshold, kept epoch, provenance, the model file and its card, which is also the run's description."""
        facts, best = describe(estimator), estimator.best_epoch_
        told = card(estimator, model.name)
        known = facts["calibration"] | {"best_epoch": best.epoch, "best_held_out_error": best.held_out_error}
        versions = {f"version.{name}": number for name, number in estimator.versions_.items()}
        tags = versions | {"data_sha256": estimator.checksum_, "mlflow.note.content": told}
        self._try(self._log, known, step=best.epoch, tags=tags)
        self._try(self._client.log_artifact, self._run, str(model))
        self._try(self._client.log_text, self._run, told, f"{model.name}.md")
        self._try(self._log_detector, model)

    def _log_detector(self, model: Path) -> None:
        """Logs what `mlflow.pyfunc.load_model("runs:/…/detector")` reads."""
        with TemporaryDirectory() as folder:
            save_model(model, Path(folder) / DETECTOR)
            self._client.log_artifacts(self._run, folder)

    def _log(
        self,
        metrics: Mapping[str, float] = MappingProxyType({}),
        *,
        step: int = 0,
        options: Mapping[str, Any] = MappingProxyType({}),
        tags: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        self._client.log_batch(
            self._run,
            [Metric(name, float(value), now, step) for name, value in metrics.items()],
            [Param(name, str(value)) for name, value in options.items()],
            [RunTag(name, value) for name, value in tags.items()],
        )

    def close(self, error: BaseException | None) -> None:
        """Sets the final state of the run."""
        ended = "FINISHED" if error is None else "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        self._try(self._client.set_terminated, self._run, ended)

    def _try(self, call: Callable[..., Any], *what: Any, **more: Any) -> None:
        """Calls `call` unless MLflow has failed before; the first failure is a warning."""
        if self._lost:
            return
        try:
            call(*what, **more)
        except Exception as error:  # as above; hours of training are worth more than their log
            self._lost = True
            lost = f"MLflow at {self._address} is lost ({_reason(error)})"
            warnings.warn(f"{lost}; the training goes on without it", MemaeWarning, stacklevel=2)


@contextmanager
def opened(
    log_dir: Path | None, mlflow: str | None, estimator: Estimator, source: Path, output: Path
) -> Iterator[Sequence[Log]]:
    """The requested logs; they are closed, with the exception if any, when the block ends.

    Raises:
        MissingExtraError: the package of a log is not installed.
        OutputError: a log cannot be written.
    """
    with ExitStack() as stack:
        found = list[Log]()
        if log_dir is not None:
            found.append(stack.enter_context(TensorBoard(log_dir)))
        if mlflow is not None:
            found.append(stack.enter_context(MLflow(mlflow, estimator, source, output.stem)))
        yield found


def located(address: str) -> tuple[str, str | None]:
    """The tracking address for MLflow, and the location of artifacts (None for the server's); creates a folder.

    Example:
        >>> located("http://127.0.0.1:5000")
        ('http://127.0.0.1:5000', None)
    """
    if "://" in address or address == "databricks":
        return address, None
    folder = Path(address).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()


def _client() -> Callable[..., Any]:
    """MLflow's client class; unlike MLflow's functions, it has no global state."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow.tracking import MlflowClient  # an optional extra
    except ImportError as error:
        raise MissingExtraError("--mlflow needs the \"mlflow\" extra: pip install 'memae[mlflow]'") from error
    client: Callable[..., Any] = MlflowClient
    return client


def _reason(error: Exception) -> str:
    """The start of MLflow's error message."""
    return textwrap.shorten(str(error).strip() or type(error).__name__, 200, placeholder=" …").removesuffix(".")
