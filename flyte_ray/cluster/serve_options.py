"""Translate an app's record into the options of a Serve deployment, without Ray.

Invariants: pure; what Serve leaves at a value that an app cannot live with is set here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from flyte_ray.cluster.options import PREFERENCE
from flyte_ray.cluster.rate_policy import RatePolicy
from flyte_ray.ledger.apps import AppRecord

HAPROXY_VAR: Final = "FLYTE_RAY_SERVE_HAPROXY"
"""Variable that says with 1 that Serve is to take requests by HAProxy, if this process has to have it started."""
LEAST_ONGOING: Final = 100
"""Requests that a replica takes at the same time, at least: an open WebSocket is one, and Serve's 5 would have the
sixth tab of a browser wait."""
SCALEDOWN_S: Final = 600.0
LOOK_BACK_S: Final = 5.0
"""Over how long load is averaged: Serve's half minute would have it answered as late."""
UPSCALE_S: Final = 1.0
DRAIN_S: Final = 5
"""How long a replica behind HAProxy lives on when it is to end: Serve's half minute is for proxies that know nothing of
it, and would have each deployment and deactivation take as long."""
START_TRIES: Final = 2
"""How often a replica may fail to start before the deployment fails."""


def deployment_options(record: AppRecord) -> dict[str, Any]:
    """Compute the options with which an app is deployed.

    Args:
        record: The app; its `options` are those of a Ray remote function.

    Returns:
        Keyword arguments for `serve.deployment`.

    Source: Ray 2.60, `ray.serve.deployment`, `ray.serve.config.AutoscalingConfig`.

    """
    scaling = record.app["scaling"]
    target = scaling["value"] if scaling["metric"] == "concurrency" else None
    options: dict[str, Any] = {
        "name": record.name,
        "ray_actor_options": _actor_options(record.options),
        "max_ongoing_requests": max(LEAST_ONGOING, 2 * (target or 0)),
        "max_constructor_retry_count": START_TRIES,
        # The new one starts before the old one ends; without that, requests would wait for it.
        "max_surge_percent": 100,
        "graceful_shutdown_timeout_s": 20,
        "graceful_shutdown_wait_loop_s": 0.2,
        "health_check_period_s": 2,
        "health_check_timeout_s": 10,
    }
    least, most = scaling["least"], scaling["most"]
    if least == most:
        options["num_replicas"] = most
    else:
        options["autoscaling_config"] = _autoscaling(scaling, target)
    if record.app["names_port"]:
        options["max_replicas_per_node"] = 1
    return options


def _actor_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """A replica is an actor: it has no retries of its own, and its CPUs are what the environment says.

    It prefers no spot nodes: with those it would stop serving.
    """
    return {name: value for name, value in options.items() if name not in ("max_retries", *PREFERENCE)}


def _autoscaling(scaling: Mapping[str, Any], target: int | None) -> dict[str, Any]:
    after = scaling["scaledown_after_s"]
    config: dict[str, Any] = {
        "min_replicas": scaling["least"],
        "max_replicas": scaling["most"],
        # Also where none is needed later: what does not start should fail when it is deployed, not when it is used.
        "initial_replicas": max(1, scaling["least"]),
        "upscale_delay_s": UPSCALE_S,
        "look_back_period_s": LOOK_BACK_S,
        "downscale_delay_s": SCALEDOWN_S if after is None else after,
        "metrics_interval_s": 1.0,
    }
    if target is not None:
        config["target_ongoing_requests"] = target
    elif scaling["metric"] == "request_rate":
        config["policy"] = {"policy_function": RatePolicy, "policy_kwargs": {"per_replica": scaling["value"]}}
    return config


def ingress_variables(record: AppRecord) -> dict[str, str]:
    """Return the variables of who starts Serve for an app, by which Serve chooses what takes requests."""
    if not record.http.get("haproxy"):
        return {}
    return {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DRAIN_S)}


def refuse_ports(record: AppRecord, nodes: int) -> str:
    """Say why an app whose command names its port cannot have its replicas; empty if it can."""
    least = record.app["scaling"]["least"]
    if not record.app["names_port"] or least <= nodes:
        return ""
    return (
        f"App '{record.name}' wants {least} replicas, but its command names its port, so that a node can hold one of"
        f" them, and the cluster has {nodes} node{'s' * (nodes != 1)}. Write {{port}} in the command, or read PORT."
    )


def surge_fits(record: AppRecord, running: int, free: Mapping[str, float]) -> bool:
    """Whether the cluster has room for new replicas beside those that run."""
    if record.app["names_port"]:
        return False
    needs = {"CPU": record.options.get("num_cpus", 1), "GPU": record.options.get("num_gpus", 0)}
    needs |= {"memory": record.options.get("memory", 0), **record.options.get("resources", {})}
    more = max(1, math.ceil(running))
    return all(amount * more <= free.get(name, 0) + 1e-6 for name, amount in needs.items() if amount)
