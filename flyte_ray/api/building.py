"""Build the containers of images, for `flyte.build`, `flyte.build_images` and the verb `build`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from flyte_ray.api.both import both_forms
from flyte_ray.api.declared import Environment
from flyte_ray.api.settings import settings
from flyte_ray.cluster.building import build as build_recipe
from flyte_ray.cluster.bundle import CopyStyle
from flyte_ray.cluster.images import Need, map_image
from flyte_ray.spec.image import Image

NOTHING: Final = "nothing to build"


@dataclass(frozen=True)
class ImageBuild:
    """What an image came to. Source: `flyte.ImageBuild`."""

    uri: str | None
    """The container's address; None where none is needed, since nodes install packages."""
    remote_run: Any = None
    """Always None: images are built where this is called."""
    build_run: Any = None
    """As `remote_run`."""


@dataclass(frozen=True)
class ImageCache:
    """Addresses of containers that are built."""

    image_lookup: dict[str, str] = field(default_factory=dict)
    """By the environment's name; an environment that needs no container is missing."""


class Built(NamedTuple):
    """What was done for an image."""

    need: Need
    done: str
    """`built`, `is there`, `not built` (a dry run) or `NOTHING`."""


def build_one(owner: str, image: Image | str | None, *, dry_run: bool = False, force: bool = False) -> Built:
    """Build the container of an image where it needs one that is ours.

    Args:
        owner: The environment's name, for what is said.
        image: As declared.
        dry_run: Only look whether it can be built.
        force: Build also what is there.

    Raises:
        ImageBuildError: There is no builder, or it failed.
        InvalidDeclaration: A file that the image names cannot be read.
        UnsupportedError: Ray cannot run it.

    """
    need = map_image(owner, image, known=settings.images)
    if need.recipe is None:
        return Built(need, NOTHING)
    if dry_run:
        return Built(need, "not built")
    return Built(need, "built" if build_recipe(need.recipe, force=force) else "is there")


@both_forms
def build(image: Image, dry_run: bool = False, force: bool = False, wait: bool = True) -> ImageBuild:
    """Build an image by podman or docker, under a tag of its content; what is there is not built again.

    Args:
        image: What to build. An image with a registry is pushed to it.
        dry_run: Only name the address; `flyte-ray build --dry-run` prints the Containerfile.
        force: Build also what is there.
        wait: Has no effect: images are built here, and this returns when that is done.

    Returns:
        Its address; `uri` is None where it needs no container.

    Raises:
        ImageBuildError: Neither podman nor docker answers here, or it failed.
        InvalidDeclaration: A file that the image names cannot be read.
        UnsupportedError: Ray cannot run it.

    Source: `flyte.build`.

    """
    if not isinstance(image, Image):
        raise TypeError(f"flyte.build takes a flyte.Image, got {type(image).__name__} {image!r:.80}. Give env.image.")
    found = build_one(image.name or "flyte.build", image, dry_run=dry_run, force=force)
    return ImageBuild(found.need.runtime_env.get("image_uri"))


@both_forms
def build_images(
    *envs: Environment, copy_style: CopyStyle = "loaded_modules", seed_cache: ImageCache | None = None
) -> ImageCache:
    """Build what environments need, and those that they depend on.

    Args:
        envs: They.
        copy_style: Has no effect: code travels with each run, not in an image.
        seed_cache: What an earlier call gave: environments that it names are not looked at again.

    Returns:
        The address of each container, also of those that `Image.from_base` names.

    Raises:
        ImageBuildError: Neither podman nor docker answers here, or it failed.
        InvalidDeclaration: A file that an image names cannot be read.
        UnsupportedError: Ray cannot run one.

    Source: `flyte.build_images`.

    """
    found = dict(seed_cache.image_lookup) if seed_cache else {}
    waiting, seen = list(envs), set[str]()
    while waiting:
        environment = waiting.pop(0)
        if not isinstance(environment, Environment):
            given = f"{type(environment).__name__} {environment!r:.80}"
            raise TypeError(f"flyte.build_images takes environments, got {given}. Name the environment of the task.")
        if environment.name in seen:
            continue
        seen.add(environment.name)
        waiting += environment.depends_on
        if environment.name not in found:
            address = build_one(environment.name, environment.image).need.runtime_env.get("image_uri")
            if address is not None:
                found[environment.name] = address
    return ImageCache(found)
