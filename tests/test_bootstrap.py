"""The lasting actors of a root belong to a process of ours, not to the first script that ran there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.cluster.bootstrap import start_holder
from flyte_ray.cluster.names import NAMESPACE, ledger_name
from tests import workloads
from tests.ray_cluster import cluster, connection, ray_environ

SCRIPT = """
    import json
    import os
    import sys

    import ray
    import flyte_ray as flyte
    from flyte_ray.cluster.session import find_ledger
    from flyte_ray.storage import open_store

    env = flyte.TaskEnvironment("script")

    @env.task
    def seen() -> list[str]:
        return [ray.get_runtime_context().get_job_id(), os.environ.get("OF_THE_FIRST", "")]

    if __name__ == "__main__":
        variables = {"OF_THE_FIRST": "1"} if sys.argv[1] == "first" else {}
        ray.init(address=os.environ["ADDRESS"], log_to_driver=False, runtime_env={"env_vars": variables})
        flyte.init(root=os.environ["ROOT"])
        job, variable = flyte.run(seen).outputs()[0]
        ledger = ray.get(find_ledger(open_store(os.environ["ROOT"])).process.remote())
        own = ray.get_runtime_context().get_job_id()
        print(json.dumps({"own": own, "slot": job, "variable": variable, "ledger": ledger}))
"""


def test_slots_of_every_script_belong_to_the_holder_which_ends_with_the_cluster(tmp_path: Path) -> None:
    script, root = tmp_path / "script.py", tmp_path / "root"
    script.write_text(textwrap.dedent(SCRIPT))
    with cluster(2) as address:
        environ = {**ray_environ(), "ADDRESS": address, "ROOT": str(root)}
        first, second = (told(script, name, environ) for name in ("first", "second"))
        assert first["ledger"] == second["ledger"]
        assert first["slot"] == second["slot"], "both scripts' slots belong to one job"
        assert first["slot"] not in (first["own"], second["own"])
        assert (first["variable"], second["variable"]) == ("", ""), "a script's variables stay its own"
        assert len(holders(root)) == 1
    wait_for_end(root)


def test_the_holder_ends_when_its_ledger_is_gone_for_good(ray_address: str, tmp_path: Path) -> None:
    with connection(ray_address, tmp_path):
        assert flyte.run(workloads.square, x=3).outputs() == (9,)
        assert len(holders(tmp_path)) == 1
        import ray

        ray.kill(ray.get_actor(ledger_name(f"file://{tmp_path}"), NAMESPACE))
        wait_for_end(tmp_path)


def test_a_holder_that_cannot_connect_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "no such mode")
    assert start_holder(f"file://{tmp_path}", {}, "nonsense") not in ("", "it ended without a word")
    wait_for_end(tmp_path)


def told(script: Path, name: str, environ: dict[str, str]) -> dict[str, object]:
    command = [sys.executable, str(script), name]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def holders(root: Path) -> list[int]:
    """Processes that hold the actors of a root."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"flyte_ray.cluster.bootstrap" in words and f"file://{root}".encode() in words:
            found.append(int(file.parent.name))
    return found


def wait_for_end(root: Path) -> None:
    deadline = time.monotonic() + 180  # Ray gives up a cluster that is gone after 60 s
    while left := holders(root):
        if time.monotonic() > deadline:
            for process in left:
                os.kill(process, signal.SIGKILL)  # nothing of a test's may stay behind
            raise AssertionError(f"these stayed behind: {left}")
        time.sleep(0.1)
