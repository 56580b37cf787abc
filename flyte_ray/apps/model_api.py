"""Answer with what a trained model predicts: an ASGI app around a scikit-learn model.

The model is a file that joblib or pickle has written. To load it is to execute what it says, so it has to come from a
root or a place that is trusted as code is.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from flyte_ray.apps.bounds import Bounded
from flyte_ray.errors import DeploymentError
from flyte_ray.spec.version import VERSION

MOST_BYTES: Final = 100 * 1024 * 1024
"""Largest body of a request."""
Rows = list[dict[str, Any]] | list[list[Any]]


class Question(BaseModel):
    """What is to be predicted."""

    rows: Annotated[Rows, Field(min_length=1)]
    """N rows: lists of features in the order of the training, or objects by the features' names."""


class Prediction(BaseModel):
    """What the model says."""

    predictions: list[Any]
    """One for each row, in their order."""


class Model:
    """A model that is loaded later than its app is declared."""

    def __init__(self) -> None:
        """Hold none yet."""
        self._model: Any = None

    def load(self, model: str) -> None:
        """Load it from a file of this machine, by its path; `on_startup` of its app.

        Raises:
            DeploymentError: scikit-learn is not installed, or the file holds nothing that predicts.

        """
        try:
            import joblib
            import sklearn  # noqa: F401  # what is loaded needs it, and would say so less clearly
        except ImportError as error:
            raise DeploymentError(
                f"To serve a model needs scikit-learn, but: {error}. Name it in the app's image:"
                f" flyte.Image.from_debian_base().with_pip_packages('scikit-learn')."
            ) from error
        self._model = joblib.load(model)
        if not callable(getattr(self._model, "predict", None)):
            raise DeploymentError(
                f"The parameter 'model' should be a file with a scikit-learn model, got a"
                f" {type(self._model).__name__}, which has no predict(). Write it with joblib.dump(model, path)."
            )

    def predict(self, rows: Rows) -> list[Any]:
        """Predict for rows.

        Raises:
            ValueError: They are not what the model was trained with.

        """
        if isinstance(rows[0], list):
            return list(self._model.predict(rows).tolist())
        import pandas  # a model that was trained with names of features has seen it

        table = pandas.DataFrame(rows)
        wanted = list(getattr(self._model, "feature_names_in_", table.columns))
        missing = [name for name in wanted if name not in table.columns]
        if missing:
            raise ValueError(f"they lack {', '.join(map(repr, missing))}")
        return list(self._model.predict(table[wanted]).tolist())


def build_model_api(model: Model) -> Any:
    """Build the app: `POST /predict`, with OpenAPI at `/openapi.json`."""
    api = FastAPI(title="Predictions", version=VERSION)

    @api.post("/predict")
    def predict(question: Question) -> Prediction:
        """Predict for each row."""
        return Prediction(predictions=model.predict(question.rows))

    @api.exception_handler(ValueError)
    async def refuse(request: Request, error: ValueError) -> JSONResponse:
        return JSONResponse({"detail": f"The model cannot predict for these rows: {error}"}, 400)

    return Bounded(api, MOST_BYTES)
