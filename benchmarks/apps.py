"""Measure what an app costs beside the same FastAPI app on bare Ray Serve, and print one table.

Usage, from the top of the project: `python -m benchmarks.apps [--ingress haproxy] [--soak [--minutes 10]] [--json]`;
needs wrk, a Debian package. Client and server share the machine. A figure is the median of alternating rounds of
`SECONDS`.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flyte_ray as flyte
from benchmarks import web
from benchmarks.measuring import Bench, Measure, Row, measure, report, session
from benchmarks.soak import soak
from flyte_ray.apps.deploying import PORT_VAR
from flyte_ray.cluster.serve_options import HAPROXY_VAR
from flyte_ray.ledger.tokens import create_token
from flyte_ray.storage import open_store

SECONDS = 3
ROUNDS = 5
TOP = Path(__file__).resolve().parent.parent


def bare(name: str, **options: Any) -> str:
    """Serve the app on bare Serve; its URL."""
    from ray import serve

    deployment = serve.deployment(serve.ingress(web.app)(), ray_actor_options={"num_cpus": 0.2}, **options)
    serve.run(deployment.bind(), name=name, route_prefix=f"/{name}")
    return f"http://127.0.0.1:{os.environ[PORT_VAR]}/{name}"


def rate(url: str, connections: int, header: str = "") -> float:
    """Ask with wrk; requests per second. An answer that is no success counts as a failure of the measure."""
    words = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", *(["-H", header] if header else []), url]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


def throughput(bench: Bench) -> Iterator[Row]:
    """Ask the app in each way of serving it, with 1 and 16 connections."""
    with_token = flyte.serve(web.with_token)
    text, _ = create_token(open_store(bench.root), "t", ["app:guarded"], random=os.urandom, at_us=1, by="benchmark")
    ours = {
        "FastAPI in the replica": (flyte.serve(web.in_replica).endpoint, "", ">= 0.97x"),
        "the same, asking for a token": (with_token.endpoint, f"Authorization: Bearer {text}", "-"),
        "uvicorn as a command, by proxy": (flyte.serve(web.in_command).endpoint, "", ">= 0.6x"),
    }
    base = bare("bare", max_ongoing_requests=100)
    for connections in (1, 16):
        rounds: dict[str, list[float]] = {name: [] for name in ("bare", *ours)}
        for _ in range(bench.repeat):
            rounds["bare"].append(rate(base, connections))
            for name, (url, header, _) in ours.items():
                rounds[name].append(rate(url, connections, header))
        beside = statistics.median(rounds["bare"])
        for name, (_, _, target) in ours.items():
            mine = statistics.median(rounds[name])
            spread = f"{min(rounds[name]):,.0f}-{max(rounds[name]):,.0f}/s"
            title = f"{name}, {connections} connection{'s' * (connections > 1)}"
            yield Row(title, f"{beside:,.0f}/s", f"{mine:,.0f}/s", f"{mine / beside:.2f}x", spread, target)


def cold_start(bench: Bench) -> Iterator[Row]:
    """Ask an app of which no replica runs; seconds until it answers."""
    scaling = {"min_replicas": 0, "max_replicas": 1, "downscale_delay_s": 1, "look_back_period_s": 5}
    mine = flyte.serve(web.from_zero).endpoint  # first: it starts Serve where and as it was asked for
    urls = [bare("bare-zero", autoscaling_config=scaling), mine]
    names = ["bare-zero", "zero"]
    seen: list[list[float]] = [[], []]
    for _ in range(bench.repeat):
        for at, (name, url) in enumerate(zip(names, urls, strict=True)):
            wait_for_none(name)
            begin = time.perf_counter()
            urllib.request.urlopen(url, timeout=120).read()
            seen[at].append(time.perf_counter() - begin)
    beside, ours = map(statistics.median, seen)
    yield Row("cold start from no replica", f"{beside:.2f} s", f"{ours:.2f} s", f"{ours / beside:.2f}x", "-", "<= 1.2x")


def wait_for_none(name: str) -> None:
    """Wait until an app has no replica left."""
    from ray import serve

    while True:
        deployments = serve.status().applications[name].deployments.values()
        if not any(sum(each.replica_states.values()) for each in deployments):
            return
        time.sleep(0.2)


MEASURES: dict[str, Measure] = {"throughput": throughput, "cold_start": cold_start}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--repeat", type=int, default=ROUNDS, help="rounds of each measure")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES), help="measures to make")
    parser.add_argument("--ingress", choices=("proxy", "haproxy"), default="proxy", help="what takes Serve's requests")
    parser.add_argument(
        "--soak", action="store_true", help="load an app while it is deployed again and replicas are killed"
    )
    parser.add_argument("--minutes", type=float, default=10, help="how long --soak takes")
    given = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        os.environ[PORT_VAR] = str(probe.getsockname()[1])
    os.environ["PYTHONPATH"] = str(TOP)
    os.environ[HAPROXY_VAR] = str(int(given.ingress == "haproxy"))
    measures = {name: MEASURES[name] for name in given.only}
    if given.soak:
        measures = {"soak": lambda bench: soak(given.minutes)}
    with session("embedded", given.repeat) as bench:
        rows = measure(bench, measures)
        ingress = "HAProxy" if given.ingress == "haproxy" else "Serve's own proxy"
        print(report(rows, ingress, as_json=given.json, baseline="bare Serve"))


if __name__ == "__main__":
    main()
