"""The example cluster file is accepted by Ray and keeps strangers out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from flyte_ray.cluster.arrival import NEEDED

yaml = pytest.importorskip("yaml")
CLUSTER_FILE = Path(__file__).parents[2] / "cluster.yaml"


@pytest.fixture
def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(CLUSTER_FILE.read_text())
    return loaded


def test_ray_accepts_the_cluster_file(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(cluster)
    validate_config(prepared)
    assert prepared["available_node_types"]["slots"]["max_workers"] == 4


def test_no_action_runs_on_the_head(cluster: dict[str, Any]) -> None:
    assert cluster["available_node_types"][cluster["head_node_type"]]["resources"] == {"CPU": 0}
    assert "--num-cpus=0" in cluster["head_start_ray_commands"][-1]


def test_every_ray_start_asks_for_the_token(cluster: dict[str, Any]) -> None:
    commands = [*cluster["head_start_ray_commands"], *cluster["worker_start_ray_commands"]]
    starts = [command for command in commands if "ray start" in command]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token ray start" in command for command in starts)


def test_the_dashboard_listens_on_the_head_only(cluster: dict[str, Any]) -> None:
    assert "--dashboard-host=127.0.0.1" in cluster["head_start_ray_commands"][-1]


def test_the_nodes_get_what_the_package_asks_of_them(cluster: dict[str, Any]) -> None:
    installed = [word for command in cluster["setup_commands"] for word in shlex.split(command)]
    assert set(NEEDED.values()) <= set(installed)
