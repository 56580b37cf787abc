"""Measure what an action costs beside a bare Ray task, in one session on one machine, and print one table.

Usage, from the top of the project: `python -m benchmarks.overhead [--large] [--only NAME ...] [--mode local]`.
Both sides are warmed up before each measure and measured in turns; a figure is the median of `--repeat` measures.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray

from benchmarks import work
from benchmarks.measuring import (
    CORES,
    Bench,
    Row,
    bare_nothing,
    bare_tasks,
    measure,
    report,
    seconds_of,
    session,
    watch_ledger,
)

TOP = Path(__file__).resolve().parent.parent
BURN_S = 0.05

bare_pause: Any = ray.remote(work.pause)
bare_burn: Any = ray.remote(work.burn)
bare_begun: Any = ray.remote(lambda: time.time())


def bare_chain(count: int) -> float:
    """Submit and get `count` bare Ray tasks one after the other; seconds."""
    start = time.perf_counter()
    for index in range(count):
        ray.get(bare_nothing.remote(index))
    return time.perf_counter() - start


def rate_row(title: str, count: int, measured: tuple[float, float, float], target: str = "-") -> Row:
    """Show actions per second; the ratio says how many times as many as bare Ray."""
    bare, mine, wall = measured
    return Row(
        title, f"{count / bare:,.0f}/s", f"{count / mine:,.0f}/s", f"{bare / mine:.2f}x", f"{wall:.2f} s", target
    )


def fan_out(bench: Bench, counts: tuple[int, ...] = (1_000, 10_000)) -> Iterator[Row]:
    """Fan out over actions that do nothing, from async and from sync code."""
    for title, task in (("async gather", work.fan_out), ("sync map", work.map_out)):
        bench.start(task, 100)
        bare_tasks(100)
        for count in counts:
            measured = bench.compare(functools.partial(bare_tasks, count), task, count)
            target = ">= 8x" if task is work.fan_out and count == 10_000 else "-"
            yield rate_row(f"fan-out of {count:,}, {title}", count, measured, target)


def chain(bench: Bench, count: int = 200) -> Iterator[Row]:
    """Call one action after the other, from sync and from async code."""
    for title, task in (("sync calls", work.chain), ("async awaits", work.chain_async)):
        bench.start(task, 10)
        bare_chain(10)
        bare, mine, wall = (1000 * seconds for seconds in bench.compare(lambda: bare_chain(count), task, count))
        yield Row(
            f"chain of {count}, {title}, per step",
            f"{bare / count:.2f} ms",
            f"{mine / count:.2f} ms",
            f"{mine / bare:.2f}x",
            f"{wall / 1000:.2f} s",
            "<= 1.0x",
        )


def tree(bench: Bench, width: int = 20, depth: int = 3) -> Iterator[Row]:
    """Grow a tree whose inner actions gather their children; bare Ray gets as many flat tasks."""
    count = sum(width**level for level in range(depth + 1))
    bench.start(work.tree, 3, 2)
    bare_tasks(100)
    bare, mine, wall = bench.compare(lambda: bare_tasks(count), work.tree, width, depth)
    shape = "x".join([str(width)] * depth)
    yield Row(
        f"tree {shape}, {count:,} actions (bare: flat)",
        f"{bare:.2f} s",
        f"{mine:.2f} s",
        f"{mine / bare:.2f}x",
        f"{wall:.2f} s",
        "< 3 s",
    )


def first(bench: Bench) -> Iterator[Row]:
    """Ask for one action while the cluster is warm; measured until its code begins, and until the result is here."""

    def bare() -> float:
        start = time.time()
        return float(ray.get(bare_begun.remote())) - start

    def mine() -> tuple[float, float]:
        start = time.time()
        began, wall = bench.start(work.begun)
        return began - start, wall

    bare()
    mine()
    alone = statistics.median(bare() for _ in range(5))
    begins, walls = zip(*(mine() for _ in range(5)), strict=True)
    began = statistics.median(begins)
    yield Row(
        "first action on a warm cluster, until it begins",
        f"{1000 * alone:.1f} ms",
        f"{1000 * began:.1f} ms",
        f"{began / alone:.1f}x",
        f"{statistics.median(walls):.2f} s",
    )


def burn(bench: Bench, count: int = 200) -> Iterator[Row]:
    """Keep all cores busy; both sides are shown as the speed-up over one core doing the same work alone."""
    rounds = 100_000
    rounds = int(rounds * BURN_S / min(seconds_of(lambda: work.burn(rounds)) for _ in range(5)))
    # The smaller of two, so that a neighbour on this machine does not flatter either side.
    alone = 4 * min(seconds_of(lambda: [work.burn(rounds) for _ in range(count // 4)]) for _ in range(2))

    def bare() -> float:
        return seconds_of(lambda: ray.get([bare_burn.remote(rounds) for _ in range(count)]))

    ray.get([bare_burn.remote(1) for _ in range(10)])
    bench.start(work.burn_many, 10, 1)
    theirs, mine, wall = bench.compare(bare, work.burn_many, count, rounds)
    yield Row(
        f"{count} x {1000 * BURN_S:.0f} ms of CPU, against one core",
        f"{alone / theirs:.2f}x",
        f"{alone / mine:.2f}x",
        f"{theirs / mine:.2f}x",
        f"{wall:.2f} s",
        ">= 1.7x of one core",
    )


def overlap(bench: Bench, count: int = 1_000, seconds: float = 2.0) -> Iterator[Row]:
    """Queue two long actions behind many short ones: both must run at the same time."""
    bench.start(work.queue_behind, 10, 0.0)
    begin = time.perf_counter()
    ahead = [bare_nothing.remote(index) for index in range(count)]
    theirs = ray.get([bare_pause.remote(seconds), bare_pause.remote(seconds)])
    bare_wall = time.perf_counter() - begin
    ray.get(ahead)
    mine, wall = bench.start(work.queue_behind, count, seconds)
    yield Row(
        f"two of {seconds:g} s behind {count:,}",
        f"{overlap_text([*theirs[0], *theirs[1]])} ({bare_wall:.2f} s)",
        overlap_text(mine),
        f"{wall / bare_wall:.2f}x",
        f"{wall:.2f} s",
        "overlap",
    )


def overlap_text(times: list[float]) -> str:
    """Say how long two stretches of time ran together."""
    began, ended, other_began, other_ended = times
    shared = min(ended, other_ended) - max(began, other_began)
    return f"overlap {shared:.2f} s" if shared > 0 else "no overlap"


def large(bench: Bench, count: int = 100_000) -> Iterator[Row]:
    """Fan out very wide, and watch the ledger's memory meanwhile."""
    bench.start(work.fan_out, 100)
    bare_tasks(100)
    bare = bare_tasks(count)
    with watch_ledger() as seen:
        mine, wall = bench.start(work.fan_out, count)
    yield rate_row(f"fan-out of {count:,}, async gather", count, (bare, mine, wall))
    peak = f"{max(seen):,.0f} MB" if any(seen) else "no ledger process"
    yield Row(f"ledger's resident memory, peak at {count:,}", flyte=peak, target="< 500 MB")


def hello(bench: Bench) -> Iterator[Row]:
    """From the command line to the greeting, in a fresh process each time: attached, embedded, local."""
    local = submit_seconds(bench, ["--local"], None)
    yield Row("hello-world from the shell, local", flyte=f"{local:.2f} s", target="< 1 s")
    if bench.mode == "local":
        return
    address = ray.get_runtime_context().gcs_address
    for title, where in (("attached", address), ("embedded", None)):
        if where is None:
            ray.shutdown()  # an embedded run starts a Ray of its own: it gets the machine alone
        bare, mine = bare_script_seconds(bench, where), submit_seconds(bench, [], where)
        yield Row(f"hello-world from the shell, {title}", f"{bare:.2f} s", f"{mine:.2f} s", f"{mine / bare:.2f}x")


def submit_seconds(bench: Bench, options: list[str], address: str | None) -> float:
    """Submit the hello-world in a fresh process; seconds, median, after one for warming up."""
    command = ["-m", "flyte_ray.cli.main", "submit", *options, "--root", str(bench.root), "benchmarks/work.py", "hello"]
    return script_seconds(bench, command, address)


def bare_script_seconds(bench: Bench, address: str | None) -> float:
    """Greet with bare Ray in a fresh process; seconds, median, after one for warming up."""
    start = f"ray.init(address={address!r})" if address else f"ray.init(num_cpus={CORES})"
    return script_seconds(
        bench, ["-c", f"import ray; {start}; print(ray.get(ray.remote(lambda: 'Hello, world!').remote()))"], address
    )


def script_seconds(bench: Bench, arguments: list[str], address: str | None) -> float:
    """Run Python with arguments until it has greeted and ended."""
    environ = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TOP), environ.get("PYTHONPATH")]))
    if address:
        environ["RAY_ADDRESS"] = address

    def once() -> None:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=TOP, env=environ, capture_output=True, text=True, check=False
        )
        if done.returncode or "Hello, world!" not in done.stdout:
            raise RuntimeError(f"python {' '.join(arguments)} should have greeted, but ended with:\n{done.stderr}")

    once()
    return statistics.median(seconds_of(once) for _ in range(bench.repeat))


# `hello` stands last: it ends this session's Ray.
MEASURES = {measure.__name__: measure for measure in (first, fan_out, chain, tree, burn, overlap, large, hello)}


def main() -> None:
    """Measure what was asked for and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=MEASURES, metavar="NAME", help=f"of: {', '.join(MEASURES)}")
    parser.add_argument("--large", action="store_true", help="measure 100,000 actions too")
    parser.add_argument("--repeat", type=int, default=3, help="measures per figure, median shown (default 3)")
    parser.add_argument("--mode", choices=("ray", "local"), default="ray", help="where flyte-ray's runs run")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()
    names = options.only or [name for name in MEASURES if name != "large"]
    if options.large and "large" not in names:
        names = [*names, "large"]
    with session(options.mode, options.repeat) as bench:
        rows = measure(bench, {name: MEASURES[name] for name in MEASURES if name in names})
    print(report(rows, options.mode, as_json=options.json))


if __name__ == "__main__":
    main()
