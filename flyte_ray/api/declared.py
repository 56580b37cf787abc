"""What environments of tasks and of apps have in common: hardware, software, and the environments they depend on."""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import Any

from flyte_ray.spec.task import EnvironmentSpec


class Environment:
    """Hardware and software under a name. Mirrors Flyte's `Environment`."""

    def __init__(self, spec: EnvironmentSpec, depends_on: Sequence[Environment] | None) -> None:
        """Hold a declaration.

        Args:
            spec: It.
            depends_on: Environments whose tasks or apps are called from here.

        """
        self.spec = spec
        self.depends_on: list[Environment] = []
        self.add_dependency(*(depends_on or ()))

    name = property(operator.attrgetter("spec.name"), doc="The environment's name.")
    image = property(operator.attrgetter("spec.image"))
    resources = property(operator.attrgetter("spec.resources"))
    env_vars = property(operator.attrgetter("spec.env_vars"))
    secrets = property(operator.attrgetter("spec.secrets"))
    description = property(operator.attrgetter("spec.description"))
    include = property(operator.attrgetter("spec.include"))
    interruptible = property(operator.attrgetter("spec.interruptible"))

    def add_dependency(self, *environments: Environment) -> None:
        """Name environments whose tasks or apps are called from here; naming one twice changes nothing.

        Raises:
            ValueError: An environment depends on itself.
            TypeError: One of them is no environment.

        """
        for environment in environments:
            if not isinstance(environment, Environment):
                raise TypeError(
                    f"Environment '{self.name}': depends_on must list environments, got"
                    f" {type(environment).__name__} {environment!r:.80}. Name the environment of the task."
                )
            if environment is self:
                raise ValueError(f"Environment '{self.name}' cannot depend on itself. Leave it out of depends_on.")
            if environment not in self.depends_on:
                self.depends_on.append(environment)


def calling_file(*between: str) -> str | None:
    """Return the file of the nearest caller outside the asking module and the files between."""
    frame: Any = sys._getframe(1)
    passed = {frame.f_code.co_filename, *between}
    while frame is not None and frame.f_code.co_filename in passed:
        frame = frame.f_back
    return frame.f_code.co_filename if frame else None
