"""Find the values of an app's parameters when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flyte_ray.apps.addresses import endpoint_of
from flyte_ray.errors import DeploymentError, ParameterMaterializationError, UnsupportedError
from flyte_ray.spec.app import AppSpec
from flyte_ray.spec.parameter import AppEndpoint, Parameter


@dataclass(frozen=True)
class Values:
    """What an app is given."""

    parameters: Mapping[str, str]
    """By name."""
    variables: Mapping[str, str]
    """For the environment of its process: those of the app, and of its parameters."""


def materialize(app: AppSpec, given: Mapping[str, Any], env_vars: Mapping[str, str]) -> Values:
    """Find the values of all parameters.

    Args:
        app: Whose they are.
        given: Values by parameter that count in place of those declared.
        env_vars: Variables that count in place of the environment's.

    Raises:
        ParameterMaterializationError: One has no value, or it cannot be obtained; or what is given is no parameter.
        UnsupportedError: A value of a kind that cannot be given yet.

    """
    names = [parameter.name for parameter in app.parameters]
    for name in given:
        if name not in names:
            raise ParameterMaterializationError(
                f"App '{app.name}' has no parameter {name!r}. It has: {', '.join(names) or 'none'}."
            )
    found = {item.name: _value_of(app.name, item, given.get(item.name, item.value)) for item in app.parameters}
    variables = {item.env_var: found[item.name] for item in app.parameters if item.env_var}
    return Values(found, {**(app.environment.env_vars or {}), **variables, **env_vars})


def _value_of(app: str, parameter: Parameter, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, AppEndpoint):
        try:
            return endpoint_of(value.app_name)
        except DeploymentError as error:
            raise ParameterMaterializationError(f"App '{app}', parameter '{parameter.name}': {error}") from error
    if value is None:
        raise ParameterMaterializationError(
            f"App '{app}': parameter '{parameter.name}' has no value. Declare one, or give it:"
            f" with_servecontext(parameter_values={{{app!r}: {{{parameter.name!r}: ...}}}})."
        )
    raise UnsupportedError(
        f"App '{app}': parameter '{parameter.name}' can be text or an AppEndpoint so far, got {type(value).__name__}."
        f" Give a URI as text, and open it in the app."
    )
