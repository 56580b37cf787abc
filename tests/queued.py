"""Tasks of queues, which slots on Ray import by this module's name."""

from __future__ import annotations

import time

import flyte_ray as flyte

env = flyte.TaskEnvironment("queued")


@env.task(queue="one-by-one")
def works(number: int) -> tuple[float, float]:
    began = time.time()
    time.sleep(0.3)
    return began, time.time()


@env.task
def works_often(count: int) -> list[tuple[float, float]]:
    return list(flyte.map(works, range(count), return_exceptions=False))
