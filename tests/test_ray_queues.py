"""Queues on a real Ray cluster, as a user sees them."""

from __future__ import annotations

import itertools
from pathlib import Path

import flyte_ray as flyte
from flyte_ray.ledger.queues import put_queue
from flyte_ray.spec.queue import QueueLimits
from flyte_ray.storage import open_store
from tests import queued


def test_a_queue_bounds_the_actions_of_all_runs_together_and_no_run_waits_for_the_other_to_end(connected: Path) -> None:
    put_queue(open_store(connected), QueueLimits("one-by-one", max_actions=1), at_us=1, by="me")
    runs = [flyte.run(queued.works_often, count=8) for _ in range(2)]
    times = [run.outputs()[0] for run in runs]
    everything = sorted(itertools.chain(*times))
    assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(everything))
    assert min(times[0])[0] < max(times[1])[0] and min(times[1])[0] < max(times[0])[0]
