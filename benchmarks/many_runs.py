"""Measure whether many runs at once go as fast as one large one, and each gets its turn."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks import work
from benchmarks.figures import Figure
from benchmarks.measuring import Bench

RUNS, EACH = 50, 200


def measure(bench: Bench) -> Iterator[Figure]:
    """Start runs side by side, and one that does as much, until all results are here."""
    bench.start(work.fan_out_begun, EACH)
    count = RUNS * EACH
    walls, whole, waits = [], [], []
    for _ in range(bench.repeat):
        whole.append(bench.start(work.fan_out_begun, count)[1])
        begin = time.time()
        with ThreadPoolExecutor(RUNS) as pool:
            began = list(pool.map(lambda _: bench.start(work.fan_out_begun, EACH)[0], range(RUNS)))
        walls.append(time.time() - begin)
        waits.append((max(began) - begin) / walls[-1])
    rates = [[count / seconds for seconds in side] for side in (walls, whole)]
    yield Figure(f"{RUNS} runs of {EACH} at once, whole runs", "/s", *rates, f"one of {count:,}", at_least=0.8)
    yield Figure("the same: part of that time until the last of them begins", "", waits)
