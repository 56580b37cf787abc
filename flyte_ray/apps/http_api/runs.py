"""Read runs: the list, one of them, its tree, and how it goes on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response, StreamingResponse

from flyte_ray.api.run import Run
from flyte_ray.api.settings import current_store
from flyte_ray.api.task import TaskTemplate
from flyte_ray.apps.http_api.asking import named
from flyte_ray.apps.http_api.forms import schema_of
from flyte_ray.apps.http_api.reading import describe_folded, describe_open, folded_runs, run_list, verbs_of
from flyte_ray.apps.http_api.streams import BEAT_S, HEADERS, Said, said, stream
from flyte_ray.ledger.detail import texts_of
from flyte_ray.ledger.folded import FoldedRun
from flyte_ray.ledger.overview import Wanted, describe_run, select_runs
from flyte_ray.ledger.tree import changed_columns, critical_rows, tree_json
from flyte_ray.spec.ids import ROOT_ACTION

MOST_RUNS: Final = 1000
NUDGE_S: Final = 0.5
"""How often the ledger of a run that somebody follows is asked to store what it has recorded."""


def runs_router(tasks: Mapping[str, TaskTemplate]) -> APIRouter:
    """Make the routes; of `tasks` the types are known."""
    router = APIRouter(prefix="/api", tags=["read"])
    router.add_api_route("/runs", list_runs, methods=["GET"])
    router.add_api_route("/runs/{run}/table", get_table, methods=["GET"], response_class=Response)
    router.add_api_route("/runs/{run}/changes", follow, methods=["GET"], response_class=StreamingResponse)
    router.add_api_route("/runs/{run}/events", watch, methods=["GET"], response_class=StreamingResponse)

    @router.get("/runs/{run}")
    def get_run(run: str) -> dict[str, Any]:
        """Describe a run, with its `uri`, the JSON schema of its inputs, and what `can` be done with it.

        That is of `abort`, `resume`, `rerun` and `recover`.
        """
        folded = folded_runs().get(named(run))
        found = describe_folded(folded)
        schema = schema_of(texts_of(folded.read_events(ROOT_ACTION)).inputs, tasks.get(found["task"]))
        about = {"uri": f"{current_store().uri}/runs/{run}", "inputs_schema": schema, "can": verbs_of(found)}
        return {**found, **about}

    return router


def list_runs(
    limit: Annotated[int, Query(ge=1, le=MOST_RUNS)] = 100,
    phase: Annotated[list[str], Query()] = [],  # noqa: B006  # FastAPI's way to say that there may be none
    task: str | None = None,
    text: str = "",
    label: Annotated[list[str], Query()] = [],  # noqa: B006
    since_us: int = 0,
    before: str = "",
) -> dict[str, Any]:
    """List runs, the newest first; `next` is what to send as `before` for those that follow, null where none do.

    `text` is a part of the name, the task, who started it or a label; a `label` is `key=value`; several phases are
    alternatives, several labels must all be there.
    """
    labels = {name: value for name, _, value in (each.partition("=") for each in label)}
    wanted = Wanted(tuple(phase), task, text, labels, since_us, before)
    found: list[dict[str, Any]] = []
    place = ""
    for at, run in select_runs(current_store(), run_list().runs(), wanted, describe_open):
        if len(found) == limit:
            return {"runs": found, "next": place}
        found.append(run)
        place = at
    return {"runs": found, "next": None}


def get_table(run: str) -> Response:
    """Return a run's whole tree of actions as columns."""
    return Response(tree_json(folded_runs().get(named(run))), media_type="application/json")


def follow(
    run: str, after: int = 0, last_event_id: Annotated[int | None, Header(alias="Last-Event-ID")] = None
) -> StreamingResponse:
    """Follow a run until it has ended, as server-sent events.

    `rows` are the columns of rows that are new or have changed behind the position `after`, with their numbers in
    `row`, and at the end the `critical` ones; `run` describes the run when that has changed, and so does `end`, the
    last event. An event's id is the position behind it: who was cut off goes on from there.
    """
    return stream(Following(folded_runs().get(named(run)), after if last_event_id is None else last_event_id))


class Following:
    """What one client has not heard of a run; asked for again and again."""

    def __init__(self, run: FoldedRun, position: int) -> None:
        """Tell of a run what lies behind a position."""
        self._run = run
        self._position = position if position <= run.position else 0
        self._told: dict[str, Any] | None = None
        self._nudged_s = -1e9

    def __call__(self) -> tuple[list[Said], bool]:
        """Return the events since the last call, and whether no more will follow."""
        if not self._run.state.phase.is_terminal and time.monotonic() - self._nudged_s > NUDGE_S:
            # What nobody waits for is stored within a second, and who looks waits for it.
            self._nudged_s = time.monotonic()
            Run(current_store(), self._run.state.id).nudge()
        self._run.refresh()
        found = []
        with self._run.lock:
            columns = changed_columns(self._run, self._position)
            if columns is not None:
                self._position = columns["position"]
                if self._run.state.phase.is_terminal:
                    columns["critical"] = critical_rows(self._run)
                if columns["row"]:
                    found.append(said("rows", columns, self._position))
            is_over = self._run.state.phase.is_terminal
        described = describe_folded(self._run)
        if _still(described) != _still(self._told):
            found.append(said("run", described, self._position))
            self._told = described
        if is_over:
            found.append(said("end", described, self._position))
        return found, is_over


def _still(described: dict[str, Any] | None) -> Any:
    """Leave out of a run's description what changes though nothing happens."""
    hold = (described or {}).get("hold")
    return {**(described or {}), "hold": hold and hold["is_cut_off"]}


def watch(run: str) -> StreamingResponse:
    """Follow a run as server-sent events until it has ended: each has all that a live view shows."""
    found = Run.get(named(run))
    return StreamingResponse(_events(found), media_type="text/event-stream", headers=HEADERS)


async def _events(run: Run) -> AsyncIterator[str]:
    steps = run.watch()
    last = None
    # Each waits on a thread of its own: the loop's few are there for what ends soon.
    own = ThreadPoolExecutor(1, "flyte-ray-watch")
    try:
        while True:
            step = asyncio.get_running_loop().run_in_executor(own, next, steps, None)
            while not (await asyncio.wait((step,), timeout=BEAT_S))[0]:
                yield ": still here\n\n"
            live = step.result()
            if live is None:
                break
            text = json.dumps(live, default=str)
            if text != last:
                yield f"event: run\ndata: {text}\n\n"
            last = text
    finally:
        own.shutdown(wait=False)
    described = await asyncio.to_thread(describe_run, current_store(), run.name)
    yield said("end", described).text()
