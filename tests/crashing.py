"""Runs one pipeline again and again, each time crashing at another point of it, and continues it after each crash.

`python -m tests.crashing FOLDER` prints a JSON line per crash. Each run is a process of its own, forked from one that
has imported everything, and is ended by SIGKILL.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

import flyte_ray as flyte
from flyte_ray.api.runner import Runner
from flyte_ray.errors import BaseRuntimeError, RunNotFoundError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.log import read_segments
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from flyte_ray.testing import FaultPlan

env = flyte.TaskEnvironment("crashing")
NAME = "pipeline"


def note(effects: str) -> None:
    """Leave a side effect that no crash takes back, and let what is recorded so far be stored now and then."""
    context = flyte.ctx()
    with open(effects, "a") as file:
        file.write(f"{context.action_name} {context.attempt_number}\n")


@flyte.trace
def drawn(x: int) -> int:
    return x * 10


@env.task
def table(n: int, effects: str) -> pa.Table:
    note(effects)
    return pa.table({"x": range(n)})


@env.task(retries=1)
def summed(rows: pa.Table, effects: str) -> int:
    note(effects)
    if flyte.ctx().attempt_number == 0:
        flyte.ctx().checkpoint.save_sync(b"first")
        raise ValueError("the first attempt fails")
    return drawn(int(sum(rows.column("x").to_pylist())))


@env.task(cache=flyte.Cache("override", "1"))
def kept(x: int) -> int:
    return x + 1


@env.task
def refused(effects: str) -> int:
    note(effects)
    raise KeyError("never")


@env.task
def pipeline(effects: str) -> list[int]:
    note(effects)
    found = list(flyte.map(kept, range(3)))
    found.append(summed(table(4, effects), effects))
    try:
        found.append(refused(effects))
    except BaseRuntimeError:
        found.append(-1)
    return found


def start(root: Path, effects: str, plan: FaultPlan) -> None:
    flyte.init(root=root)
    Runner(mode="local", name=NAME, faults=plan).run(pipeline, effects=effects)


def go_on(root: Path, effects: str) -> None:
    """Continue the run, as a person would, or start it where nothing of it is on record."""
    flyte.init(root=root)
    try:
        run = flyte.remote.Run.get(NAME)
        if not run.done():
            run.resume()
    except RunNotFoundError:
        start(root, effects, FaultPlan())


def forked(what: Callable[[], object]) -> int:
    """Do something in a process of its own; return how that ended."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            what()
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def executed_again(root: Path) -> int:
    """Count the attempts that began although a stored segment said that their action had succeeded."""
    succeeded: set[str] = set()
    again = 0
    for _, segment in read_segments(open_store(root), RunId(NAME)):
        for event in segment.events:
            again += event.kind == kinds.STARTED and event.action in succeeded
            succeeded |= {event.action} if event.kind == kinds.SUCCEEDED else set()
    return again


def told(root: Path) -> object:
    flyte.init(root=root)
    run = flyte.remote.Run.get(NAME)
    phases = sorted(action.phase.value for action in flyte.remote.Action.listall(NAME))
    return run.phase.value, run.outputs(pipeline), phases


def count_points(root: Path, effects: str) -> Counter[str]:
    plan = FaultPlan()

    def count() -> None:
        start(root, effects, plan)
        Path(root, "seen.json").write_text(json.dumps(plan.seen))

    assert forked(count) == 0
    return Counter(json.loads(Path(root, "seen.json").read_text()))


def main(folder: Path) -> None:
    points = count_points(folder / "calm", str(folder / "calm.effects"))
    calm = told(folder / "calm")
    for point, count in sorted(points.items()):
        for nth in sorted({1, (count + 1) // 2, count}):
            root, effects = folder / f"{point}-{nth}", str(folder / f"{point}-{nth}.effects")
            ended = forked(lambda: start(root, effects, FaultPlan(point, nth)))  # noqa: B023 - called at once
            went_on = forked(lambda: go_on(root, effects))  # noqa: B023 - called at once
            line = {
                "point": point,
                "nth": nth,
                "of": count,
                "crashed": ended == -signal.SIGKILL,
                "went_on": went_on == 0,
                "same": went_on == 0 and told(root) == calm,
                "again": executed_again(root),
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    from tests import crashing  # not as __main__, so that its tasks are imported like a user's

    crashing.main(Path(sys.argv[1]))
