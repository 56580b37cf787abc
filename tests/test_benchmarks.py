"""Each measure of the benchmarks runs, with sizes so small that its figures say nothing; but those that need wrk."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks import data, durability, overhead
from benchmarks.measuring import Bench, Row, report

ON_RAY: dict[str, Any] = {
    "first": overhead.first,
    "fan_out": partial(overhead.fan_out, counts=(20,)),
    "chain": partial(overhead.chain, count=3),
    "tree": partial(overhead.tree, width=2, depth=2),
    "burn": partial(overhead.burn, count=4),
    "overlap": partial(overhead.overlap, count=20, seconds=0.1),
    "large": partial(overhead.large, count=20),
    "cache": partial(durability.cache, count=10),
    "trace": partial(durability.trace, count=10),
    **data.ON_RAY,
}
# On Ray these two would end the session's and start one of their own.
LOCAL: dict[str, Any] = {"hello": overhead.hello, "resume": partial(durability.resume, count=10), **data.ALONE}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"LARGE": 2 << 20, "MANY": 3, "TABLES": (1, 2), "CALLS": 20}.items():
        monkeypatch.setattr(data, name, size)


def test_all_measures_are_here() -> None:
    assert {*ON_RAY, *LOCAL, *data.ON_S3} == {*overhead.MEASURES, *durability.MEASURES, *data.MEASURES}


@pytest.mark.parametrize("name", ON_RAY)
def test_a_measure_gives_its_rows_on_ray(connected: Path, tmp_path: Path, name: str) -> None:
    assert_shown(ON_RAY[name](Bench("ray", 1, tmp_path)))


@pytest.mark.parametrize("name", LOCAL)
def test_a_measure_gives_its_rows_in_this_process(connected: Path, tmp_path: Path, name: str) -> None:
    assert_shown(LOCAL[name](Bench("local", 1, tmp_path)))


@pytest.mark.parametrize("name", data.ON_S3)
def test_a_measure_on_s3_gives_its_rows(s3_root: str, tmp_path: Path, name: str) -> None:
    assert_shown(data.ON_S3[name](data.DataBench("local", 1, tmp_path, f"{s3_root}/bench")))


def assert_shown(measure: Any) -> None:
    rows: list[Row] = list(measure)
    assert rows and len(report(rows, "ray", as_json=False).splitlines()) == len(rows) + 3
