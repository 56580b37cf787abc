"""The HTTP API of a root: `flyte-ray serve serve/api.py`. In a copy of this file, name the tasks that it may start."""

from flyte_ray.app import Scaling
from flyte_ray.app.extras import HTTPAPIEnvironment

env = HTTPAPIEnvironment("api", scaling=Scaling(1))
