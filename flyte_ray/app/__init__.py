"""Declare and serve apps: `flyte.app`."""

from __future__ import annotations

from flyte_ray.apps.context import AppContext, ctx, get_parameter
from flyte_ray.apps.deployment import DeployedAppEnvironment
from flyte_ray.apps.environment import AppEnvironment
from flyte_ray.apps.handle import AppHandle
from flyte_ray.spec.app import Domain, Link, Port, Subdomain, Timeouts
from flyte_ray.spec.parameter import AppEndpoint, Parameter, RunOutput
from flyte_ray.spec.scaling import Scaling

__all__ = [
    "AppContext",
    "AppEndpoint",
    "AppEnvironment",
    "AppHandle",
    "DeployedAppEnvironment",
    "Domain",
    "Link",
    "Parameter",
    "Port",
    "RunOutput",
    "Scaling",
    "Subdomain",
    "Timeouts",
    "ctx",
    "get_parameter",
]
