"""Measure what files and folders cost beside s3fs alone, in one session on one machine, and print one table.

Usage, from the top of the project: `python -m benchmarks.data [--only NAME ...] [--bucket s3://bucket/prefix]`.
Without a bucket the S3 server of the tests is started for it. Both sides move the same bytes in turns; a figure is the
median of `--repeat` measures, and a ratio says how many times as fast as s3fs alone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import s3fs

import flyte_ray as flyte
from benchmarks import files
from benchmarks.measuring import Bench, Row, measure, report, seconds_of
from tests.s3_server import s3_server

LARGE = 256 << 20
MANY, SMALL = 1_000, 4 << 10
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


MEASURES: dict[str, Callable[[Any], Iterator[Row]]] = {each.__name__: each for each in (large, streams, many)}


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
    with tempfile.TemporaryDirectory() as name, server(options.bucket, Path(name)) as bucket:
        flyte.init(root=f"{bucket}/runs")
        bench = DataBench("local", options.repeat, Path(name), bucket)
        rows = measure(bench, {name: MEASURES[name] for name in options.only or MEASURES})
    print(report(rows, "local", as_json=options.json, baseline="s3fs alone"))


if __name__ == "__main__":
    main()
