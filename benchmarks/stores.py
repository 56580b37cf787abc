"""Measure whether a root on S3 is as fast as one on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import ray

import flyte_ray as flyte
from benchmarks import work
from benchmarks.figures import Figure
from benchmarks.measuring import Bench, start_ray
from tests.s3_server import s3_server

COUNT = 10_000


def measure(bench: Bench) -> Iterator[Figure]:
    """Fan out with the root on disk and on a real S3 server on this machine, each in a Ray of its own."""
    if bench.mode == "local" or not (shutil.which("radosgw") or (os.geteuid() == 0 and shutil.which("apt-get"))):
        return  # the server is Debian's radosgw
    disk = fan_out(bench)
    ray.shutdown()
    folder = bench.root / "s3"
    folder.mkdir()
    with s3_server(Path(folder), "bench") as variables, mock.patch.dict(os.environ, variables):
        start_ray()
        flyte.init(root="s3://bench/root")
        remote = fan_out(bench)
        ray.shutdown()
    start_ray()
    flyte.init(root=str(bench.root))
    yield Figure(f"fan-out of {COUNT:,}, root on S3", "/s", remote, disk, "root on disk", at_least=0.8)


def fan_out(bench: Bench) -> list[float]:
    """Actions per second."""
    bench.start(work.fan_out, 100)
    return [COUNT / bench.start(work.fan_out, COUNT)[0] for _ in range(bench.repeat)]
