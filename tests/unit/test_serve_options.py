"""How an app's record becomes options of Serve, and what it refuses."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.app import AppEnvironment, Scaling
from flyte_ray.apps.deploying import describe, ingress
from flyte_ray.cluster.options import remote_options
from flyte_ray.cluster.serve_options import (
    HAPROXY_VAR,
    deployment_options,
    ingress_variables,
    refuse_ports,
    surge_fits,
)
from flyte_ray.errors import InvalidDeclaration
from flyte_ray.ledger.apps import AppRecord


def record(**fields: Any) -> AppRecord:
    env = AppEnvironment("shop", **{"command": "serve --port {port}", **fields})
    options = remote_options(env.spec, bundle_digest="d")
    return AppRecord(
        "shop", 1, "v", "active", 0, "me", "/apps/shop", "command", options, None, {}, describe(env.app_spec)
    )


def test_hardware_and_software_are_those_of_a_task() -> None:
    resources = flyte.Resources(cpu=2, memory="1Gi", gpu="T4:1")
    options = deployment_options(record(resources=resources, env_vars={"A": "b"}))["ray_actor_options"]
    assert options == {
        "num_cpus": 2,
        "memory": 2**30,
        "num_gpus": 1,
        "accelerator_type": "T4",
        "runtime_env": {"env_vars": {"A": "b", "FLYTE_RAY_BUNDLE": "d"}},
    }


def test_a_replica_prefers_no_spot_node() -> None:
    options = deployment_options(record(interruptible=True))["ray_actor_options"]
    assert options == deployment_options(record())["ray_actor_options"]


def test_a_range_of_replicas_is_scaled_by_load_and_begins_with_one() -> None:
    scaling = Scaling((0, 3), Scaling.Concurrency(80), timedelta(minutes=1))
    config = deployment_options(record(scaling=scaling))
    auto = config["autoscaling_config"]
    assert (auto["min_replicas"], auto["initial_replicas"], auto["max_replicas"]) == (0, 1, 3)
    assert (auto["target_ongoing_requests"], auto["downscale_delay_s"]) == (80, 60)
    assert config["max_ongoing_requests"] == 160


def test_a_fixed_number_of_replicas_is_not_scaled() -> None:
    config = deployment_options(record(scaling=Scaling(2)))
    assert config["num_replicas"] == 2 and "autoscaling_config" not in config


def test_haproxy_is_off_unless_it_is_asked_for_and_listens_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HAPROXY_VAR, raising=False)
    assert ingress()["host"] == "127.0.0.1" and ingress_variables(record()) == {}
    monkeypatch.setenv(HAPROXY_VAR, "1")
    assert ingress()["host"] == "0.0.0.0"
    asked = dataclasses.replace(record(), http=ingress())
    assert ingress_variables(asked)["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    monkeypatch.setenv(HAPROXY_VAR, "yes")
    with pytest.raises(InvalidDeclaration, match="FLYTE_RAY_SERVE_HAPROXY must be 0 or 1, got 'yes'. Set it to 1"):
        ingress()


def test_many_websockets_fit_a_replica() -> None:
    assert deployment_options(record())["max_ongoing_requests"] == 100


def test_a_command_that_names_its_port_has_one_replica_per_node() -> None:
    literal = record(command="serve --port 8080", scaling=Scaling(3))
    assert deployment_options(literal)["max_replicas_per_node"] == 1
    assert "max_replicas_per_node" not in deployment_options(record())
    assert refuse_ports(literal, nodes=3) == ""
    assert refuse_ports(record(scaling=Scaling(3)), nodes=1) == ""
    assert refuse_ports(literal, nodes=1) == (
        "App 'shop' wants 3 replicas, but its command names its port, so that a node can hold one of them, and the"
        " cluster has 1 node. Write {port} in the command, or read PORT."
    )


def test_new_replicas_begin_beside_the_old_ones_where_there_is_room() -> None:
    app = record(resources=flyte.Resources(cpu=1, memory="1Gi"))
    assert surge_fits(app, 1, {"CPU": 1.0, "memory": 2.0**30})
    assert not surge_fits(app, 2, {"CPU": 1.0, "memory": 2.0**31})
    assert not surge_fits(app, 1, {"CPU": 1.0})
    free = dataclasses.replace(app, options={"num_cpus": 0})
    assert surge_fits(free, 3, {})


def test_a_rate_of_requests_is_divided_among_replicas() -> None:
    config = deployment_options(record(scaling=Scaling((0, 9), Scaling.RequestRate(10))))["autoscaling_config"]
    policy = config["policy"]["policy_function"](**config["policy"]["policy_kwargs"])

    def wanted(rates: dict[str, float], ongoing: float = 0) -> int:
        context = SimpleNamespace(aggregated_metrics={"request_rate": rates}, total_num_requests=ongoing)
        return int(policy(context)[0])

    assert wanted({"a": 25.0, "b": 6.0}) == 4
    assert (wanted({}), wanted({"a": 0.0}), wanted({"a": 0.0}, ongoing=1)) == (0, 0, 1)
