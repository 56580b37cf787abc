"""Runs on a small Ray cluster that they have for themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import flyte_ray as flyte
from flyte_ray.errors import RuntimeUserError
from tests import workloads
from tests.ray_cluster import cluster, connection
from tests.waiting import within


@pytest.fixture(scope="module", autouse=True)
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One CPU and 600 MiB."""
    with cluster(1, memory=600 * 1024**2) as address, connection(address, tmp_path_factory.mktemp("root")):
        yield


def test_recursion_ends_on_one_cpu() -> None:
    # With plain functions between the tasks, Python's stack is full before sixty actions stand on it.
    assert flyte.run(workloads.recursive, depth=60, frames=10).outputs() == (60,)
    # asyncio.run hides from Ray that its caller waits, so that no CPU is lent.
    assert flyte.run(workloads.asyncio_in_sync, depth=3).outputs() == (3,)


def test_what_can_never_start_is_named_beside_a_run_that_goes_on_and_holds_nothing_of_what_is_missing() -> None:
    beside = flyte.run(workloads.sleeps_on_no_cpu, seconds=600.0)
    with pytest.raises(RuntimeUserError) as caught:
        flyte.run(workloads.holds_memory).outputs()
    said = str(caught.value)
    assert "wider.needs_more" in said and "waits for 1 CPU, 0.391 GiB of memory" in said, said
    assert "wide.holds_memory (a0) holds 1 CPU, 0.293 GiB of memory" in said, said
    assert not beside.done()
    beside.abort("enough")


def test_of_the_processes_of_ended_runs_ray_keeps_as_many_as_there_are_cpus() -> None:
    # Each needs one of its own, as after an edit of the code.
    runs = [flyte.with_runcontext(env_vars={"EDIT": str(edit)}).run(workloads.own_process) for edit in range(4)]
    processes = [run.outputs()[0] for run in runs]
    assert len(set(processes)) == 4
    within(60)(lambda: sum(os.path.exists(f"/proc/{each}") for each in processes) <= 1)
