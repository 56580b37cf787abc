"""The newest model of a task, behind `POST /predict`: `MODEL_TASK=env.train flyte-ray serve serve/model.py`.

The task returns a `flyte.io.File` that joblib has written. `flyte-ray update app model --refresh` takes a newer one.
"""

import os

from flyte_ray.app import RunOutput, Scaling
from flyte_ray.app.extras import ModelAppEnvironment

trained = RunOutput(type="file", task_name=os.environ.get("MODEL_TASK", "training.train"))
env = ModelAppEnvironment("model", model=trained, scaling=Scaling(1))
