"""Measure what durability costs: to resume a run, to use a kept outcome, to record a step; and print one table.

Usage, from the top of the project: `python -m benchmarks.durability [--only NAME ...] [--mode local] [--json]`.
The baseline is what one has without it: all computed again with bare Ray, or a dict. A figure is the median of
`--repeat` measures.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

import ray

from benchmarks import durable_work as work
from benchmarks.measuring import Bench, Row, bare_tasks, measure, report, session, start_ray, watch_ledger


def resume(bench: Bench, count: int = 10_000) -> Iterator[Row]:
    """Resume a run whose children have all succeeded, in a cluster that is warm and has not seen it."""
    marker = bench.root / "marker"
    runs = [bench.run(work.cut_off, count, str(marker)) for _ in range(bench.repeat)]
    if bench.mode != "local":
        ray.shutdown()
        start_ray()
    marker.touch()
    bench.run(work.cut_off, 10, str(marker))
    bare_tasks(100)
    bare = statistics.median(bare_tasks(count) for _ in range(bench.repeat))
    seconds, walls = [], []
    with watch_ledger() as seen:
        for run in runs:
            start = time.time()
            run.resume()
            seconds.append(run.outputs()[0] - start)
            walls.append(time.time() - start)
    first = statistics.median(seconds)
    yield Row(
        f"resume {count:,} finished actions, until a new one begins (bare: compute them)",
        f"{bare:.2f} s",
        f"{first:.2f} s",
        f"{first / bare:.2f}x",
        f"{statistics.median(walls):.2f} s",
        "< 3 s",
    )
    peak = f"{max(seen):,.0f} MB" if any(seen) else "no ledger process"
    yield Row(f"ledger's resident memory, peak over {len(runs)} such resumes", flyte=peak, target="< 200 MB")


def cache(bench: Bench, count: int = 1_000) -> Iterator[Row]:
    """Gather actions whose outcomes are kept; the first run of them computes and keeps."""
    computed, _ = bench.start(work.ask_kept, count)
    bench.start(work.ask_kept, count)
    bare, mine, wall = (1000 * seconds for seconds in bench.compare(lambda: bare_tasks(count), work.ask_kept, count))
    title = f"one of {count:,} actions, outcome"
    yield each_row(f"{title} computed and kept", bare / count, 1000 * computed / count)
    yield each_row(f"{title} kept before", bare / count, mine / count, wall, "< 0.2 ms")


def trace(bench: Bench, count: int = 1_000) -> Iterator[Row]:
    """Call a function that does nothing many times, as a step and beside it with a dict for its results."""
    bench.start(work.trace, 10)
    rows = [bench.start(work.trace, count)[0] for _ in range(bench.repeat)]
    plain, sync = (1000 * statistics.median(column) / count for column in zip(*rows, strict=True))
    later, again = (
        1000 * statistics.median(bench.start(task, count)[0] for _ in range(bench.repeat)) / count
        for task in (work.trace_later, work.trace_again)
    )
    yield each_row("one step, sync (bare: a dict)", plain, sync, target="< 0.3 ms")
    yield each_row("one step, async (bare: a dict)", plain, later, target="< 0.3 ms")
    yield each_row("one step from the record (bare: a dict)", plain, again, target="< 0.3 ms")


def each_row(title: str, bare_ms: float, mine_ms: float, wall_ms: float | None = None, target: str = "-") -> Row:
    """Show milliseconds per action or step."""
    wall = "-" if wall_ms is None else f"{wall_ms / 1000:.2f} s"
    return Row(title, f"{bare_ms:.4f} ms", f"{mine_ms:.4f} ms", f"{mine_ms / bare_ms:.3g}x", wall, target)


MEASURES = {each.__name__: each for each in (resume, cache, trace)}


def main() -> None:
    """Measure what was asked for and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=MEASURES, metavar="NAME", help=f"of: {', '.join(MEASURES)}")
    parser.add_argument("--repeat", type=int, default=3, help="measures per figure, median shown (default 3)")
    parser.add_argument("--mode", choices=("ray", "local"), default="ray", help="where flyte-ray's runs run")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()
    names = options.only or list(MEASURES)
    with session(options.mode, options.repeat) as bench:
        rows = measure(bench, {name: MEASURES[name] for name in MEASURES if name in names})
    print(report(rows, options.mode, as_json=options.json))


if __name__ == "__main__":
    main()
