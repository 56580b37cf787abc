"""A task in an image of its own, with a `podman` that starts the command here instead of in a container."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.ray_cluster import cluster, ray_environ

# Ray calls `podman run OPTIONS IMAGE python -c PROBE` once (with a folder mounted at /shared), then starts each slot by
# `podman run OPTIONS --entrypoint python IMAGE WORKER ...`. The folder's path goes into the probe: nothing is mounted.
SHIM = """\
    #!{python}
    import json, os, sys

    if sys.argv[1:3] == ["image", "exists"]:
        sys.exit(0 if sys.argv[3] in open({images!r}).read().split() else 1)
    options, words, variables, shared = ["-v", "--env", "--entrypoint"], sys.argv[2:], {{}}, None
    entrypoint = None
    while words[0].startswith("-"):
        option = words.pop(0)
        if option not in options:
            continue
        value = words.pop(0)
        if option == "--env":
            name, _, text = value.partition("=")
            variables[name] = text
        elif option == "--entrypoint":
            entrypoint = value
        elif value.partition(":")[2].startswith("/shared"):
            shared = value.partition(":")[0]
    image, *command = words
    if entrypoint is None:
        command = command[1:]
    if shared:
        command = [word.replace("/shared", shared) for word in command]
    with open({log!r}, "a") as log:
        log.write(json.dumps([image, bool(shared)]) + chr(10))
    os.execve({python!r}, [{python!r}, *command], {{**os.environ, **variables, "STARTED_BY_SHIM": image}})
"""

PROGRAM = """\
    import os

    import flyte_ray as flyte

    plain = flyte.TaskEnvironment("plain")
    packed = flyte.TaskEnvironment("packed", image="localhost/some:1", env_vars={"GREETING": "two words"})


    @packed.task
    def inside(x: int) -> list[str]:
        return [str(x + 1), os.environ["STARTED_BY_SHIM"], os.environ["GREETING"]]


    @plain.task
    def main(x: int) -> list[str]:
        return [os.environ.get("STARTED_BY_SHIM", "no image"), *inside(x)]
"""


class Machine(NamedTuple):
    """A cluster whose podman is the shim."""

    address: str
    log: Path
    """What it was asked to start."""
    images: Path
    """The addresses of what was built."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    top = tmp_path_factory.mktemp("machine")
    log, images, folder = top / "shim.log", top / "images", top / "bin"
    images.touch()
    folder.mkdir()
    shim = folder / "podman"
    shim.write_text(textwrap.dedent(SHIM).format(python=sys.executable, log=str(log), images=str(images)))
    shim.chmod(0o755)
    with cluster(2, variables={"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}) as address:
        yield Machine(address, log, images)


def call(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flyte_ray.cli.main", *words]
    return subprocess.run(command, env=ray_environ(), capture_output=True, text=True, check=False, timeout=120)


def test_a_task_with_an_image_runs_in_it_beside_one_without(tmp_path: Path, machine: Machine) -> None:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    root = str(tmp_path / "root")
    done = call("submit", "--root", root, "--address", machine.address, str(program), "main", "--x", "1")
    assert done.returncode == 0, done.stderr
    assert "o0 = ['no image', '2', 'localhost/some:1', 'two words']" in done.stdout
    assert '["localhost/some:1", true]' in machine.log.read_text(), "Ray looked into the image"
    assert '["localhost/some:1", false]' in machine.log.read_text(), "and started the slot from it"


BUILT = """\
    import os

    import flyte_ray as flyte

    image = flyte.Image.from_debian_base().with_apt_packages("git").with_requirements("only-here.txt")
    built = flyte.TaskEnvironment("built", image=image)


    @built.task
    def main() -> str:
        return os.environ["STARTED_BY_SHIM"]
"""


def test_a_container_is_built_before_its_task_may_run(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that the image names lies where the user stands alone: slots are told what the image came to."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "only-here.txt").write_text("attrs\n")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "code").mkdir()
    program = tmp_path / "code" / "program.py"
    program.write_text(textwrap.dedent(BUILT))
    [row] = json.loads(call("build", "--dry-run", "-o", "json", str(program)).stdout)
    assert "install -y --no-install-recommends git" in row["containerfile"]
    recipe = row["image"]
    words = ("submit", "--root", str(tmp_path / "root"), "--address", machine.address, str(program), "main")
    refused = call(*words)
    assert refused.returncode == 2 and f"{recipe}, which no node of this cluster has" in refused.stderr, refused.stderr
    assert "flyte-ray build FILE built" in refused.stderr
    machine.images.write_text(recipe)
    done = call(*words)
    assert done.returncode == 0, done.stderr
    assert f"o0 = '{recipe}'" in done.stdout
