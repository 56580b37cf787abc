"""Read inputs and outputs of an action: what they are, rows of tables, and what can be downloaded.

Invariants: nothing is unpickled; nothing is read but what lies with runs, and the files in object stores that a `File`
of that very action names. What else a value says of places leads nowhere, and of the root nothing is sent but the data
of its runs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse

from flyte_ray.api.run import Run
from flyte_ray.api.settings import current_store
from flyte_ray.apps.http_api.asking import named
from flyte_ray.apps.http_api.reading import folded_runs
from flyte_ray.errors import ObjectMissing, StoreError
from flyte_ray.ledger.detail import texts_of
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.folded import FoldedRun
from flyte_ray.ledger.messages import read_ref
from flyte_ray.ledger.overview import pick_action
from flyte_ray.ledger.state import ActionState
from flyte_ray.runtime.blobs import RunBlobs
from flyte_ray.storage.files import open_uri
from flyte_ray.storage.providers import STORES, protocol_of
from flyte_ray.types.grids import MOST_ROWS, read_grid, read_schema
from flyte_ray.types.previews import Stored, preview
from flyte_ray.types.references import is_located, place_of

_log: Final = logging.getLogger("flyte_ray")
Side = Literal["inputs", "outputs"]
CHUNK: Final = 1 << 20
HEADERS: Final = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}
"""A file may be HTML, or an image that holds scripts: none of it runs."""


def values_router() -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/api/runs/{run}/actions/{action}/values/{side}/{name}", tags=["read"])
    router.add_api_route("/rows", get_rows, methods=["GET"])
    router.add_api_route("/content", get_content, methods=["GET"], response_class=StreamingResponse)
    return router


def describe_values(run: FoldedRun, action: str, events: list[Event]) -> dict[str, Any]:
    """Return `inputs` and `outputs` of an action, each described; see `preview`."""
    return {side: [_describe(each) for each in stored] for side, stored in _stored(run, action, events).items()}


def get_rows(
    run: str,
    action: str,
    side: Side,
    name: str,
    start: Annotated[int, Query(ge=0)] = 0,
    count: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 100,
) -> dict[str, Any]:
    """Return some rows of a table: `columns`, `types`, `rows` (lists of JSON values), `total`."""
    return read_grid(_find(run, action, side, name), start, count)


def get_content(run: str, action: str, side: Side, name: str, path: str = "") -> Response:
    """Send a value as a file: its bytes, JSON or text; `path` names a file of a folder."""
    stored = _find(run, action, side, name)
    data = stored.inline_bytes()
    shown = stored.file_name if not path else path.rpartition("/")[2]
    is_image = stored.is_image and not path
    kind = "inline" if is_image else "attachment"
    headers = {**HEADERS, "Content-Disposition": f"{kind}; filename*=UTF-8''{quote(shown, safe='')}"}
    media = stored.media_type if is_image else "application/octet-stream"
    if data is not None:
        return Response(data, media_type=media, headers=headers)
    return StreamingResponse(_chunks(_readable(stored, path), stored), media_type=media, headers=headers)


def _readable(stored: Stored, path: str) -> str:
    """Return the URL of what may be read on behalf of a client."""
    uri = str(stored.uri)
    if not stored.is_own and not _is_file_elsewhere(stored, uri):
        raise ValueError(
            f"{stored.name!r} should lie with its run, or be a File in an object store outside of the root, to be"
            f" downloaded here, but lies at {uri}. Get it there."
        )
    if not path:
        return uri
    contents = stored.blobs.contents(stored.blobs.relative(uri) or "")
    if contents is None or path not in contents or ".." in path.split("/"):
        raise ObjectMissing(f"{uri}/{path}", f"Folder {stored.name!r} has no file {path!r}.")
    return f"{uri}/{path}"


def _is_file_elsewhere(stored: Stored, uri: str) -> bool:
    """Whether it is a `File` in an object store, and not a part of the root, where tokens lie."""
    if not isinstance(stored.raw, dict) or not is_located(stored.raw) or protocol_of(uri) not in STORES:
        return False
    return ".." not in uri.split("/") and not uri.startswith(f"{current_store().uri.rstrip('/')}/")


def _chunks(uri: str, stored: Stored) -> Iterator[bytes]:
    with open_uri(uri, "rb", {name: dict(each) for name, each in stored.blobs.options.items()}) as file:
        while data := file.read(CHUNK):
            yield data


def _describe(stored: Stored) -> dict[str, Any]:
    try:
        found = preview(stored)
        if found["kind"] == "table":
            schema, rows = read_schema(stored)
            found.update(schema=schema, rows=found["rows"] if rows is None else rows)
    except (ObjectMissing, StoreError, OSError, ValueError) as error:  # what it refers to may be gone: say so there
        _log.debug("a value cannot be shown", exc_info=True)
        return {**preview(Stored(stored.name, None, stored.blobs)), "preview": f"{error}", "value": None}
    return found


def _find(run: str, action: str, side: Side, name: str) -> Stored:
    folded = folded_runs().get(named(run))
    with folded.lock:
        pick_action(folded.state.actions, run, action)
    found = _stored(folded, action, folded.read_events(action))[side]
    for each in found:
        if each.name == name:
            return each
    others = ", ".join(each.name for each in found) or "none"
    raise ObjectMissing(f"{run}/{action}/{side}/{name}", f"Action {action} of run {run!r} has of {side}: {others}.")


def _stored(run: FoldedRun, action: str, events: list[Event]) -> dict[Side, list[Stored]]:
    texts, blobs = texts_of(events), Run(current_store(), run.state.id).blobs()
    item = run.state.actions[action]
    inputs = [Stored(name, raw, blobs) for name, raw in json.loads(texts.inputs or "{}").items()]
    result = texts.result if item.has_succeeded else None
    return {"inputs": inputs, "outputs": _outputs(run, item, result, blobs)}


def _outputs(run: FoldedRun, item: ActionState, result: str | None, blobs: RunBlobs) -> list[Stored]:
    """Name outputs as Flyte does: `o0`, `o1`, …; nothing where a task returns nothing."""
    raw = json.loads(result) if result else None
    if raw is None:
        return []
    ref = run.state.tasks.get(item.task)
    if not ref or read_ref(ref).outputs < 2:
        return [Stored("o0", raw, blobs)]
    place, parts = place_of(raw)
    blobs = blobs.elsewhere(place) if place else blobs
    return [Stored(f"o{number}", part, blobs) for number, part in enumerate(parts)]
