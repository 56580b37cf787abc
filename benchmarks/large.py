"""Measure whether a run of 100,000 actions keeps the rate of a small one, and the ledger small."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import work
from benchmarks.figures import Figure
from benchmarks.measuring import Bench, watch_ledger


def measure(bench: Bench, count: int = 100_000, few: int = 1_000) -> Iterator[Figure]:
    """Fan out very wide, once, and watch the ledger's memory meanwhile."""
    bench.start(work.fan_out, 100)
    small = [bench.start(work.fan_out, few)[0] for _ in range(max(3, bench.repeat))]
    with watch_ledger() as seen:
        seconds, _ = bench.start(work.fan_out, count)
    rate = few / sorted(small)[len(small) // 2]
    yield Figure(
        f"fan-out of {count:,}, async gather", "/s", [count / seconds], [rate], f"ours of {few:,}", at_least=0.8
    )
    if any(seen):
        yield Figure(f"ledger's resident memory, peak at {count:,}", "MB", [max(seen)], at_most=300.0)
