"""The console of a root: `flyte-ray serve serve/console.py`. It asks for a token: `flyte-ray create token NAME`."""

import flyte_ray as flyte
from flyte_ray.app import Scaling
from flyte_ray.app.extras import ConsoleEnvironment

env = ConsoleEnvironment(scaling=Scaling(1), resources=flyte.Resources(cpu=0))  # finds a place on a head without CPUs
