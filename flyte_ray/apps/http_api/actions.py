"""Read the actions of a run: the list, one of them, what it printed and what it reported."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

from flyte_ray.api.run import Run
from flyte_ray.api.settings import again, current_store
from flyte_ray.apps.http_api.asking import named
from flyte_ray.apps.http_api.conditions import condition_ids
from flyte_ray.apps.http_api.reading import folded_runs
from flyte_ray.apps.http_api.streams import Said, said, stream
from flyte_ray.apps.http_api.values import describe_values
from flyte_ray.cluster.session import is_connected
from flyte_ray.cluster.submitted import failing_line, find_code
from flyte_ray.cluster.totals import reason_to_wait
from flyte_ray.ledger.detail import describe_detail
from flyte_ray.ledger.folded import FoldedRun
from flyte_ray.ledger.messages import read_ref
from flyte_ray.ledger.overview import describe_action, pick_action
from flyte_ray.ledger.printing import Piece, order_pieces, write_printed
from flyte_ray.runtime.report import list_reports

MOST_TEXT: Final = 1 << 20
"""Characters that are sent of a log at a time."""
SANDBOX: Final = {
    "Content-Security-Policy": "sandbox allow-scripts; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
}
"""A report is a task's own HTML: its scripts run, in a place of their own from which they reach nothing of ours."""


def actions_router() -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/api/runs/{run}", tags=["read"])
    router.add_api_route("/actions", list_actions, methods=["GET"])
    router.add_api_route("/actions/{action}", get_action, methods=["GET"])
    router.add_api_route("/actions/{action}/logs", get_log, methods=["GET"])
    router.add_api_route("/actions/{action}/logs/follow", follow, methods=["GET"], response_class=StreamingResponse)
    router.add_api_route("/actions/{action}/logs/file", get_file, methods=["GET"], response_class=PlainTextResponse)
    router.add_api_route("/actions/{action}/report", get_report, methods=["GET"], response_class=HTMLResponse)
    return router


def list_actions(run: str) -> list[dict[str, Any]]:
    """List the actions of a run in the order of their calls."""
    folded = folded_runs().get(named(run))
    with folded.lock:
        return [describe_action(item) for item in folded.state.actions.values()]


def get_action(run: str, action: str) -> dict[str, Any]:
    """Describe an action with all that is on record of it."""
    folded = _pick(run, action)
    events = folded.read_events(action)
    detail = describe_detail(folded, action, events)
    for wait in detail["waits"]:
        if wait["kind"] == "slot" and is_connected():
            wait["text"] = _need(folded, action)
    return {
        **detail,
        **describe_values(folded, action, events),
        "code": _code(folded, action, detail),
        "conditions": condition_ids(folded, action),
        "reports": _reports(run, action),
        "debug_line": again("rerun", run, "--action-name", action, "--local", *(["--pdb"] if detail["error"] else [])),
    }


def _need(run: FoldedRun, action: str) -> str:
    """Say what a queued action needs of the cluster that it has not got."""
    with run.lock:
        ref = read_ref(run.state.tasks[run.state.actions[action].task])
    needs = reason_to_wait(ref.options, ref.pool.environment if ref.pool else None)
    return f"for a place in queue '{ref.queue}', or for a slot: {needs}" if ref.queue else f"for a slot: {needs}"


def _code(run: FoldedRun, action: str, detail: dict[str, Any]) -> dict[str, Any] | None:
    """Return the task's code as it was submitted, as last used by the run, and the line of it that is `failing`."""
    with run.lock:
        ref = run.state.tasks.get(run.state.actions[action].task)
        marker = run.state.code or run.spec.get("code")
    found = find_code(current_store(), marker, run.spec.get("source", ""), read_ref(ref)) if ref else None
    if found is None:
        return None
    last = detail["error"] or (detail["attempt_list"] or [{}])[-1]
    return {**found, "failing": failing_line(found, last.get("traceback") or "")}


def _reports(run: str, action: str) -> list[int]:
    blobs = Run(current_store(), run).blobs()
    return list_reports(blobs.store, blobs.prefix, action)


def get_log(run: str, action: str, attempt: int | None = None, after: int = 0) -> dict[str, Any]:
    """Return what an attempt printed, by default the last one, as far as it is stored.

    `after` counts the attempt's characters, and so does `next`: from there to ask again.
    """
    folded = _pick(run, action)
    number = _last(folded, action) if attempt is None else attempt
    text, following = _printed(_pieces(folded, action), number, after)
    return {"attempt": number, "text": text, "next": following}


def follow(run: str, action: str, attempt: int | None = None, after: int = 0) -> StreamingResponse:
    """Follow what an attempt prints until it has ended, as server-sent events: each `text` has what is new."""
    folded = _pick(run, action)
    number = _last(folded, action) if attempt is None else attempt
    return stream(_Lines(folded, action, number, after))


def get_file(run: str, action: str, attempt: int | None = None, timestamps: bool = False) -> PlainTextResponse:
    """Return all that the attempts of an action printed, or one of them."""
    folded = _pick(run, action)
    pieces = [piece for piece in _pieces(folded, action) if attempt in (None, piece.attempt)]
    text = write_printed(pieces, with_times=timestamps)
    name = f"{run}-{action}{'' if attempt is None else f'-{attempt}'}.log"
    return PlainTextResponse(text, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def get_report(run: str, action: str, attempt: int | None = None) -> Response:
    """Return the HTML page that an attempt has reported, by default the latest; a browser shows it in a sandbox."""
    _pick(run, action)
    return HTMLResponse(Run(current_store(), run).read_report(action, attempt), headers=SANDBOX)


class _Lines:
    """What one client has not read of a log."""

    def __init__(self, run: FoldedRun, action: str, attempt: int, after: int) -> None:
        self._run, self._action, self._attempt, self._after = run, action, attempt, after
        self._places = 0

    def __call__(self) -> tuple[list[Said], bool]:
        self._run.refresh()
        with self._run.lock:
            item = self._run.state.actions[self._action]
            is_over = item.phase.is_terminal or item.attempt > self._attempt
            places = len(self._run.printed.get(self._action, ()))
        # What was read is not read again: a log may be long.
        events = self._run.read_printed(self._action, self._places) if places > self._places else []
        self._places = places
        text, self._after = _printed(order_pieces(events), self._attempt, self._after)
        told = {"attempt": self._attempt, "text": text, "next": self._after}
        news = [said("text", told, self._after)] if text else []
        return [*news, *([said("end", {})] if is_over else [])], is_over


def _printed(pieces: list[Piece], attempt: int, after: int) -> tuple[str, int]:
    """Write what an attempt printed behind a number of characters; of what is much, the last."""
    ours = [piece for piece in pieces if piece.attempt == attempt and piece.end > after]
    if not ours:
        return "", after
    end = ours[-1].end
    start = max(after, end - MOST_TEXT)
    return write_printed([_from(piece, start) for piece in ours if piece.end > start], after=after), end


def _from(piece: Piece, start: int) -> Piece:
    cut = max(0, start - piece.start)
    return piece._replace(start=piece.start + cut, text=piece.text[cut:])


def _pieces(run: FoldedRun, action: str) -> list[Piece]:
    return order_pieces(run.read_printed(action))


def _last(run: FoldedRun, action: str) -> int:
    with run.lock:
        return run.state.actions[action].attempt


def _pick(run: str, action: str) -> FoldedRun:
    folded = folded_runs().get(named(run))
    with folded.lock:
        pick_action(folded.state.actions, run, action)
    return folded
