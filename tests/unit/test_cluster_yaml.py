"""The cluster files are accepted by Ray's own loaders, keep strangers out, and start what the docs say."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

TOP = Path(__file__).parents[2]
FILES = (TOP / "cluster.yaml", TOP / "docs/deploy/machines.yaml")


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def cluster(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load(request.param)


@pytest.fixture
def pods() -> list[dict[str, Any]]:
    spec = load(TOP / "docs/deploy/kuberay.yaml")["spec"]
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


def commands(cluster: dict[str, Any]) -> list[str]:
    return [*cluster["head_start_ray_commands"], *cluster["worker_start_ray_commands"]]


def test_ray_accepts_the_cluster_files(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster))


def test_the_machines_of_aws_come_and_go_by_what_actions_ask_for() -> None:
    from ray.autoscaler._private.util import prepare_config

    types = prepare_config(load(FILES[0]))["available_node_types"]
    assert {name: (each["min_workers"], each["max_workers"]) for name, each in types.items()} == {
        "head": (0, 0),
        "cpu": (0, 8),
        "gpu": (0, 2),
    }
    assert types["gpu"]["resources"]["GPU"] == 1
    assert all("IamInstanceProfile" in each["node_config"] for each in types.values())


def test_no_action_runs_on_the_head(cluster: dict[str, Any]) -> None:
    assert "--num-cpus=0" in cluster["head_start_ray_commands"][1]
    if "available_node_types" in cluster:
        assert cluster["available_node_types"][cluster["head_node_type"]]["resources"] == {"CPU": 0}


def test_every_process_asks_for_the_token(cluster: dict[str, Any]) -> None:
    asks = [command for command in commands(cluster) if "ray start" in command or "flyte-ray" in command]
    assert len(asks) == 3
    assert all("RAY_AUTH_MODE=token" in command for command in asks)
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_the_dashboard_listens_on_the_head_only(cluster: dict[str, Any]) -> None:
    assert "--dashboard-host=127.0.0.1" in cluster["head_start_ray_commands"][1]


def test_the_head_serves_the_console_of_the_root_once_ray_is_up(cluster: dict[str, Any]) -> None:
    words = shlex.split(cluster["head_start_ray_commands"][-1])
    assert [word for word in words if word.startswith("FLYTE_RAY_ROOT=")]
    assert words[words.index("flyte-ray") :] == [
        *("flyte-ray", "serve", "~/flyte-ray/serve/console.py", "--address", "127.0.0.1:6379")
    ]
    assert (TOP / "serve/console.py").is_file()


def test_the_project_itself_is_installed_on_every_machine(cluster: dict[str, Any]) -> None:
    assert cluster["file_mounts"]["~/flyte-ray"] == "."
    installed = [word for command in cluster["setup_commands"] for word in shlex.split(command)]
    assert {"ray[default,serve]==2.60.0", "~/flyte-ray"} <= set(installed)


def test_kuberay_reads_of_the_manifest_what_the_autoscaler_may_add() -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    manifest = load(TOP / "docs/deploy/kuberay.yaml")
    manifest["metadata"]["namespace"] = "default"
    types = _derive_autoscaling_config_from_ray_cr(manifest)["available_node_types"]
    assert types["headgroup"]["resources"]["CPU"] == 0
    assert types["cpu"]["resources"] == {"CPU": 4, "memory": 16 * 1024**3, "disk_gib": 100}
    assert types["gpu"]["resources"]["GPU"] == 1


def test_on_kubernetes_every_container_asks_for_the_token_and_holds_no_key(pods: list[dict[str, Any]]) -> None:
    for pod in pods:
        (container,) = pod["containers"]
        told = {each["name"]: each for each in container["env"]}
        assert told["RAY_AUTH_MODE"]["value"] == "token"
        assert "secretKeyRef" in told["RAY_AUTH_TOKEN"]["valueFrom"]
        assert pod["serviceAccountName"] == "flyte-ray"
        assert not [name for name in told if "KEY" in name]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray, at import
def test_serve_accepts_the_console_of_the_rayservice() -> None:
    from ray.serve.schema import ServeDeploySchema

    text = load(TOP / "docs/deploy/rayservice.yaml")["spec"]["serveConfigV2"]
    (app,) = ServeDeploySchema.model_validate(yaml.safe_load(text)).applications
    mine = load(TOP / "serve/console.yaml")["applications"][0]
    assert (app.import_path, app.args["app"]) == (mine["import_path"], mine["args"]["app"])
