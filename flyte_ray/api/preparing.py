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
from flyte_ray.spec.task import TaskSpec


def map_images(task: TaskSpec) -> dict[str, Need]:
    """Map the images of the environments that a task's code holds; by name, without those that need nothing.

    Raises:
        InvalidDeclaration: A file that an image names cannot be read, in an environment that the task depends on.
        UnsupportedError: Ray cannot do it, likewise.

    """
    required = depended_on(task)
    needs: dict[str, Need] = {}
    for environment in find_environments(task):
        try:
            need = map_image(environment.name, environment.image, known=settings.images)
        except DeclarationError:
            if environment.name in required:
                raise
            continue
        if need.runtime_env:
            needs[environment.name] = need
    return needs


def prepare_images(task: TaskSpec) -> dict[str, dict[str, Any]]:
    """Refuse what the cluster cannot have.

    What the task's own environment needs, and those that it depends on, is refused here; another one that its code
    merely holds, when it is called.

    Returns:
        The part of Ray's runtime environment that each image comes to, by the environment's name.

    Raises:
        InvalidDeclaration: A file that an image names cannot be read.
        UnsupportedError: The cluster cannot have an environment; says which one it can.

    """
    required = depended_on(task)
    needs = map_images(task)
    if needs:
        connect(settings.address)
        from flyte_ray.cluster.preparing import check_containers  # imports Ray, which is connected by now

        check_containers({name: need for name, need in needs.items() if name in required})
    return {name: need.runtime_env for name, need in needs.items()}


def warm_images(
    task: TaskSpec, images: Mapping[str, Mapping[str, Any]], bundle: str | None, run_env: Mapping[str, str]
) -> None:
    """Have the cluster install what the task and those that it depends on need, while their code is on its way.

    Args:
        task: It.
        images: As `prepare_images` gives them.
        bundle: The marker of the code: what fails for one slot Ray remembers for equal ones, and this is a part of it.
        run_env: Variables of the run.

    """
    from flyte_ray.cluster.preparing import warm  # see prepare_images

    required, warmed = depended_on(task), []
    for environment in find_environments(task):
        mapped = images.get(environment.name, {})
        if environment.name in required and "uv" in mapped and mapped not in warmed:
            warmed.append(mapped)
            warm(remote_options(environment, bundle_digest=bundle, run_env=run_env, mapped=mapped))
