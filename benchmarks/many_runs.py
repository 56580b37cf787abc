"""Measure whether many runs at once go as fast as one large one, and each gets its turn."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks import work
from benchmarks.figures import Figure
from benchmarks.measuring import Bench, rates


def measure(bench: Bench, runs: int = 50, each: int = 200) -> Iterator[Figure]:
    """Start runs side by side, and one that does as much, until all results are here."""
    bench.start(work.fan_out_begun, each)
    count = runs * each
    walls, whole, waits = [], [], []
    for _ in range(bench.repeat):
        whole.append(bench.start(work.fan_out_begun, count)[1])
        begin = time.time()
        with ThreadPoolExecutor(runs) as pool:
            began = list(pool.map(lambda _: bench.start(work.fan_out_begun, each)[0], range(runs)))
        walls.append(time.time() - begin)
        waits.append((max(began) - begin) / walls[-1])
    yield Figure(
        f"{runs} runs of {each} at once, whole runs",
        "/s",
        rates(count, walls),
        rates(count, whole),
        f"one of {count:,}",
        at_least=0.8,
    )
    yield Figure("the same: part of that time until the last of them begins", "", waits)
