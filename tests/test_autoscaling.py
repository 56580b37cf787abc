"""A run waits for a node that the cluster's autoscaler may add."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.ray_cluster import cluster, ray_environ

TASK = """
import flyte_ray as flyte

env = flyte.TaskEnvironment("large", resources=flyte.Resources(cpu=3))

@env.task
def one() -> int:
    return 1
"""


def test_a_run_waits_for_a_node_that_may_come(tmp_path: Path) -> None:
    file = tmp_path / "large.py"
    file.write_text(TASK)
    with cluster(1, growth={"big": 3}) as address:
        command = [sys.executable, "-m", "flyte_ray.cli.main", "submit", "--root", str(tmp_path / "root")]
        command += ["--address", address, str(file), "one"]
        done = subprocess.run(command, env=ray_environ(), capture_output=True, text=True, check=False, timeout=180)
    assert "o0 = 1" in done.stdout, done.stderr
