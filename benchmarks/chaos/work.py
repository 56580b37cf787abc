"""The run that is disturbed: a tree of actions in three levels, with sleeps, failures and retries.

`python -m benchmarks.chaos.work NAME` starts it, or finds it by its name, and waits for its end: the driver, which may
be killed at any time and is then started again.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import flyte_ray as flyte
from flyte_ray.errors import RunAlreadyExistsError, RunNotFoundError

env = flyte.TaskEnvironment("chaos", resources=flyte.Resources(cpu=1))
WIDTHS = [10, 10, 9]
"""Children of the root, of each of these, and of each of those: 1,011 actions."""


def size(widths: list[int]) -> int:
    """How many actions there are in a tree."""
    return 1 + widths[0] * size(widths[1:]) if widths else 1


def value(path: str) -> int:
    """What the leaf of a path returns; its ancestors return the sum of what is below them."""
    return sum(map(ord, path)) % 1000


def expected(path: str, widths: list[int]) -> int:
    """What the node of a path returns, in a tree of these widths."""
    depth = path.count(".")
    if depth == len(widths):
        return value(path)
    return sum(expected(f"{path}.{index}", widths) for index in range(widths[depth]))


def note(effects: str) -> None:
    """Leave a side effect that no crash takes back: which attempt of which action began, when, and in which process."""
    context = flyte.ctx()
    line = f"{context.action.name} {context.attempt_number} {time.time():.6f} {os.getpid()}\n"
    file = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


@env.task(retries=2)
def leaf(path: str, effects: str) -> int:
    """Work for up to 0.3 s; one in ten fails at first."""
    note(effects)
    found = value(path)
    time.sleep(0.05 + found / 4000)
    if found % 10 == 0 and flyte.ctx().attempt_number == 0:
        raise ValueError("one leaf in ten fails at first")
    return found


@env.task
def inner(path: str, widths: list[int], effects: str) -> int:
    """Wait for leaves with `map`, on the slot's main thread."""
    note(effects)
    paths = [f"{path}.{index}" for index in range(widths[2])]
    return sum(flyte.map(leaf, paths, [effects] * widths[2], return_exceptions=False))


@env.task
async def branch(path: str, widths: list[int], effects: str) -> int:
    """Wait for inner nodes on the loop."""
    note(effects)
    await asyncio.sleep(0.2)
    return sum(await asyncio.gather(*(inner.aio(f"{path}.{index}", widths, effects) for index in range(widths[1]))))


@env.task
async def tree(widths: list[int], effects: str) -> int:
    """Wait for all branches; the root."""
    note(effects)
    return sum(await asyncio.gather(*(branch(f"r.{index}", widths, effects) for index in range(widths[0]))))


def drive(name: str, effects: str) -> None:
    """Start the run, or find it, and print what it returned."""
    try:
        run = flyte.remote.Run.get(name)
    except RunNotFoundError:
        try:
            run = flyte.with_runcontext(name=name).run(tree, widths=WIDTHS, effects=effects)
        except RunAlreadyExistsError:
            run = flyte.remote.Run.get(name)
    print(run.outputs()[0], flush=True)


if __name__ == "__main__":
    # Not as __main__: so the tasks travel as files do.
    from benchmarks.chaos import work

    flyte.init(root=os.environ["CHAOS_ROOT"], address=os.environ["CHAOS_ADDRESS"])
    work.drive(sys.argv[1], sys.argv[2])
