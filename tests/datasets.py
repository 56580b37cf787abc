"""Tasks whose values are datasets of Ray."""

from __future__ import annotations

import ray.data

import flyte_ray as flyte

env = flyte.TaskEnvironment("datasets")


@env.task
def doubled(rows: int) -> ray.data.Dataset:
    return ray.data.range(rows, override_num_blocks=2).map(lambda row: {"id": row["id"] * 2})


@env.task
def total(dataset: ray.data.Dataset) -> int:
    return int(dataset.sum("id"))


@env.task
def count(dataset: ray.data.Dataset) -> int:
    return int(dataset.count())


@env.task
def objects(rows: int) -> ray.data.Dataset:
    return ray.data.from_items([{"id": object()} for _ in range(rows)])


@env.task
def odd() -> tuple[int, str]:
    try:
        objects(1)
    except flyte.errors.RuntimeDataValidationError as error:
        return count(doubled(0)), str(error)
    return count(doubled(0)), "nothing was refused"


@env.task
def main(rows: int) -> int:
    return total(doubled(rows))
