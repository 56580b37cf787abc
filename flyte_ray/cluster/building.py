"""Build the containers of images by podman or docker, whichever answers here, and bring them to their registry."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from flyte_ray.cluster.containerfile import Recipe
from flyte_ray.errors import ImageBuildError

BUILDERS: Final = ("podman", "docker")
CONTAINERFILE: Final = "Containerfile"
ANSWER_S: Final = 20.0
"""How long a builder may take to say its version."""


def find_builder() -> str | None:
    """Return the first of `BUILDERS` that answers: docker's program may be there without its service."""
    return next((name for name in BUILDERS if shutil.which(name) and _succeeds([name, "version"])), None)


def build_commands(recipe: Recipe, builder: str, folder: str) -> list[list[str]]:
    """Return what builds an image in a folder made by `write_folder`, and pushes it if it has a registry."""
    platforms = [f"--platform={','.join(recipe.platform)}"]
    build = [builder, "build", "-f", f"{folder}/{CONTAINERFILE}", "-t", recipe.address, *platforms, folder]
    return [build, *([[builder, "push", recipe.address]] if recipe.is_pushed else [])]


def write_folder(recipe: Recipe, folder: Path) -> None:
    """Write the Containerfile and all that it copies."""
    for name, path in recipe.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, folder / name)
    (folder / CONTAINERFILE).write_text(recipe.text)


def is_built(recipe: Recipe, builder: str) -> bool:
    """Whether the builder has an image of this content."""
    return _succeeds([builder, "image", "inspect", recipe.address])


def build(recipe: Recipe, *, force: bool = False) -> bool:
    """Build an image, and push it if it has a registry; what the builder says is shown.

    Args:
        recipe: How.
        force: Also if there is one of this content.

    Returns:
        False if there was one.

    Raises:
        ImageBuildError: There is no builder, none that builds for Ray, or it failed.

    """
    builder = find_builder()
    would = " && ".join(shlex.join(command) for command in build_commands(recipe, builder or "podman", "FOLDER"))
    if builder is None:
        raise ImageBuildError(
            f"{recipe.address} is built by podman or docker, but neither answers here. Run this where one does; it"
            f" would run: {would}. '--dry-run' prints the Containerfile.",
        )
    if builder != "podman" and not recipe.is_pushed:
        raise ImageBuildError(
            f"Ray starts containers by podman, which does not see what docker has built as {recipe.address}. Give the"
            f" image a registry (Image.from_debian_base(registry=...)), or install podman here. It would run: {would}.",
        )
    if not force and is_built(recipe, builder):
        return False
    with tempfile.TemporaryDirectory(prefix="flyte-ray-image-") as folder:
        write_folder(recipe, Path(folder))
        for command in build_commands(recipe, builder, folder):
            if subprocess.run(command, check=False).returncode:
                raise ImageBuildError(
                    f"'{shlex.join(command[:2])}' should make {recipe.address}, but failed; it says above why."
                    f" Correct the image, or run 'flyte-ray build --dry-run' for its Containerfile.",
                )
    return True


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=ANSWER_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
