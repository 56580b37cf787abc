"""A cluster of two nodes that do not share a disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import ray

import flyte_ray as flyte
from flyte_ray.models import ActionPhase
from tests.ray_cluster import QUIET, cluster, other_node

CAN_HIDE = subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
env = flyte.TaskEnvironment("nodes", resources=flyte.Resources(cpu=1))


@env.task
def here(x: int) -> int:
    return x + 1


@env.task
def there(x: int) -> int:
    return x + 2


@pytest.mark.skipif(not CAN_HIDE, reason="only root may give a process a view of its own of the file system")
def test_a_folder_that_another_node_does_not_share_is_refused_naming_both_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    with cluster(1) as address, other_node(address, 2, hidden=root):
        flyte.init(root=root, address=address)
        assert flyte.run(here, 1).outputs() == (2,)  # the ledger's own node sees the folder
        run = flyte.run(there.override(resources=flyte.Resources(cpu=2)), 1)
        run.wait()
        assert run.phase == ActionPhase.FAILED
        said = str(run.error)
        assert f"A root on a disk must be one folder for all nodes, but file://{root} on node 127.0.0.2 lacks" in said
        assert " has written to its own. Use an s3:// root" in said
        ray.shutdown()
