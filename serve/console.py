"""The console of a root: `flyte-ray serve serve/console.py`. It asks for a token: `flyte-ray create token NAME`."""

from flyte_ray.app import Scaling
from flyte_ray.app.extras import ConsoleEnvironment

env = ConsoleEnvironment(scaling=Scaling(1))
