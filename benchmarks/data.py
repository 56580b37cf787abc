"""Measure what values cost beside what one has without us, in one session on one machine, and print one table.

Tables go from one action to the next on Ray, with the root on disk, beside `ray.put`, `ray.get` and a raw Arrow IPC
file of the same bytes; files and folders go to S3 and back beside s3fs alone; a small value is encoded and decoded
beside pickle. Usage, from the top of the project: `python -m benchmarks.data [--only NAME ...] [--bucket s3://bucket/x]`.
Without a bucket the S3 server of the tests is started for it. Both sides move the same bytes in turns; a figure is the
median of `--repeat` measures, and a ratio says how many times as fast as the other side, or how much of it is taken.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import s3fs

import flyte_ray as flyte
from benchmarks import files, tables
from benchmarks.measuring import Bench, Row, measure, report, seconds_of, session
from flyte_ray.types import build_codec
from tests.s3_server import s3_server

LARGE = 256 << 20
MANY, SMALL = 1_000, 4 << 10
TABLES = (64, 1_000)
"""MiB."""
CALLS = 2_000
TARGET = ">= 0.8x"
Pair = tuple[list[float], list[float]]
"""Seconds of s3fs alone and of ours, of all measures."""


@dataclass(frozen=True)
class DataBench(Bench):
    """How this session measures; `root` is a folder for what is moved."""

    bucket: str = ""
    """`s3://bucket/prefix`."""

    def pairs(self, bare: Callable[[], list[float]], task: Any, make: Callable[[Path], str]) -> list[Pair]:
        """Measure both sides in turns, after one for warming up; what a task is given is made anew for each."""

        def mine() -> list[float]:
            seconds: list[float] = self.run(task, make(self.root)).outputs()[0]
            return seconds

        bare(), mine()
        rounds = [(bare(), mine()) for _ in range(self.repeat)]
        figures = range(len(rounds[0][0]))
        return [([theirs[n] for theirs, _ in rounds], [ours[n] for _, ours in rounds]) for n in figures]

    @property
    def bare(self) -> tuple[s3fs.S3FileSystem, str]:
        """s3fs as it is without us, and a fresh prefix for it."""
        return s3fs.S3FileSystem(skip_instance_cache=True), f"{self.bucket}/bare/{uuid.uuid4().hex}"


def row(title: str, amount: float, unit: str, pair: Pair) -> Row:
    """Show both sides as a rate, and in place of the wall time the slowest and fastest of ours."""
    theirs, ours = map(statistics.median, pair)
    spread = f"{amount / max(pair[1]):,.0f} to {amount / min(pair[1]):,.0f}"
    rates = f"{amount / theirs:,.0f} {unit}", f"{amount / ours:,.0f} {unit}"
    return Row(title, *rates, f"{theirs / ours:.2f}x", spread, TARGET)


def fresh_file(folder: Path) -> str:
    """Write a large file that no store has."""
    path, block = folder / "large.bin", os.urandom(1 << 20)
    with path.open("wb") as file:
        for number in range(LARGE >> 20):
            file.write(number.to_bytes(8, "big") + block[8:])
    return str(path)


def fresh_folder(folder: Path) -> str:
    """Write a folder of small files that no store has."""
    top = folder / "many"
    shutil.rmtree(top, ignore_errors=True)
    top.mkdir()
    for number in range(MANY):
        (top / f"{number:04d}.bin").write_bytes(os.urandom(SMALL))
    return str(top)


def large(bench: DataBench) -> Iterator[Row]:
    """Hand a large file from one action to the next; s3fs puts and gets it."""

    def bare() -> list[float]:
        (fs, prefix), path = bench.bare, fresh_file(bench.root)
        up = seconds_of(lambda: fs.put_file(path, f"{prefix}/large"))
        return [up, seconds_of(lambda: fs.get_file(f"{prefix}/large", str(bench.root / "copy")))]

    up, down = bench.pairs(bare, files.pass_file, fresh_file)
    yield row(f"File of {LARGE >> 20} MB, stored for a call", LARGE / 1e6, "MB/s", up)
    yield row(f"File of {LARGE >> 20} MB, downloaded", LARGE / 1e6, "MB/s", down)


def streams(bench: DataBench) -> Iterator[Row]:
    """Write and read a large file as a stream; s3fs opens it."""

    def bare() -> list[float]:
        (fs, prefix), path = bench.bare, fresh_file(bench.root)

        def write() -> None:
            with open(path, "rb") as source, fs.open(f"{prefix}/large", "wb") as target:
                while block := source.read(1 << 20):
                    target.write(block)

        def read() -> None:
            with fs.open(f"{prefix}/large", "rb") as source:
                while source.read(1 << 20):
                    pass

        return [seconds_of(write), seconds_of(read)]

    up, down = bench.pairs(bare, files.stream, fresh_file)
    yield row(f"{LARGE >> 20} MB, written as a stream", LARGE / 1e6, "MB/s", up)
    yield row(f"{LARGE >> 20} MB, read as a stream", LARGE / 1e6, "MB/s", down)


def many(bench: DataBench) -> Iterator[Row]:
    """Hand a folder of many small files from one action to the next; s3fs puts and gets it in bulk."""

    def bare() -> list[float]:
        (fs, prefix), path = bench.bare, fresh_folder(bench.root)
        up = seconds_of(lambda: fs.put(path, f"{prefix}/many", recursive=True))
        with tempfile.TemporaryDirectory() as target:
            return [up, seconds_of(lambda: fs.get(f"{prefix}/many", f"{target}/copy", recursive=True))]

    up, down = bench.pairs(bare, files.pass_folder, fresh_folder)
    yield row(f"Dir of {MANY:,} files of {SMALL >> 10} KB, stored for a call", MANY, "files/s", up)
    yield row(f"Dir of {MANY:,} files of {SMALL >> 10} KB, downloaded", MANY, "files/s", down)


def passed(bench: Bench) -> Iterator[Row]:
    """Hand a table from one action to the next; what the disk has not is lost when the machine dies, ours is not."""

    def written(megabytes: int) -> tuple[float, float]:
        table, path = tables.fresh_table(megabytes), bench.root / "bare.arrow"
        start = time.perf_counter()
        ray.get(ray.put(table))
        with path.open("wb") as file:
            with pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            in_memory = time.perf_counter() - start
            file.flush()
            os.fsync(file.fileno())
        found = in_memory, time.perf_counter() - start
        path.unlink()
        return found

    for megabytes in TABLES:
        written(megabytes), bench.start(tables.pass_table, megabytes)
        rounds = [(*written(megabytes), bench.start(tables.pass_table, megabytes)[0]) for _ in range(bench.repeat)]
        *theirs, ours = (statistics.median(column) for column in zip(*rounds, strict=True))
        for how, seconds in zip(("", ", beside a file that is on the disk"), theirs, strict=True):
            ratio = f"{seconds / ours:.2f}x"
            title = f"Table of {megabytes:,} MB to an action{how}"
            yield Row(title, f"{seconds:.2f} s", f"{ours:.2f} s", ratio, target=TARGET)


def peak(bench: Bench) -> Iterator[Row]:
    """Hand a table to an action that reads it, and look at the memory of the process."""
    megabytes = TABLES[-1]
    size = megabytes * 1.048576
    taken = statistics.median(bench.start(tables.peak_of_passing, megabytes)[0] for _ in range(bench.repeat))
    title = f"Peak memory beside a table of {megabytes:,} MB"
    yield Row(title, f"{size:,.0f} MB", f"{taken:,.0f} MB", f"{taken / size:.2f}x", target="<= 1.0x")


def value(bench: Bench) -> Iterator[Row]:
    """Encode and decode a small dataclass, as each call does; CPU time, which no neighbour adds to."""
    codec = build_codec(tables.take_settings.spec.interface, "tables.take_settings")
    given = {"settings": tables.Settings(0.5, 100, ["a", "b"])}
    nowhere: Any = None  # all of it stands in the log

    def microseconds(call: Callable[[], object]) -> float:
        start = time.process_time()
        for _ in range(CALLS):
            call()
        return (time.process_time() - start) / CALLS * 1e6

    def ours() -> object:
        return codec.decode_inputs(codec.encode_inputs(given, nowhere).text, nowhere)

    def theirs() -> object:
        return pickle.loads(pickle.dumps(given))

    rounds = [(microseconds(theirs), microseconds(ours)) for _ in range(bench.repeat)]
    bare, mine = (statistics.median(column) for column in zip(*rounds, strict=True))
    title = "Small dataclass, encoded and decoded, CPU"
    yield Row(title, f"{bare:.1f} us", f"{mine:.1f} us", f"{bare / mine:.2f}x", target="< 30 us")


ON_RAY: dict[str, Callable[[Any], Iterator[Row]]] = {each.__name__: each for each in (passed, peak)}
ALONE: dict[str, Callable[[Any], Iterator[Row]]] = {value.__name__: value}
ON_S3: dict[str, Callable[[Any], Iterator[Row]]] = {each.__name__: each for each in (large, streams, many)}
MEASURES = {**ON_RAY, **ALONE, **ON_S3}


@contextlib.contextmanager
def server(given: str | None, folder: Path) -> Iterator[str]:
    """Yield the bucket that was given, or one on a server that is started for it."""
    if given is not None:
        yield given.rstrip("/")
        return
    with s3_server(folder / "s3", "bench") as variables:
        os.environ.update(variables)
        yield "s3://bench"


def main() -> None:
    """Measure what was asked for and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=MEASURES, metavar="NAME", help=f"of: {', '.join(MEASURES)}")
    parser.add_argument("--repeat", type=int, default=5, help="measures per figure, median shown (default 5)")
    parser.add_argument("--bucket", help="s3://bucket/prefix of a server that runs (default: one is started)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    wanted = options.only or list(MEASURES)
    rows: list[Row] = []
    if alone := {name: ALONE[name] for name in wanted if name in ALONE}:
        rows += measure(Bench("local", options.repeat, Path()), alone)
    if on_ray := {name: ON_RAY[name] for name in wanted if name in ON_RAY}:
        with session("ray", options.repeat) as on_disk:
            rows += measure(on_disk, on_ray)
    if on_s3 := {name: ON_S3[name] for name in wanted if name in ON_S3}:
        with tempfile.TemporaryDirectory() as folder, server(options.bucket, Path(folder)) as bucket:
            flyte.init(root=f"{bucket}/runs")
            rows += measure(DataBench("local", options.repeat, Path(folder), bucket), on_s3)
    print(report(rows, "tables on Ray, files local", as_json=options.json, baseline="without us"))


if __name__ == "__main__":
    main()
