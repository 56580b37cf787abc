"""Map an image to what Ray needs for a slot: packages that the node installs, or a container that is built before.

Invariants: pure, apart from reading the files that an image names; what Ray cannot honour is refused, with the nearest
that it can; no password enters what Ray is given, because Ray shows that to everybody on the cluster.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from flyte_ray.cluster.containerfile import Recipe, write_recipe
from flyte_ray.errors import UnsupportedError
from flyte_ray.spec.image import Image, Layer

IN_CONTAINER: Final = {"apt": "system packages", "commands": "build commands"}
"""Layers that only a container can have."""
_PIXI: Final = {"pixi_project": "a pixi project", "pixi_script": "a pixi script"}
_PRERELEASE: Final = "--prerelease=allow"
_FLAGS: Final = {"index_url": "--index-url", "extra_index_urls": "--extra-index-url"}
# Ray replaces $NAME by the variable of the node, so that one may stand for a password; by ssh there is none.
_PASSWORD: Final = re.compile(r"(?<!ssh)://(?!(?:\$\w+|\$\{\w+\})(?::(?:\$\w+|\$\{\w+\}))?@)[^/@\s]+@")


class Need(NamedTuple):
    """What an image comes to."""

    runtime_env: dict[str, Any]
    """Ray's, without variables; empty if the cluster's processes serve as they are."""
    recipe: Recipe | None = None
    """How the container is built that `runtime_env` names, if it is one of ours."""


def map_image(
    environment: str,
    image: Image | str | None,
    *,
    python: tuple[int, int] = sys.version_info[:2],
    known: Mapping[str, str] | None = None,
) -> Need:
    """Map an environment's image.

    Args:
        environment: Its name, for what is said.
        image: As declared.
        python: The cluster's Python; it is that of every driver.
        known: Addresses of images by the names that `Image.from_ref_name` uses.

    Raises:
        InvalidDeclaration: A file that the image names cannot be read.
        UnsupportedError: Ray cannot do it.

    Source: Ray 2.60, `ray.runtime_env.RuntimeEnv`: `uv`, `image_uri`.

    """
    if image is None or image == "auto":
        return Need({})
    if isinstance(image, str):
        return Need({"image_uri": image})
    if image.ref_name is not None:
        return Need({"image_uri": _known(environment, image.ref_name, known or {})})
    _refuse(environment, image, python)
    packages = list(image.pip_packages)
    if any(_PASSWORD.search(package) for package in packages):
        raise UnsupportedError(
            f"Environment '{environment}': Ray shows a slot's packages to everybody, got a password in the address of"
            f" a package. Write a variable of the nodes in its place, such as git+https://${{TOKEN}}@host/a.git."
        )
    needs_container = image.dockerfile is not None or any(layer.kind in IN_CONTAINER for layer in image.layers)
    if image.base_image is not None and not (needs_container or _changes(image)):
        return Need({"image_uri": image.base_image})
    if needs_container or image.base_image is not None:
        recipe = write_recipe(image, [(layer, installer_options(environment, [layer])) for layer in image.layers])
        return Need({"image_uri": recipe.address}, recipe)
    if not packages:
        return Need({})
    options = installer_options(environment, image.layers)
    # Ray's own default is not to use uv's cache: each of its sessions would fetch everything again.
    return Need({"uv": {"packages": packages, "uv_pip_install_options": options}})


def without_uv(runtime_env: Mapping[str, Any]) -> dict[str, Any]:
    """Have pip install what uv would, for nodes that lack uv and cannot get it."""
    changed = dict(runtime_env)
    given = changed.pop("uv")
    given = {"packages": given} if isinstance(given, list) else given
    options = ["--pre" if option == _PRERELEASE else option for option in given.get("uv_pip_install_options", ())]
    changed["pip"] = {
        "packages": given["packages"],
        "pip_install_options": ["--disable-pip-version-check", *(each for each in options if each != "--no-cache")],
    }
    return changed


def installer_options(environment: str, layers: Sequence[Layer]) -> list[str]:
    """List what the layers tell the installer, in uv's words; each once.

    Raises:
        UnsupportedError: There are two indexes in place of one, or a password.

    """
    found: dict[str, None] = {}
    for layer in layers:
        for name, text in layer.options:
            if layer.kind in ("source", "code_bundle") or name not in (*_FLAGS, "pre", "extra_args"):
                continue
            if _PASSWORD.search(text):
                raise UnsupportedError(
                    f"Environment '{environment}': Ray shows a slot's options to everybody, got a password in {name}."
                    f" Write a variable of the nodes in its place, such as https://$INDEX_USER:$INDEX_TOKEN@host/simple,"
                    f" or set UV_INDEX_URL there."
                )
            if name == "pre":
                found[_PRERELEASE] = None
            elif name == "extra_args":
                found.update(dict.fromkeys(shlex.split(text)))
            else:
                found.update(dict.fromkeys(f"{_FLAGS[name]}={address}" for address in text.split()))
    indexes = [option for option in found if option.startswith("--index-url=")]
    if len(indexes) > 1:
        raise UnsupportedError(
            f"Environment '{environment}': a slot's packages are installed at once, from one index_url, got"
            f" {len(indexes)}. Make the others extra_index_urls."
        )
    return list(found)


def _known(environment: str, name: str, known: Mapping[str, str]) -> str:
    if name not in known:
        has = f" It knows: {', '.join(sorted(known))}." if known else ""
        raise UnsupportedError(
            f"Environment '{environment}' needs the address of the image {name!r}, which nobody has given.{has} Write"
            f" flyte.init(images={{{name!r}: 'repo/name:tag'}}), or Image.from_base('repo/name:tag')."
        )
    return known[name]


def _changes(image: Image) -> bool:
    """Whether layers add something to a ready image that does not travel by itself, as code and variables do."""
    return bool(image.pip_packages) or any(layer.kind in ("source", "workdir") for layer in image.layers)


def _refuse(environment: str, image: Image, python: tuple[int, int]) -> None:
    for layer in image.layers:
        if layer.kind in _PIXI:
            raise UnsupportedError(
                f"Environment '{environment}': neither uv nor a container of ours installs {_PIXI[layer.kind]}, got"
                f" {', '.join(layer.values)}. List its packages in Image.with_pip_packages and with_apt_packages, or"
                f" build an image of your own (Image.from_base)."
            )
    if image.python_version != python and image.dockerfile is None and image.base_image is None:
        wanted, has = (".".join(map(str, version)) for version in (image.python_version, python))
        raise UnsupportedError(
            f"Environment '{environment}' asks for Python {wanted}, but Ray needs one Python in a cluster and all that"
            f" speak with it, which is {has}. Leave out python_version, or use a cluster with Python {wanted}."
        )
