"""The verb `build`: make the containers that environments of a file need."""

from __future__ import annotations

import json
from typing import Any

import click

from flyte_ray.api.building import build_one
from flyte_ray.cli.loading import pick_environments
from flyte_ray.cli.options import insist, of_images, prepare
from flyte_ray.cli.reading import show


@click.command(short_help="Build the containers that environments of a file need.")
@click.option("--dry-run", is_flag=True, help="Print each Containerfile, build nothing.")
@click.option("--force", is_flag=True, help="Build also what has been built.")
@click.option(
    "--root-dir",
    type=click.Path(exists=True, file_okay=False),
    help="The project's folder, from which FILE is imported (default: FILE's own, or its package's).",
)
@of_images
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How results are written.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.argument("env", required=False)
def build(
    file: str, env: str | None, dry_run: bool, force: bool, root_dir: str | None, output: str, image: dict[str, str]
) -> None:
    """Build what the environment ENV of FILE needs, or all of its environments, by podman or docker.

    An image's tag is the digest of its content: what is there already is not built again. An image with a registry is
    pushed to it. Packages alone need no container: nodes install them.
    """
    prepare(None, None, verbose=False, travels=False)
    rows: list[dict[str, Any]] = []
    environments = pick_environments(file, env, root_dir)
    insist(None, None, root_dir, verbose=False, images=image)
    for environment in environments:
        need, done = build_one(environment.name, environment.image, dry_run=dry_run, force=force)
        if need.recipe is None:
            rows.append({"environment": environment.name, "image": _told(need.runtime_env), "done": done})
            continue
        if dry_run and output == "table":
            click.echo(f"# {environment.name}: {need.recipe.address}\n{need.recipe.text}")
        row = {"environment": environment.name, "image": need.recipe.address, "done": done}
        rows.append({**row, "containerfile": need.recipe.text} if output == "json" else row)
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    else:
        show(rows, output)


def _told(runtime_env: dict[str, Any]) -> str:
    if "uv" in runtime_env:
        return f"nodes install {', '.join(runtime_env['uv']['packages'])}"
    return str(runtime_env.get("image_uri", "the cluster's own Python"))
