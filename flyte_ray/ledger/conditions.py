"""Have conditions wait for their signals, and end by them or because their time is over.

A condition is an action that no slot runs: it is PAUSED until an entry in the store decides (`ledger/signals.py`). The
store and not a call to the ledger, so that whoever reaches the root can signal, also while nobody holds the run.

Invariants: the store is asked on threads of the desk, never under the ledger's lock; while it does not answer, a
condition goes on waiting; who is told of a condition is told after its PAUSED event is stored.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from flyte_ray.errors import StoreError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.callbacks import callback_uri, called_back
from flyte_ray.ledger.messages import CONDITION, Limits, TaskRef
from flyte_ray.ledger.paths import called_key, run_prefix, signals_prefix, spec_key
from flyte_ray.ledger.signals import Entry, decide, expiry_entry, find_decision, is_signal
from flyte_ray.ledger.state import ActionState
from flyte_ray.ledger.verdicts import failure
from flyte_ray.ledger.webhooks import Webhooks
from flyte_ray.spec.condition import ConditionSpec, ConditionWebhook, check_value
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store, witnessed

THREADS: Final = 4
"""Runs whose conditions are looked for at a time."""
AWAY_S: Final = 1.0
"""Pause before a store that failed is asked again."""
SHORTEST_S, LONGEST_S = 0.2, 5.0
"""Time between two looks at the store: longer the longer nobody has signalled."""
_log = logging.getLogger("flyte_ray.ledger")


def condition_ref(name: str, timeout_s: float | None) -> TaskRef:
    """Describe a condition as the ledger knows tasks."""
    shown = f"condition.{name.replace('@', '_')}"  # what stands behind an @ is no part of a task's name
    limits = None if timeout_s is None else Limits(deadline_s=timeout_s)
    return TaskRef(shown, "", "", None, CONDITION, "{}", 0, None, False, limits)


class Question(NamedTuple):
    """A condition that the store is asked about."""

    action: str
    rounds: int
    spec: ConditionSpec
    is_stored: bool
    """Whether its PAUSED event is."""
    overdue: str | None
    """JSON of the error if its time is over."""


class Decision(NamedTuple):
    """How the wait of a condition ends."""

    action: str
    rounds: int
    kind: str
    body: str


@dataclass
class _Open:
    action: ActionState
    spec: ConditionSpec
    mark: int
    overdue: str | None = None


@dataclass
class RunConditions:
    """The conditions of one run that wait; guarded by the ledger's lock."""

    _open: dict[str, _Open] = field(default_factory=dict)
    _urgent: bool = False
    """To be looked for at once."""
    _since: float = 0.0
    """When something last happened to them, and when to look next, by the desk's clock."""
    _due: float = 0.0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, action: ActionState, mark: int) -> None:
        """Take note that a condition waits; `mark` is the number of events up to its PAUSED event."""
        self._open[action.id] = _Open(action, ConditionSpec.load(action.inputs), mark)
        self._urgent = True  # it may have been signalled in an earlier round

    def discard(self, name: str) -> None:
        """Take note that an action has ended."""
        self._open.pop(name, None)

    def expire(self, name: str, error: str) -> None:
        """Take note that a condition's time is over: unless a signal is stored, it ends with this error."""
        self._open[name].overdue = error
        self._urgent = True

    def nudge(self) -> None:
        """Look for signals at once."""
        self._urgent = True

    def open(self) -> Iterable[tuple[str, ConditionSpec]]:
        """Return what waits: action and condition."""
        return [(name, each.spec) for name, each in self._open.items()]

    def due(self, now: float, stored: int) -> list[Question]:
        """Return what is to be asked now, by a clock in seconds; `stored` is the number of stored events."""
        if not self._open or not (self._urgent or now >= self._due):
            return []
        if self._urgent:
            self._urgent, self._since = False, now
        self._due = now + min(max((now - self._since) / 50, SHORTEST_S), LONGEST_S)
        return [
            Question(name, each.action.rounds, each.spec, each.mark <= stored, each.overdue)
            for name, each in self._open.items()
        ]


class ConditionDesk:
    """Asks the store about the conditions of all runs of a ledger."""

    def __init__(
        self, store: Store, now_us: Callable[[], int], answer: Callable[[RunId, list[Decision]], None]
    ) -> None:
        """Prepare; threads start with the first condition.

        Args:
            store: The root.
            now_us: The ledger's clock.
            answer: Takes what was decided, called on a thread of the desk.

        """
        self._store, self._now_us, self._answer = store, now_us, answer
        self._webhooks = Webhooks(store)
        self._pool: ThreadPoolExecutor | None = None
        self._asking: set[RunId] = set()
        self._told: dict[RunId, set[tuple[str, int]]] = {}
        """Conditions and their rounds of which the log has spoken."""

    def attend(self, run: RunId, conditions: RunConditions, stored: int) -> None:
        """Look for signals if it is time; call with the ledger's lock held, at every tick."""
        if not len(conditions) or run in self._asking:
            return
        questions = conditions.due(time.monotonic(), stored)
        if questions:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(THREADS, "flyte-ray-conditions")
            self._asking.add(run)
            self._pool.submit(self._ask, run, questions)

    def finish(self, run: RunId) -> None:
        """Forget a run that has ended."""
        self._told.pop(run, None)
        self._webhooks.forget(run_prefix(run))

    def close(self) -> None:
        """End the threads, when what they do is done."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        self._webhooks.close()

    def _ask(self, run: RunId, questions: list[Question]) -> None:
        try:
            decisions = self._decisions(run, questions)
            if decisions:
                self._answer(run, decisions)
        except StoreError as error:
            _log.warning("run %s waits for its store to look for signals: %s", run, error)
            time.sleep(AWAY_S)
        except Exception:  # whatever went wrong, the conditions go on waiting
            _log.exception("the signals of run %s could not be read, and are looked for again", run)
            time.sleep(AWAY_S)
        finally:
            self._asking.discard(run)

    def _decisions(self, run: RunId, questions: list[Question]) -> list[Decision]:
        # An empty folder in place of a disk that is away has no signals, and would hide what is decided there.
        store = witnessed(self._store, spec_key(run))
        keys = store.keys(signals_prefix(run))
        signalled = {key.rpartition("/")[2].partition("-")[0] for key in keys}
        found: list[Decision] = []
        for question in questions:
            entry: Entry | None = None
            if question.overdue is not None:
                expiry = expiry_entry(question.overdue, question.rounds, self._now_us())
                entry = decide(store, run, question.action, question.rounds, expiry)
            elif question.action in signalled:
                entry = find_decision(store, run, question.action, question.rounds)[1]
            if entry is not None:
                found.append(Decision(question.action, question.rounds, *_outcome(question.spec, entry)))
            elif question.is_stored:
                self._tell(run, question)
        return found

    def _tell(self, run: RunId, question: Question) -> None:
        spec = question.spec
        told, what = self._told.setdefault(run, set()), (question.action, question.rounds)
        if what not in told:
            told.add(what)
            how = "flyte-ray signal condition %s %s VALUE"
            _log.warning(f"run %s waits for condition %s: %s ({how})", run, spec.name, spec.prompt, run, spec.name)
        if spec.webhook is None:
            return
        about = {"run": run, "action": question.action, "name": spec.name, "prompt": spec.prompt}
        payload: dict[str, Any] = spec.webhook.payload or {**about, "data_type": spec.data_type.__name__}
        webhook = ConditionWebhook(spec.webhook.url, payload)

        def prepare() -> ConditionWebhook:
            if not webhook.names_callback:
                return webhook
            return called_back(webhook, callback_uri(self._store, run, question.action))

        self._webhooks.call(called_key(run, question.action, question.rounds), prepare)


def _outcome(spec: ConditionSpec, entry: Entry) -> tuple[str, str]:
    """Return the event that an entry is for its condition: kind and body."""
    if not is_signal(entry):
        return kinds.TIMED_OUT, json.dumps(entry["error"])
    try:
        value = check_value(entry["value"], spec.data_type)
    except TypeError as error:  # the entry was not written by us
        return kinds.FAILED, failure("ConditionFailedError", "user", f"Condition '{spec.name}': {error}")
    return kinds.SUCCEEDED, json.dumps({"value": value, "by": entry["by"], "at_us": entry["at_us"]}, ensure_ascii=False)
