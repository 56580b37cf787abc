"""Write the recipe of a container: its Containerfile, the files that go into it, and its address by their content.

Invariants: pure, apart from reading the files that an image names; the same image over the same files has the same
address on every machine, and another one when any of them changes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from flyte_ray.cluster.arrival import NEEDED
from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.image import Image, Layer
from flyte_ray.spec.requirements import read_text

DEFAULT_NAME: Final = "flyte-ray"
_SKIPPED: Final = frozenset({".git", ".venv", "__pycache__"})
_PREFIX: Final = "localhost"
"""What podman calls images that come from no registry."""


@dataclass(frozen=True)
class Recipe:
    """How a container is built."""

    address: str
    """Repository and tag; the tag is the digest of the Containerfile and of all files, as they were."""
    text: str
    """The Containerfile."""
    files: tuple[tuple[str, Path], ...]
    """What is copied from: path below the build's folder, and the file here; sorted."""
    platform: tuple[str, ...]
    is_pushed: bool
    """The image goes to a registry, from which every node fetches it."""


@lru_cache(maxsize=1)
def base_lines() -> tuple[str, ...]:
    """Begin a container that a slot can live in: this Python, this Ray, and what our package needs."""
    from importlib.metadata import version  # with the rest of 'email': only who builds an image needs it

    needed = [f"ray[default,serve]=={version('ray')}", *NEEDED.values()]
    return f"FROM python:{platform.python_version()}-slim-bookworm", _pip(needed, [])


def write_recipe(image: Image, layers: Sequence[tuple[Layer, list[str]]]) -> Recipe:
    """Write the recipe of an image that needs a container.

    Args:
        image: It.
        layers: Its layers, each with what it tells the installer, in uv's words.

    Raises:
        InvalidDeclaration: A file that it names cannot be read.

    """
    files: dict[str, Path] = {}
    if image.dockerfile is not None:
        text, folder = read_text(image.dockerfile, "is built by"), image.dockerfile.resolve().parent
        files = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    else:
        lines = [f"FROM {image.base_image}"] if image.base_image else list(base_lines())
        for number, (layer, options) in enumerate(layers):
            lines += _lines(layer, options, f"layer{number}", files)
        text = "\n".join(lines) + "\n"
    copied = tuple(sorted(files.items()))
    address = f"{image.registry or _PREFIX}/{image.name or DEFAULT_NAME}:{_digest(text, image.platform, copied)}"
    return Recipe(address, text, copied, image.platform, image.registry is not None)


def _digest(text: str, platforms: Sequence[str], files: Sequence[tuple[str, Path]]) -> str:
    total = hashlib.sha256(json.dumps([text, *platforms]).encode())
    for name, path in files:
        data = path.read_bytes()
        # Lengths in front, so that no two lists of files give the same stream of bytes.
        total.update(f"{len(name.encode())}:{name}:{len(data)}:".encode() + data)
    return total.hexdigest()[:16]


def _lines(layer: Layer, options: list[str], folder: str, files: dict[str, Path]) -> list[str]:
    match layer.kind:
        case "apt":
            names = shlex.join(layer.values)
            install = f"apt-get update && apt-get install -y --no-install-recommends {names}"
            return [f"RUN {install} && rm -rf /var/lib/apt/lists/*"]
        case "commands":
            return [f"RUN {command}" for command in layer.values]
        case "env":
            return [_env(*each.split("=", 1)) for each in layer.values]
        case "workdir":
            return [f"WORKDIR {layer.values[0]}"]
        case "source":
            return _copies(layer, folder, files)
        case "code_bundle" | "dockerignore":
            return []  # code comes with each run, and the build's folder holds nothing that is not copied
        case _:
            packages = list(Image(layers=(layer,)).pip_packages)
            return [_pip(packages, options)] if packages else []


def _pip(packages: Sequence[str], options: Sequence[str]) -> str:
    told = ["--pre" if option == "--prerelease=allow" else option for option in options]
    return f"RUN pip install --no-cache-dir {shlex.join([*told, *packages])}"


def _copies(layer: Layer, folder: str, files: dict[str, Path]) -> list[str]:
    given, lines = dict(layer.options), []
    target = given.get("dst", ".")
    for value in layer.values:
        path = Path(value)
        name = f"{folder}/{path.resolve().name}"
        if path.is_file():
            files[name] = path
            # Several files go into a folder, one may get another name.
            into = f"{target}/" if len(layer.values) > 1 or target == "." else target
        elif path.is_dir():
            found = {f"{name}/{each.relative_to(path).as_posix()}": each for each in _files(path)}
            if not found:
                raise InvalidDeclaration(f"An image copies the folder {path}, which holds no files. Correct the path.")
            files.update(found)
            into = f"{target}/" if given.get("copy_contents_only") else f"{target}/{path.resolve().name}/"
        else:
            raise InvalidDeclaration(f"An image copies {path}, which does not exist. Correct the path.")
        lines.append(f"COPY {json.dumps([name, into])}")
    return lines


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not _SKIPPED.intersection(path.relative_to(folder).parts))


def _env(name: str, value: str) -> str:
    if "\n" in value:
        # It would end the line, and begin another instruction.
        raise InvalidDeclaration(
            f"A variable of a container that is built has one line, but {name} has several. Encode the value, or set it"
            f" in env_vars of the environment."
        )
    # Variables are replaced between double quotes, too.
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'ENV {name}="{escaped}"'
