"""Define what slots and ledger say to each other.

Both directions are numbered streams, and carry what is new. Items that are missing before a message (one was lost, or
the ledger has restarted) are answered with the number from which to send again; a slot that misses orders, or whose
message was not answered, asks for all from the first that it has not received. So loss, repetition, reordering and a
restart are one and the same harmless case.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Final, NamedTuple

OUT_OF_MEMORY: Final = "OUT_OF_MEMORY"
"""Kind of a `Result`: the attempt exceeded its memory, and its slot's process ends with it."""
REPLACED: Final = "another attempt has taken its place"
"""Reason of a `Cancel` after which the end of an attempt says nothing of its action."""
DISPLACED: Final = "DISPLACED"
"""Kind of a `Result`: the attempt waited for a signal in the way of others, or was replaced: another one follows."""
CONDITION: Final = "condition"
"""Shape of what no slot runs, because it waits for a person's signal."""


class Limits(NamedTuple):
    """Bounds of a task; None is no bound."""

    max_runtime_s: float | None = None
    """Of each attempt, in seconds."""
    max_queued_s: float | None = None
    """Of each attempt's wait for a slot, in seconds."""
    deadline_s: float | None = None
    """Of all attempts together, in seconds."""
    retry_timeouts: bool = True
    """Whether an attempt that exceeded `max_runtime_s` is retried like a failed one."""
    memory_request: int | None = None
    """In bytes."""
    memory_limit: int | None = None
    """What an attempt may use at most, in bytes."""
    grow: bool = False
    """Whether an attempt has `memory_request` at first, and after each excess twice as much, up to the limit."""
    retry_oom: bool = True
    """Whether an attempt that exceeded its memory is retried like a failed one."""


class Pool(NamedTuple):
    """Processes that stay for other actions, and other runs; mirrors `ReusePolicy`."""

    environment: str
    """Whose they are."""
    least: int
    most: int
    """Processes at a time; at least 1."""
    concurrency: int
    """Actions that run at a time in each of them."""
    idle_s: float
    """After so long without any action all of them end."""
    scaledown_s: float
    """After so long without an action one of them ends, down to `least`."""
    of_run: bool
    """Whether they belong to one run alone."""


class TaskRef(NamedTuple):
    """What the ledger needs to know of a task to hand it out, and a slot to find it."""

    name: str
    module: str
    """Importable module, or `""` where the function travels by value."""
    qualname: str
    pickled: str | None
    """The function by value, base64; None where it is imported."""
    shape: str
    """Key of the Ray options; slots of one shape are interchangeable."""
    options: str
    """JSON of the Ray options."""
    retries: int
    backoff: tuple[float, float, float | None] | None
    """Seconds of the first delay, factor, and cap."""
    is_async: bool
    limits: Limits | None = None
    """None if it has none."""
    bodies: tuple[tuple[str, str], ...] | None = None
    """Names and short digests of what its function is made of, see `read_parts` in `spec/body.py`; None if unknown."""
    outputs: int = 1
    """How many outputs it has; more than one if it returns `tuple[A, B]`."""
    pool: Pool | None = None
    """The processes that it runs in, if they are kept for others."""
    queue: str | None = None
    """The queue whose limits hold for it, which its shape tells apart; None for none."""

    @property
    def is_condition(self) -> bool:
        """Whether it is no task, but a condition that waits for its signal."""
        return self.shape == CONDITION

    @property
    def is_timed(self) -> bool:
        """Whether its attempts' time is limited: the slot may be ended for them."""
        return self.limits is not None and bool(self.limits.max_runtime_s or self.limits.deadline_s)

    @property
    def runs_alone(self) -> bool:
        """Whether its attempts share their slot with nothing but their own children, because it may be ended."""
        return self.is_timed and self.pool is None  # who has a pool wants its processes shared

    @property
    def is_never_stacked(self) -> bool:
        """Whether nothing else, not even its children, may be in its slot: what that uses would count as its own."""
        return self.limits is not None and bool(self.limits.memory_limit) and self.pool is None

    @property
    def key(self) -> str:
        """The task's name and a digest of the rest, so that a run may use a task with different settings."""
        return f"{self.name}@{hashlib.sha256(json.dumps(self).encode()).hexdigest()[:10]}"

    def means(self, other: TaskRef) -> bool:
        """Whether it is the same as another one; by value a function has other bytes in every process."""
        return self._replace(pickled=None) == other._replace(pickled=None)

    def delay_s(self, retry: int) -> float:
        """Seconds to wait before retry number `retry`, counted from 0."""
        if self.backoff is None:
            return 0.0
        base, factor, cap = self.backoff
        delay = base * factor ** min(retry, 1000)
        return delay if cap is None else min(delay, cap)


def read_ref(body: str) -> TaskRef:
    """Read a task's reference from its JSON, also of a version that knew fewer fields."""
    ref = TaskRef(*json.loads(body))
    backoff = (ref.backoff[0], ref.backoff[1], ref.backoff[2]) if ref.backoff else None
    bodies = tuple((name, digest) for name, digest in ref.bodies) if ref.bodies is not None else None
    limits, pool = Limits(*ref.limits) if ref.limits else None, Pool(*ref.pool) if ref.pool else None
    return ref._replace(backoff=backoff, limits=limits, bodies=bodies, pool=pool)


class Call(NamedTuple):
    """A slot's action asks for a child."""

    action: str
    parent: str
    task: str
    inputs: str
    group: str | None
    context: str | None
    """JSON of the custom context, None if it is empty."""
    told: bool
    """The slot runs it itself already; the ledger only records it."""
    cache: str | None = None
    """How it uses the cache, see `ledger/cache.py`; None if it does not."""


class Result(NamedTuple):
    """An attempt ended."""

    action: str
    attempt: int
    kind: str
    """SUCCEEDED, FAILED, ABORTED, `OUT_OF_MEMORY` or `DISPLACED`."""
    body: str
    retry: bool
    """Whether a failure may be retried."""
    seconds: float
    """How long it held its slot: without the time in which it waited for children."""
    log: tuple[int, str] | None
    """What it printed since the last `Log`: the number of its first character within the attempt, and the text."""


class Log(NamedTuple):
    """An attempt printed something, and goes on."""

    action: str
    attempt: int
    start: int
    """Number of the first character of `text`, counted from 0 within the attempt."""
    text: str


class Return(NamedTuple):
    """A slot hands back an attempt that it has not started."""

    action: str
    attempt: int


class Step(NamedTuple):
    """A step of an attempt ended: what `flyte.trace` keeps for the next one."""

    action: str
    attempt: int
    key: str
    """Names the step within its action."""
    name: str
    """Qualified name of the traced function."""
    group: str | None
    body: str
    """JSON of its record; only slots read it."""


class Drop(NamedTuple):
    """A parent does not want a child any more."""

    action: str
    reason: str


class Work(NamedTuple):
    """An attempt that a slot shall run."""

    action: str
    parent: str | None
    attempt: int
    task: str
    inputs: str
    group: str | None
    context: str | None
    replay: bool
    """Whether children of this action may be on record already."""
    steps: tuple[tuple[str, str], ...] = ()
    """Keys and records of steps of its earlier attempts."""
    watched: bool = False
    """The slot shall say at once when its code begins or goes on, because its slots were lost before."""


class Outcome(NamedTuple):
    """A child ended: for the parent that waits for it."""

    action: str
    kind: str
    body: str
    on_record: bool = True
    """False if it answers this one call and says nothing of the child: a ledger that restarts must not hear of it."""


class Cancel(NamedTuple):
    """Stop an action: it was aborted, or it ran out of time."""

    action: str
    reason: str


class Bye(NamedTuple):
    """The slot shall end."""

    reason: str


Item = Call | Result | Return | Drop | Step | Log
Order = Work | Outcome | Cancel | Bye


class Held(NamedTuple):
    """What a slot hands in to a ledger that has restarted; both may be stored already."""

    works: list[Work]
    """All it runs, or has received and not started."""
    awaiting: list[str]
    """Children that its actions wait for."""
    outcomes: list[Outcome]
    """Outcomes received that were not stored when last heard of."""
    called: tuple[str, ...] = ()
    """What those of `works` that replay have called so far."""


@dataclass(slots=True)
class Message:
    """Slot to ledger."""

    slot: str
    run: str
    shape: str
    seq: int
    """Counts the slot's messages; a newer one supersedes an older that still waits for its answer."""
    epoch: int
    """The ledger's incarnation that the slot last heard from; 0 before the first answer."""
    first: int
    """Number of the first of `items`."""
    items: list[Item]
    received: int
    """All orders below this number have arrived."""
    tasks: dict[str, TaskRef]
    want: int
    """How many actions it can take now."""
    waiting: frozenset[str] = frozenset()
    """Actions in it that wait for children, while nothing else in it runs."""
    lone: frozenset[str] = frozenset()
    """Those of `waiting` that wait for one child only."""
    buried: bool = False
    """A sync action waits on its main thread: what is stacked above delays it."""
    calling: bool = False
    """What runs in it has open calls: it may wait for them in a way that does not lend the CPU."""
    active: str = ""
    """The action that runs the user's code; empty if none does."""
    held: Held | None = None
    """Given where the ledger is new to the slot."""
    about: dict[str, str] = field(default_factory=dict)
    """Once: pid, host, node, python and ray versions."""
    waits_for_store: str = ""
    """Why the store does not answer it; empty if it does, or is not asked."""
    ends: bool = False
    """Its process is being ended: it takes no more work, and what it holds is not to blame."""
    ahead: int = 0
    """How many more short actions it can take while it runs what it has; 0 where it asks by `want`, or has none."""
    missed: bool = False
    """A reply may have been lost: send all orders from `received` on again."""


@dataclass(slots=True)
class Reply:
    """Ledger to slot."""

    epoch: int
    first: int
    """Number of the first of `orders`."""
    orders: list[Order]
    received: int
    """All items below this number have arrived."""
    stored: int
    """All items below this number are stored."""
    settled: int
    """All orders below this number rest on stored events."""
    tasks: dict[str, TaskRef]
    may_tell: bool
    gap: bool = False
    """Items were missing: send again from `received`, with `held` if `epoch` is new."""
