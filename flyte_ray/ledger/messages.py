"""Define what slots and ledger say to each other.

Both directions are numbered streams: each message carries every item that the other side has not acknowledged, so
that a lost, repeated or reordered message, and a restarted ledger, are one and the same harmless case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class TaskRef(NamedTuple):
    """What the ledger needs to know of a task to hand it out; sent once per slot and task."""

    key: str
    """Digest of all other fields."""
    name: str
    module: str
    """Importable module, or `""` where the function travels by value."""
    qualname: str
    pickled: str | None
    """URI of the function by value, or None."""
    shape: str
    """Key of the Ray options; slots of one shape are interchangeable."""
    options: str
    """JSON of the Ray options."""
    retries: int
    backoff: tuple[float, float, float | None] | None
    """Seconds of the first delay, factor, and cap."""
    short_name: str


class Call(NamedTuple):
    """A slot's action asks for a child."""

    action: str
    parent: str
    task: str
    inputs: str
    group: str | None
    generation: int
    """User failures of the parent so far: a child that failed before the last of them is tried again."""
    told: bool
    """The slot runs it itself already; the ledger only records it."""


class Result(NamedTuple):
    """An attempt ended."""

    action: str
    attempt: int
    kind: str
    """SUCCEEDED, FAILED or ABORTED."""
    body: str
    retry: bool
    """Whether a failure may be retried."""
    seconds: float
    """How long it ran, without the time its slot ran others on top of it."""
    log: str | None


class Work(NamedTuple):
    """An attempt that a slot shall run."""

    action: str
    parent: str | None
    attempt: int
    task: str
    inputs: str
    generation: int
    group: str | None
    replay: bool
    """Whether children of this action may be on record already."""


class Outcome(NamedTuple):
    """A child ended: for the parent that waits for it."""

    action: str
    kind: str
    body: str


class Cancel(NamedTuple):
    """Stop an action: it was aborted, or it ran out of time."""

    action: str
    reason: str


class Bye(NamedTuple):
    """The slot shall end."""

    reason: str


Item = Call | Result
Order = Work | Outcome | Cancel | Bye


@dataclass(slots=True)
class Message:
    """Slot to ledger."""

    slot: str
    run: str
    shape: str
    seq: int
    """Counts the slot's messages; a newer one supersedes an older that still waits for its answer."""
    epoch: int
    """The ledger's incarnation that the slot last heard from."""
    first: int
    """Number of the first of `items`."""
    items: list[Item]
    received: int
    """All orders below this number have arrived."""
    tasks: dict[str, TaskRef]
    held: list[tuple[str, int]]
    """(action, attempt) of all that it runs or waits for: used when the ledger is new."""
    want: int
    """How many actions it can take now."""
    blocked: list[str]
    """If not empty: everything in it waits; ids of its waiting actions, the top of the stack first."""
    lone: list[str]
    """Those of `blocked` that wait for one child only."""
    about: dict[str, Any] = field(default_factory=dict)
    """Once: pid, node, host, python and ray versions."""


@dataclass(slots=True)
class Reply:
    """Ledger to slot."""

    epoch: int
    first: int
    orders: list[Order]
    received: int
    """All items below this number have arrived."""
    committed: int
    """All items below this number are stored."""
    tasks: dict[str, TaskRef]
    may_tell: bool
    superseded: bool = False
