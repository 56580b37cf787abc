"""Map the images of a run's environments once, where it starts: a slot may lack the files that they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flyte_ray.api.reachable import depended_on, find_environments
from flyte_ray.api.settings import settings
from flyte_ray.cluster.images import Need, map_image
from flyte_ray.cluster.options import remote_options
from flyte_ray.cluster.session import connect
from flyte_ray.errors import DeclarationError
from flyte_ray.spec.task import EnvironmentSpec, TaskSpec


def prepare_images(task: TaskSpec, run_env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Refuse what the cluster cannot have, and have it install what it can while the code is on its way.

    What the task's own environment needs, and those that it depends on, is refused here; another one that its code
    merely holds, when it is called.

    Returns:
        The part of Ray's runtime environment that each image comes to, by the environment's name.

    Raises:
        InvalidDeclaration: A file that an image names cannot be read.
        UnsupportedError: The cluster cannot have an environment; says which one it can.

    """
    required, needs, found = depended_on(task), {}, {each.name: each for each in find_environments(task)}
    for name, environment in found.items():
        try:
            need = map_image(name, environment.image, known=settings.images)
        except DeclarationError:
            if name in required:
                raise
            continue
        if need.runtime_env:
            needs[name] = need
    if needs:
        connect(settings.address)
        _prepare(required, needs, found, run_env)
    return {name: need.runtime_env for name, need in needs.items()}


def _prepare(
    required: set[str],
    needs: Mapping[str, Need],
    found: Mapping[str, EnvironmentSpec],
    run_env: Mapping[str, str],
) -> None:
    from flyte_ray.cluster.preparing import check_containers, warm  # imports Ray, which is connected by now

    check_containers({name: need for name, need in needs.items() if name in required})
    warmed: list[dict[str, Any]] = []
    for name, need in needs.items():
        if name in required and "uv" in need.runtime_env and need.runtime_env not in warmed:
            warmed.append(need.runtime_env)
            warm(remote_options(found[name], bundle_digest=None, run_env=run_env, mapped=need.runtime_env))
