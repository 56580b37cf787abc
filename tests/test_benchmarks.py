"""Each measure of the benchmarks runs, with sizes so small that its figures say nothing; but those that need wrk."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    chain,
    cpu,
    data,
    durability,
    fairness,
    fan_out,
    hello,
    large,
    many_runs,
    pools,
    shell,
    soak,
    tree,
)
from benchmarks.__main__ import QUESTIONS
from benchmarks.figures import Figure, table
from benchmarks.measuring import Bench, Row, report
from flyte_ray.cluster.session import connect

ON_RAY: dict[str, Any] = {
    "first": hello.first,
    "fan_out": partial(fan_out.measure, counts=(20,)),
    "chain": partial(chain.measure, steps=3, depth=3),
    "tree": partial(tree.measure, width=2, depth=2),
    "cpu": partial(cpu.measure, sizes=((4, 1),), ahead=20),
    "large": partial(large.measure, count=20, few=10),
    "many_runs": partial(many_runs.measure, runs=2, each=5),
    "fairness": partial(fairness.measure, queued=20, milliseconds=100, times=1),
    "cache": partial(durability.cache, count=10),
    "trace": partial(durability.trace, count=10),
    **data.ON_RAY,
}
# On Ray these two would end the session's and start one of their own.
LOCAL: dict[str, Any] = {
    "hello": hello.measure,
    "pools": partial(pools.measure, actions=5, seconds=0.1),
    "shell": shell.measure,
    "resume": partial(durability.resume, count=10),
    **data.ALONE,
}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"LARGE": 2 << 20, "MANY": 3, "TABLES": (1, 2), "CALLS": 20}.items():
        monkeypatch.setattr(data, name, size)


def test_all_measures_are_here() -> None:
    questions = {each.__name__.rpartition(".")[2] for each in QUESTIONS} - {
        "stores"
    }  # it starts a Ray and an S3 server
    assert {*ON_RAY, *LOCAL, *data.ON_S3} == {"first", *questions, *durability.MEASURES, *data.MEASURES}


@pytest.mark.parametrize("name", ON_RAY)
def test_a_measure_gives_its_rows_on_ray(connected: Path, ray_address: str, tmp_path: Path, name: str) -> None:
    connect(ray_address)  # bare Ray is measured first, and would look for a cluster by itself
    assert_shown(ON_RAY[name](Bench("ray", 1, tmp_path)))


@pytest.mark.parametrize("name", LOCAL)
def test_a_measure_gives_its_rows_in_this_process(connected: Path, tmp_path: Path, name: str) -> None:
    assert_shown(LOCAL[name](Bench("local", 1, tmp_path)))


@pytest.mark.parametrize("name", data.ON_S3)
def test_a_measure_on_s3_gives_its_rows(s3_root: str, tmp_path: Path, name: str) -> None:
    assert_shown(data.ON_S3[name](data.DataBench("local", 1, tmp_path, f"{s3_root}/bench")))


def assert_shown(measure: Any) -> None:
    rows: list[Row | Figure] = list(measure)
    old, new = [row for row in rows if isinstance(row, Row)], [row for row in rows if isinstance(row, Figure)]
    assert old or new
    assert not old or len(report(old, "ray", as_json=False).splitlines()) == len(old) + 3
    assert len(table(new).splitlines()) == len(new) + 2


def test_failures_of_a_soak_are_put_down_to_what_happened_then() -> None:
    failures = [(101.5, "by a kill"), (103.0, "long after it"), (205.0, "by the deployment"), (301.0, "by a kill")]
    seen = soak.Seen(sent=9, latencies=[0.1, 0.2, 0.3], failures=failures)
    rows = list(soak._rows(seen, 5.0, 1.0, [100.0, 300.0], (200.0, 240.0)))
    assert [row.flyte for row in rows] == ["5/s, 9 sent", "2", "1", "1"]
