"""Read how many requests the apps of a cluster get, and how fast they are answered: what Serve counts on each node.

What is read is counted since Serve's start; two readings make a rate. Pure but for `read_counts`.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

_LINE: Final = re.compile(r"^ray_serve_(num_http_requests|http_request_latency_ms_bucket)(?:_total)?\{(.*)\} (\S+)$")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_PATIENCE_S: Final = 2.0


class Counts(NamedTuple):
    """What Serve has counted of one app up to a moment."""

    at: float
    """Seconds, by a clock of this process."""
    requests: float
    within: Mapping[float, float]
    """Requests that were answered within so many milliseconds."""


class Rate(NamedTuple):
    """How an app was used between two moments; None where nothing was asked."""

    requests_per_s: float
    p50_ms: float | None
    p95_ms: float | None


def read_counts(app: str) -> Counts:
    """Ask each node of the connected cluster; one that does not answer counts nothing."""
    import ray  # half a second; only who is connected pays it

    texts = []
    for node in ray.nodes():
        port = node.get("MetricsExportPort")
        if node["Alive"] and port:
            try:
                with urllib.request.urlopen(
                    f"http://{node['NodeManagerAddress']}:{port}/metrics", timeout=_PATIENCE_S
                ) as said:
                    texts.append(said.read().decode("utf-8", "replace"))
            except OSError:  # a node without Ray's agent tells nothing
                continue
    return count(texts, app, time.monotonic())


def count(texts: Iterable[str], app: str, at: float) -> Counts:
    """Add up what nodes say of an app, in Prometheus' text format."""
    requests = 0.0
    within: dict[float, float] = {}
    for line in (line for text in texts for line in text.splitlines()):
        found = _LINE.match(line)
        labels: dict[str, Any] = dict(_LABEL.findall(found[2])) if found else {}
        if found is None or labels.get("application") != app:
            continue
        if found[1] == "num_http_requests":
            requests += float(found[3])
        elif labels.get("le"):
            bound = float(labels["le"])
            within[bound] = within.get(bound, 0.0) + float(found[3])
    return Counts(at, requests, within)


def rate_between(before: Counts, now: Counts) -> Rate:
    """Say how an app was used between two readings."""
    seconds = max(now.at - before.at, 1e-3)
    asked = max(0.0, now.requests - before.requests)
    within = {bound: number - before.within.get(bound, 0.0) for bound, number in sorted(now.within.items())}
    return Rate(round(asked / seconds, 2), _percentile(within, 0.5), _percentile(within, 0.95))


def _percentile(within: Mapping[float, float], part: float) -> float | None:
    """Estimate within a bucket of milliseconds, as its requests were spread evenly."""
    total = max(within.values(), default=0.0)
    if total <= 0:
        return None
    lower, below = 0.0, 0.0
    for bound, number in within.items():
        if number >= part * total:
            if bound == float("inf"):
                return lower
            return round(lower + (bound - lower) * (part * total - below) / max(number - below, 1e-9), 1)
        lower, below = bound, number
    return lower
