"""What Ray's errors say of how a slot was lost."""

from __future__ import annotations

from typing import Any

import pytest
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from flyte_ray.cluster.deaths import read_death
from flyte_ray.errors import StoreError
from flyte_ray.ledger.losses import CRASHED, NODE, PREEMPTED, Loss

# As Ray 2.60 wrote it, shortened.
OUT_OF_MEMORY = """\
2 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 192.0.2.2, ID: 05b39e24) was \
2.86GB used / {limit}GB limit (0.121579)
OOM kill reason: Memory usage 3069300736B exceeded threshold of 3045580800B (12.0% of 25276502016B limit)
Ray killed 2 worker(s) based on the killing policy
Considered workers: [
Selected to kill: (Task: job ID=01000000, lease ID=01000000783b, task name=flyte-ray slot small, required \
resources={{CPU: 0.5}}, pid=8609, actual memory used=0.06GB, worker ID=a82b680d)
Selected to kill: (Task: job ID=01000000, lease ID=00000000783b, task name=flyte-ray slot large, required \
resources={{CPU: 0.5}}, pid=8527, actual memory used=1.37GB, worker ID=9e9480c8)
(Actor(44e0686e): job ID=01000000, lease ID=000000005624, task name=Launcher.__init__, required resources={{}}, \
pid=8528, actual memory used=0.07GB, worker ID=783b06e8)
]
"""


def nodes() -> list[dict[str, Any]]:
    return [
        {"NodeID": "abc", "NodeManagerAddress": "10.0.0.1", "DeathReason": 0},
        {"NodeID": "def", "NodeManagerAddress": "10.0.0.2", "DeathReason": 3},
    ]


def test_a_slots_own_refusal_is_told_without_rays_traceback() -> None:
    told = RayTaskError("serve_slot", "a long traceback", StoreError("not shared"))
    assert read_death("s", told, nodes) == (Loss("not shared"), True)
    loss, hopeless = read_death("s", RayTaskError("serve_slot", "a long traceback", ValueError("what")), nodes)
    assert "a long traceback" in loss.reason and hopeless


def test_a_process_that_ends_is_told_from_a_node_that_is_gone_or_preempted() -> None:
    crashed = Loss("its process ended unexpectedly (killed, exited or crashed)", CRASHED)
    assert read_death("s", WorkerCrashedError(), nodes) == (crashed, False)
    gone, preempted = (read_death("s", NodeDiedError(f"Node ID: {name}"), nodes)[0] for name in ("abc", "def"))
    assert gone == Loss("its node (10.0.0.1) is gone", NODE)
    assert preempted == Loss("its node (10.0.0.2) was preempted", PREEMPTED)


@pytest.mark.parametrize(
    ("slot", "limit", "used", "heavy"),
    [("large", "2.9", 1.37, True), ("large", "40.5", 1.37, False), ("small", "2.9", 0.06, False)],
)
def test_of_those_that_ray_ends_for_memory_the_one_that_used_it_is_known(
    slot: str, limit: str, used: float, heavy: bool
) -> None:
    loss, hopeless = read_death(slot, OutOfMemoryError(OUT_OF_MEMORY.format(limit=limit)), nodes)
    assert (loss.used, loss.heavy, hopeless) == (round(used * 1024**3), heavy, False)
    assert loss.reason.endswith(f"2.86 of {limit} GB were used on its node, {used:g} GB by it")


def test_a_text_of_ray_that_is_not_understood_blames_nobody() -> None:
    loss, _ = read_death("small", OutOfMemoryError("something else"), nodes)
    assert (loss.used, loss.heavy) == (0, False)
    assert "something else" in loss.reason
