"""Clusters of two nodes: which one is taken, and two that do not share a disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

import flyte_ray as flyte
from flyte_ray.models import ActionPhase
from tests.ray_cluster import QUIET, cluster, connection, other_node

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


@env.task
def node() -> str:
    return str(ray.get_runtime_context().get_node_id())


@env.task(interruptible=True)
def cheap() -> str:
    return str(ray.get_runtime_context().get_node_id())


@env.task
async def process() -> int:
    return os.getpid()


@pytest.fixture(scope="module")
def spot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Connect to a plain node beside a spot node with a GPU, and yield the id of the latter."""
    more = ("--labels=ray.io/market-type=spot", "--num-gpus=1")
    with cluster(3) as address, other_node(address, 4, more=more), connection(address, tmp_path_factory.mktemp("root")):
        flyte.run(node).wait()  # connects
        yield next(each["NodeID"] for each in ray.nodes() if "ray.io/market-type" in each["Labels"])


def test_what_is_interruptible_goes_to_a_spot_node_and_waits_for_none(spot: str) -> None:
    assert flyte.run(cheap).outputs() == (spot,)
    assert flyte.with_runcontext(interruptible=True).run(node).outputs() == (spot,)
    (elsewhere,) = flyte.with_runcontext(interruptible=False).run(cheap).outputs()
    assert elsewhere in [each["NodeID"] for each in ray.nodes()]


def test_a_gpu_is_never_handed_on_with_the_process_that_used_it(spot: str) -> None:
    on_gpu = process.override(resources=flyte.Resources(cpu=1, gpu=1))
    first, second = (flyte.run(on_gpu).outputs()[0] for _ in range(2))
    assert first != second
