"""A task in an image of its own, with a `podman` that starts the command here instead of in a container."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.ray_cluster import ray_environ

# Ray calls `podman run OPTIONS IMAGE python -c PROBE` once (with a folder mounted at /shared), then starts each slot by
# `podman run OPTIONS --entrypoint python IMAGE WORKER ...`. The folder's path goes into the probe: nothing is mounted.
SHIM = """\
    #!{python}
    import json, os, sys

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


@pytest.fixture
def shim_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the shim first on PATH; what it was asked to start is written here."""
    log, folder = tmp_path / "shim.log", tmp_path / "bin"
    folder.mkdir()
    shim = folder / "podman"
    shim.write_text(textwrap.dedent(SHIM).format(python=sys.executable, log=str(log)))
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log


def test_a_task_with_an_image_runs_in_it_beside_one_without(tmp_path: Path, shim_log: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, "-m", "flyte_ray.cli.main", "submit", "--root", str(tmp_path / "root")]
    done = subprocess.run(
        [*command, str(program), "main", "--x", "1"],
        env=ray_environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "o0 = ['no image', '2', 'localhost/some:1', 'two words']" in done.stdout
    assert '["localhost/some:1", true]' in shim_log.read_text(), "Ray looked into the image"
    assert '["localhost/some:1", false]' in shim_log.read_text(), "and started the slot from it"
