"""A detector as a model of MLflow, for `mlflow models serve`, Spark's UDFs and what else takes a `pyfunc`.

The model folder holds the .memae file and a short program that loads it (MLflow's "models from code"): no pickle.

>>> from memae.mlflow import log_model, save_model
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from memae.errors import MissingExtraError
from memae.estimators import Estimator, TabularMemAE, load

__all__ = ["log_model", "save_model"]


def save_model(model: str | Path | Estimator, folder: str | Path) -> None:
    """Writes a detector as a folder that `mlflow.pyfunc.load_model` reads.

    What it loads has `predict(frame)`, which gives score, p_value and is_anomaly as `memae.parallel.Scoring`,
    `Pictures` or `Films` do: a DataFrame with the columns of training, or for pictures and films a column "path".

    Args:
        model: path of a model file, or a fitted detector.
        folder: which must not exist.

    Raises:
        MissingExtraError: MLflow is not installed.
        ModelFileError: the file is no model of memae.
    """
    with _described(model) as arguments:
        _pyfunc().save_model(str(folder), **arguments)


def log_model(model: str | Path | Estimator, name: str = "detector", **more: Any) -> Any:
    """Logs a detector to MLflow's active run, or to a new one.

    Args:
        model: path of a model file, or a fitted detector.
        name: of the model in the run.
        more: see `mlflow.pyfunc.log_model`, such as `registered_model_name`.

    Returns:
        MLflow's `ModelInfo`, whose `model_uri` is for `mlflow.pyfunc.load_model`.

    Raises:
        MissingExtraError: MLflow is not installed.
        ModelFileError: the file is no model of memae.
    """
    with _described(model) as arguments:
        return _pyfunc().log_model(name=name, **arguments, **more)


def _pyfunc() -> Any:
    try:
        from mlflow import pyfunc  # noqa: PLC0415 (an optional extra)
    except ImportError as error:
        raise MissingExtraError("memae.mlflow needs the \"mlflow\" extra: pip install 'memae[mlflow]'") from error
    return pyfunc


@contextmanager
def _described(model: str | Path | Estimator) -> Iterator[dict[str, Any]]:
    """What MLflow wants to know of a model."""
    _pyfunc()
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow, on type hints
        if isinstance(model, Estimator):
            path = Path(folder) / "model.memae"
            model.save(path)
        else:
            path = Path(model)
        detector = load(path)
        yield {
            "python_model": str(Path(__file__).with_name("served.py")),
            "artifacts": {"model": str(path)},
            "signature": _signature(detector),
            "pip_requirements": [f"memae=={version('memae')}"],
        }


def _signature(detector: Estimator) -> Any:
    """The columns that are needed, of any type: what they hold is checked by memae.

    MLflow's own types would refuse whole numbers of 64 bits where a column may lack values ("double"), or missing
    values where it has whole numbers ("long").
    """
    from mlflow.models import ModelSignature  # noqa: PLC0415
    from mlflow.types.schema import AnyType, ColSpec, Schema  # noqa: PLC0415

    if isinstance(detector, TabularMemAE):
        anything = AnyType()  # type: ignore[no-untyped-call]
        return ModelSignature(inputs=Schema([ColSpec(anything, name) for name in detector.roles_.names]))
    return ModelSignature(inputs=Schema([ColSpec("string", "path")]))
