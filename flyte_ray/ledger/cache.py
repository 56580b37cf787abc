"""Answer calls with outcomes that earlier runs have kept, and keep new ones.

Invariants: an outcome is kept only after its segment is stored, and used only while all that it refers to is there;
where anything about the cache fails, the action runs. What several threads share is guarded by the desk's lock.
"""

from __future__ import annotations

import json
import logging
import threading
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final, NamedTuple

from flyte_ray.errors import ObjectMissing
from flyte_ray.ledger.outputs import take
from flyte_ray.ledger.paths import cache_key
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store
from flyte_ray.types.digest import signers

THREADS: Final = 8
"""Requests to the store at a time."""
FINISH_S: Final = 30.0
"""How long the end of a run waits for its outcomes to be kept."""
BATCH: Final = 64
"""Most questions that one thread answers together."""
_log = logging.getLogger("flyte_ray.cache")


class CacheUse(NamedTuple):
    """How a call uses the cache."""

    key: str
    version: str
    max_age_s: float | None
    serialize: bool
    """It waits for an equal action that runs."""
    look_up: bool
    """False only keeps the outcome."""
    follows: tuple[str, ...]
    """The project's functions that the version depends on."""

    def dump(self) -> str:
        """Write for the record."""
        return json.dumps(self, separators=(",", ":"))

    @staticmethod
    def load(text: str) -> CacheUse:
        """Read from the record."""
        key, version, max_age_s, serialize, look_up, follows = json.loads(text)
        return CacheUse(key, version, max_age_s, serialize, look_up, tuple(follows))


@dataclass(frozen=True)
class Kept:
    """An outcome that may be used."""

    source: str
    """`<run>/<action>` that made it."""
    output: str
    """JSON of the output, with the place of what it refers to."""


class Question(NamedTuple):
    """What an action asks the cache."""

    action: str
    use: CacheUse
    key: str | None
    """As of its run."""


@dataclass
class RunCache:
    """What one run asks, and has to keep; guarded by the ledger's lock."""

    place: str
    """Where the run's large values lie."""
    key: str | None = None
    """Id of the key that its pickles are signed with: it has no use for those of others."""
    questions: list[Question] = field(default_factory=list)
    outcomes: deque[tuple[int, CacheUse, ActionState]] = field(default_factory=deque)
    """To be kept when so many events are stored."""
    over: list[tuple[str, str]] = field(default_factory=list)
    """Keys and ids of actions that ended without an outcome."""
    open: set[str] = field(default_factory=set)
    """Actions whose question is not answered yet."""
    _asked: set[str] = field(default_factory=set)

    def asks(self, action: ActionState) -> bool:
        """Whether an action must wait for the cache's answer before it may be handed out."""
        if action.id in self.open:
            return True
        if action.cache is None or action.attempts or action.id in self._asked:
            return False
        use = CacheUse.load(action.cache)
        if not use.look_up and not use.serialize:
            return False
        self._asked.add(action.id)
        self.open.add(action.id)
        self.questions.append(Question(action.id, use, self.key))
        return True

    def ended(self, action: ActionState, *, succeeded: bool, mark: int) -> None:
        """Take note of an action's end; `mark` is the number of events up to it."""
        if action.cache is None or action.cached_from:
            return
        use = CacheUse.load(action.cache)
        if succeeded:
            self.outcomes.append((mark, use, action))
        elif use.serialize:
            self.over.append((use.key, action.id))


class CacheDesk:
    """The cache of one root, for all runs of a ledger."""

    def __init__(
        self,
        store: Store,
        now_us: Callable[[], int],
        answer: Callable[[RunId, list[tuple[str, Kept | None]]], set[str]],
    ) -> None:
        """Prepare; threads start with the first question.

        Args:
            store: The root.
            now_us: The clock.
            answer: Takes answers, called on a thread of the desk; returns the actions that do not wait any more.

        """
        self._store, self._now_us, self._answer = store, now_us, answer
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._writes: dict[RunId, list[Future[None]]] = {}
        self._leaders: dict[str, tuple[RunId, str]] = {}
        """Who computes what others wait for, by key."""
        self._followers: dict[str, list[tuple[RunId, Question]]] = {}

    def attend(self, run: RunId, cache: RunCache, stored: int) -> None:
        """Take up what a run asks and what it has to keep; call with the ledger's lock held."""
        questions, cache.questions = cache.questions, []
        size = min(BATCH, ceil(len(questions) / THREADS) or 1)
        for start in range(0, len(questions), size):
            self._submit(self._look_up, run, questions[start : start + size])
        while cache.outcomes and cache.outcomes[0][0] <= stored:
            _, use, action = cache.outcomes.popleft()
            write = self._submit(
                self._keep, run, cache.place, use, action.id, action.task_name, action.result or "null"
            )
            self._writes[run] = [*(each for each in self._writes.get(run, []) if not each.done()), write]
        over, cache.over = cache.over, []
        for key, name in over:
            self._submit(self._release, key, run, name)

    def finish(self, run: RunId) -> None:
        """Wait until the outcomes of a run that has ended are kept, and let go of what it computes for others.

        A store that hangs with one of them keeps the end of the run for `FINISH_S` at most.
        """
        wait(self._writes.pop(run, []), timeout=FINISH_S)  # what went wrong has been logged
        with self._lock:
            led = [(key, name) for key, (leader, name) in self._leaders.items() if leader == run]
        for key, name in led:
            self._release(key, run, name)

    def close(self) -> None:
        """End the threads, when what they do is done."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def _submit(self, work: Callable[..., None], *args: Any) -> Future[None]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, "flyte-ray-cache")
        return self._pool.submit(work, *args)

    def _look_up(self, run: RunId, questions: list[Question]) -> None:
        answers: list[tuple[str, Kept | None]] = []
        for question in questions:
            kept = self._look(question)
            if kept is None and question.use.serialize:
                if not self._leads(run, question):
                    continue
                kept = self._look(question)  # the last leader may have kept its outcome since
            answers.append((question.action, kept))
        gone = self._answer(run, answers)
        hits = {name for name, kept in answers if kept is not None}
        for name, use, _ in questions:
            if use.serialize and name in gone | hits:
                self._release(use.key, run, name)

    def _look(self, question: Question) -> Kept | None:
        try:
            return self._find(question.use, question.key) if question.use.look_up else None
        except Exception:  # a cache that cannot be read must not end a run
            _log.exception("the cache could not be asked for %s: it runs", question.action)
            return None

    def _leads(self, run: RunId, question: Question) -> bool:
        key = question.use.key
        with self._lock:
            if self._leaders.setdefault(key, (run, question.action)) == (run, question.action):
                return True
            self._followers.setdefault(key, []).append((run, question))
            return False

    def _find(self, use: CacheUse, signer: str | None) -> Kept | None:
        try:
            entry = json.loads(self._store.get(cache_key(use.key)))
        except (ObjectMissing, ValueError):
            return None
        # Entries of the first versions have none.
        if entry.pop("checksum", None) not in (None, _checksum(entry)):
            return None
        if use.max_age_s is not None and self._now_us() - entry["at_us"] > use.max_age_s * 1e6:
            return None
        if signers(entry["output"]) - {signer}:
            return None
        text = json.dumps(entry["output"], separators=(",", ":"), ensure_ascii=False)
        output = take(self._store, entry["place"], text)
        return None if output is None else Kept(f"{entry['run']}/{entry['action']}", output)

    def _keep(self, run: RunId, place: str, use: CacheUse, action: str, task: str, output: str) -> None:
        entry = {
            "task": task,
            "version": use.version,
            "run": run,
            "action": action,
            "at_us": self._now_us(),
            "place": place,
            "output": json.loads(output),
        }
        try:
            text = json.dumps({**entry, "checksum": _checksum(entry)}, ensure_ascii=False)
            # Half a surrogate pair has no bytes; JSON has this way of writing it.
            self._store.put(cache_key(use.key), text.encode("utf-8", "backslashreplace"))
        except Exception:  # a cache that cannot be written must not end a run
            _log.exception("the outcome of %s of run %s could not be kept: it will be computed again", action, run)
        if use.serialize:
            self._release(use.key, run, action)

    def _release(self, key: str, run: RunId, name: str) -> None:
        """Have the next one compute what this action does not compute any more, or has computed."""
        with self._lock:
            if self._leaders.get(key) != (run, name):
                return
            del self._leaders[key]
            followers = self._followers.pop(key, [])
        for follower, question in followers:
            try:
                self._look_up(follower, [question])
            except Exception:  # what ends one run must not keep others waiting
                _log.exception("run %s could not be told of the outcome that it waits for", follower)


def _checksum(entry: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(entry, sort_keys=True).encode()):08x}"
