"""The program that MLflow keeps beside a model file, and runs to load it."""

import warnings
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from memae.estimators import load
from memae.parallel import Films, Pictures, Scoring

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of MLflow, on type hints

    class Detector(PythonModel):
        """Scores tables, or pictures and films by their paths."""

        def load_context(self, context: Any) -> None:
            """Reads the model file."""
            path = context.artifacts["model"]
            kinds: dict[str, Any] = {"table": Scoring, "image": Pictures, "video": Films}
            self._score = kinds[load(path).kind](path)

        def predict(self, context: Any, model_input: Any, params: Any = None) -> pd.DataFrame:  # noqa: ARG002 (MLflow's)
            """Score, p-value and flag of each row; see `memae.parallel`."""
            found: pd.DataFrame = self._score(model_input)
            return found


set_model(Detector())
