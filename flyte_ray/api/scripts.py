"""Run a plain Python script as a task: `run_python_script`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from flyte_ray.api.both import both_forms
from flyte_ray.api.environment import TaskEnvironment
from flyte_ray.api.run import Run
from flyte_ray.api.runner import Runner
from flyte_ray.api.task import TaskTemplate
from flyte_ray.api.unsupported import ignore_foreign, refuse_unsupported
from flyte_ray.errors import InvalidDeclaration, RuntimeUserError
from flyte_ray.spec.policies import Timeout
from flyte_ray.spec.resources import GPU, Resources

EXIT: Final = "ScriptExit"
"""Begins the code of the error of a script that did not exit with 0; its exit code follows."""
_env: Final = TaskEnvironment("python-script")
_FOREIGN: Final = (
    "image",
    "output_dir",
    "clustered",
    "replicas",
    "nproc_per_node",
    "runtime",
    "failure_policy",
    "ttl_seconds_after_finished",
)


@_env.task(short_name="script")
def run_script(name: str, files: dict[str, bytes], args: list[str]) -> int:
    """Run a script in a process of its own, in a folder with the files that travelled with it.

    Args:
        name: The script among the files.
        files: Their contents, by path.
        args: What the script finds in `sys.argv`.

    Returns:
        0; a script that exits otherwise has failed.

    """
    with tempfile.TemporaryDirectory(prefix="flyte-ray-script-") as folder:
        for path, content in files.items():
            place = Path(folder, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        process = subprocess.Popen(
            [sys.executable, "-u", name, *args],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        try:
            assert process.stdout is not None
            with process.stdout as said:
                for line in said:
                    print(line, end="", flush=True)
            code = process.wait()
        finally:
            process.kill()  # what has ended takes no harm
            process.wait()
    if code:
        raise RuntimeUserError(f"{EXIT}{code}", f"{name} should exit with 0, but exited with {code}. See its logs.")
    return 0


def script_task(
    cpu: float | str | None, memory: str | None, gpu: int, gpu_type: str | None, timeout: int | timedelta | None
) -> TaskTemplate:
    """Return the task with what a script needs; None and 0 ask for nothing."""
    device = GPU(gpu_type, gpu) if gpu and gpu_type else gpu or None
    bound = _env.clone_with("python-script", resources=Resources(cpu=cpu, memory=memory, gpu=device))
    limit = Timeout(max_runtime=timeout) if timeout else None
    return bound.task(short_name="script", timeout=limit or 0)(run_script.spec.func)


def script_inputs(script: str | os.PathLike[str], args: Sequence[str], include: Sequence[str]) -> dict[str, Any]:
    """Read what travels: the script, and files beside it that patterns name.

    Raises:
        InvalidDeclaration: There is no such script, or nothing of a pattern.

    """
    path = Path(script)
    if not path.is_file():
        raise InvalidDeclaration(f"A script should lie at {path}, but none does. Name a Python file.")
    files = {path.name: path.read_bytes()}
    for pattern in include:
        found = [each for each in sorted(path.parent.glob(pattern)) if each.is_file()]
        if not found:
            raise InvalidDeclaration(f"include_files names files beside {path}, and nothing is there for {pattern!r}.")
        files.update({each.relative_to(path.parent).as_posix(): each.read_bytes() for each in found})
    return {"name": path.name, "files": files, "args": list(args)}


@both_forms
def run_python_script(
    script: str | os.PathLike[str],
    *,
    cpu: float = 4,
    memory: str = "16Gi",
    gpu: int = 0,
    gpu_type: str = "T4",
    timeout: int | timedelta = 3600,
    extra_args: Sequence[str] | None = None,
    wait: bool = False,
    queue: str | None = None,
    name: str | None = None,
    debug: bool = False,
    include_files: Sequence[str] | None = None,
    plugin_config: Any = None,
    **foreign: Any,
) -> Run:
    """Run a Python script as a task of its own; it fails unless the script exits with 0.

    Args:
        script: The file. It runs in a folder that holds it and `include_files`.
        cpu: CPUs that it holds.
        memory: Memory that it may use.
        gpu: GPUs that it holds.
        gpu_type: Their type.
        timeout: How long it may run, in seconds.
        extra_args: Its arguments.
        wait: Return when it has ended.
        queue: The queue whose limits hold for it.
        name: The run's name.
        debug: Not supported.
        include_files: Patterns of files beside it that travel, too.
        plugin_config: Not supported.
        foreign: Settings of Flyte's without effect here, said once.

    Raises:
        InvalidDeclaration: There is no such file.

    Source: `flyte.run_python_script`.

    """
    refuse_unsupported("A script", {"debug": debug, "plugin_config": plugin_config})
    ignore_foreign("flyte.run_python_script", foreign, _FOREIGN)
    inputs = script_inputs(script, extra_args or (), include_files or ())
    task = script_task(cpu, memory, gpu, gpu_type, timeout)
    run: Run = Runner(name=name, copy_style="none", queue=queue).run(task, **inputs)
    if wait:
        run.wait()
    return run
