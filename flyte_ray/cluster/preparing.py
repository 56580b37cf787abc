"""Have a cluster ready for the images of a run: refuse containers that it cannot start, have packages installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from flyte_ray.cluster.images import Need
from flyte_ray.cluster.nodes import ask_nodes
from flyte_ray.cluster.options import fits
from flyte_ray.errors import UnsupportedError

WARMED_NODES: Final = 8
"""On how many nodes packages are installed before a slot asks for them."""
LOOK_S: Final = 15.0
"""How long nodes may take to say which containers they have; who says nothing refuses nothing."""


def check_containers(needs: Mapping[str, Need]) -> None:
    """Refuse environments whose containers no node can start.

    Args:
        needs: What their images come to, by name.

    Raises:
        UnsupportedError: No node has podman, or none has a container that comes from no registry.

    """
    wanted = {name: need for name, need in needs.items() if "image_uri" in need.runtime_env}
    if not wanted:
        return
    nodes = _look({need.runtime_env["image_uri"] for need in wanted.values()})
    having = [held for held in nodes if held is not None]
    for name, need in wanted.items():
        address = need.runtime_env["image_uri"]
        if not having:
            raise UnsupportedError(
                f"Environment '{name}' runs in the container {address}, which Ray starts by podman, but no node of"
                f" this cluster has podman. Install it on the nodes; packages alone, as of Image.with_pip_packages,"
                f" need none."
            )
        if need.recipe and not need.recipe.is_pushed and not any(address in held for held in having):
            raise UnsupportedError(
                f"Environment '{name}' runs in the container {address}, which no node of this cluster has. Build it on"
                f" a node: flyte-ray build FILE {name}. With a registry (Image.from_debian_base(registry=...)) it is"
                f" built anywhere, and nodes fetch it."
            )


def warm(options: Mapping[str, Any]) -> None:
    """Have the nodes that a slot with these Ray options fits on install its packages; waits for nothing.

    Ray builds an environment once per node, whoever asks: the slot finds what is there, or waits for what is begun.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and not fits(options, node["Resources"])]
    for node in nodes[:WARMED_NODES]:
        ray.remote(_nothing()).options(
            num_cpus=0,
            max_retries=0,
            runtime_env=options["runtime_env"],
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            name="flyte-ray warms an environment",
        ).remote()


def _look(addresses: set[str]) -> list[set[str] | None]:
    """Ask each node which of these containers it has, None if it lacks podman; one that is silent may have all."""
    answers, silent = ask_nodes(_looking(), sorted(addresses), limit_s=LOOK_S)
    return [*answers.values(), *(addresses for _ in silent)]


# Made inside functions, so that Ray pickles them by value: nodes may lack this package.
def _nothing() -> Any:
    def nothing() -> None: ...

    return nothing


def _looking() -> Any:
    def look(addresses: list[str]) -> set[str] | None:
        import shutil
        import subprocess

        if shutil.which("podman") is None:
            return None
        asked = {each: ["podman", "image", "exists", each] for each in addresses}
        return {
            each for each, command in asked.items() if not subprocess.run(command, check=False, timeout=10).returncode
        }

    return look
