"""Name the events of a run and their Arrow schema.

Invariants: an event is a fact that is never changed once stored; every column is plain (text, integer), so that
pandas, polars or DuckDB read a run's log without this package.
Knows nothing of folding, storage or Ray.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT: Final = 2
"""Version of the log's format; every format ever written stays readable."""

OPEN: Final = "OPEN"
"""A writer took the run: `body` is JSON with `epoch`, `holder`, `format`."""
TASK: Final = "TASK"
"""A task was first used: `task` is its key (name and digest of its settings), `body` the JSON of its `TaskRef`."""
CALLED: Final = "CALLED"
"""An action was asked for: `body` is the JSON of its inputs, `parent` and `task` say by whom and what,
`cache` how it uses the cache."""
STARTED: Final = "STARTED"
"""An attempt was handed to `slot`."""
SUCCEEDED: Final = "SUCCEEDED"
"""An attempt ended well: `body` is the JSON of its output. Without an attempt `cache` names the `<run>/<action>` that
made it."""
FAILED: Final = "FAILED"
"""The action failed for good: `body` is the JSON of its error."""
RETRIED: Final = "RETRIED"
"""An attempt failed and another follows: `body` is the JSON of its error."""
ABORTED: Final = "ABORTED"
"""The action was cancelled: `body` is the JSON of the reason."""
TIMED_OUT: Final = "TIMED_OUT"
"""A time limit was exceeded: `body` is the JSON of its error."""
RETURNED: Final = "RETURNED"
"""A slot handed an attempt back that it had not started: queued again, as if it had never been handed out."""
RESUMED: Final = "RESUMED"
"""A person continues the run: what failed is tried again where it is called again. With edited code `body` is JSON with
`code`, its marker, and `changed`, which task's outcomes count no more and why."""
LOST: Final = "LOST"
"""An attempt's slot was lost: `body` says how, and whether the attempt is suspected to have caused it; the action is
queued again."""
RENEWED: Final = "RENEWED"
"""A failed action is called again by a later attempt of its parent, with a new budget; or one that had succeeded is to
run again with edited code. `task` and `cache` are given where they are others than before; an empty `cache` is none."""
PAUSED: Final = "PAUSED"
"""A condition waits for its signal."""
RECOVERED: Final = "RECOVERED"
"""The outcome of an earlier run is taken over: `body` is the JSON of its output, `cache` names the `<run>/<action>`
that made it."""
DIVERGED: Final = "DIVERGED"
"""A replayed action called something else than is on record: `body` is JSON with both calls."""
LOGGED: Final = "LOGGED"
"""Text that an attempt printed: `body`."""
TRACED: Final = "TRACED"
"""A step of an attempt ended: `task` is the traced function's name and the step's key, `body` the JSON of its inputs,
its start and end in microseconds, and its output or items, or its error and whether it may be tried again."""

KINDS: Final = (
    OPEN,
    TASK,
    CALLED,
    STARTED,
    SUCCEEDED,
    FAILED,
    RETRIED,
    ABORTED,
    TIMED_OUT,
    RETURNED,
    LOST,
    RENEWED,
    RESUMED,
    PAUSED,
    RECOVERED,
    LOGGED,
    TRACED,
    DIVERGED,
)


class Event(NamedTuple):
    """One row of the log; times are microseconds since the epoch (UTC), as the ledger saw them."""

    kind: str
    at: int
    action: str = ""
    attempt: int = 0
    parent: str | None = None
    task: str | None = None
    group: str | None = None
    slot: str | None = None
    body: str | None = None
    context: str | None = None
    cache: str | None = None


def new_event(
    kind: str,
    at: int,
    action: str = "",
    attempt: int = 0,
    *,
    parent: str | None = None,
    task: str | None = None,
    group: str | None = None,
    slot: str | None = None,
    body: str | None = None,
    context: str | None = None,
    cache: str | None = None,
) -> Event:
    """Make an event; the same as `Event`, in a third of its time, and an action has three of them."""
    return tuple.__new__(Event, (kind, at, action, attempt, parent, task, group, slot, body, context, cache))


def arrow_schema() -> pa.Schema:
    """Build the schema of a log segment: one row per event, in the order of `Event`'s fields."""
    import pyarrow as pa  # slow to import; the pure part of the ledger does without it

    return pa.schema(
        [
            ("kind", pa.string()),
            ("at", pa.timestamp("us", tz="UTC")),
            ("action", pa.string()),
            ("attempt", pa.int32()),
            ("parent", pa.string()),
            ("task", pa.string()),
            ("group", pa.string()),
            ("slot", pa.string()),
            ("body", pa.string()),
            ("context", pa.string()),
            ("cache", pa.string()),
        ]
    )
