"""Start runs when triggers fire: what is due, what was missed, and what has to wait for the last run.

Invariants: a fire is decided once, in the order of time; to start it again is harmless, because its run is named by
trigger and moment. What was decided is stored after it was done: who dies between the two does it again.
Knows nothing of Ray; clock, starter and who is active come from outside.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from flyte_ray.errors import RunAlreadyExistsError, RunFencedError, StoreError
from flyte_ray.ledger.triggers import (
    Fired,
    TriggerRecord,
    latest_keys,
    load_fired,
    put_fired,
    read_trigger,
    run_name,
)
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.schedule import at, fires, last_fire, next_fire, us_of
from flyte_ray.storage import Store

LATE_US: Final = 60_000_000
"""A fire that is noticed later than this was missed."""
AT_ONCE: Final = 1000
"""Missed fires that are made up for in one go."""
AGAIN_US: Final = 60_000_000
"""How long a revision counts as the same, so that a trigger which was deleted and made anew is noticed."""
_log: Final = logging.getLogger("flyte_ray.ledger")


def accept(record: TriggerRecord, fired: Fired, now_us: int) -> Fired:
    """Take up what has become due of an active trigger since it was looked at last."""
    schedule = record.schedule
    since = max(fired.seen_us, record.activated_us)
    if schedule is None or now_us <= since:
        return fired
    activated, until = at(record.activated_us), at(now_us)
    if record.catchup == "all":
        found = fires(schedule, at(since), until, activated)
        due = [us_of(fire) for fire in itertools.islice(found, AT_ONCE)]
        seen = due[-1] if len(due) == AT_ONCE else now_us
        return dataclasses.replace(fired, seen_us=seen, queue=(*fired.queue, *due))
    begin = max(at(since), until - timedelta(microseconds=LATE_US))
    due = [us_of(fire) for fire in fires(schedule, begin, until, activated)]
    missed = last_fire(schedule, at(since), begin, activated) if begin > at(since) else None
    made_up = record.catchup == "once" and not due and missed is not None
    if made_up and missed is not None:
        due = [us_of(missed)]
    elif missed is not None:
        fired = dataclasses.replace(fired, skipped=fired.skipped + 1)
    return dataclasses.replace(fired, seen_us=now_us, queue=(*fired.queue, *due))


@dataclass
class _Watched:
    """A trigger as it is known here."""

    key: str
    record: TriggerRecord
    fired: Fired
    next_us: int | None
    read_us: int
    stored: Fired | None = None
    """What of `fired` is known to be stored."""


class Firing:
    """Fires the triggers of a root for one ledger: `look` each few seconds, `tick` several times a second."""

    def __init__(
        self,
        store: Store,
        *,
        start: Callable[[TriggerRecord, int], None],
        is_active: Callable[[RunId], bool],
        now_us: Callable[[], int],
    ) -> None:
        """Begin to watch.

        Args:
            store: The root.
            start: Starts the run of a fire, given in microseconds since the epoch; raises `RunAlreadyExistsError` if
                there is one.
            is_active: Whether a run goes on.
            now_us: Microseconds since the epoch.

        """
        self._store, self._start, self._is_active, self._now_us = store, start, is_active, now_us
        self._watched: dict[str, _Watched] = {}
        self._told: dict[str, str] = {}
        """Why triggers cannot be used here, as was said last."""

    def look(self) -> None:
        """Read which triggers there are, and go on with those that wait for a run to end.

        Raises:
            StoreError: The root cannot be read.

        """
        keys = latest_keys(self._store)
        for name in self._watched.keys() - keys.keys():
            del self._watched[name]
        for name, key in keys.items():
            known = self._watched.get(name)
            is_known = known is not None and known.key == key and 0 <= self._now_us() - known.read_us < AGAIN_US
            if not is_known:
                self._look_at(name, key)
        for watched in list(self._watched.values()):
            if watched.fired.queue:
                self._release(watched)

    def _look_at(self, name: str, key: str) -> None:
        try:
            self._take_up(name, key)
            self._told.pop(name, None)
        except StoreError:
            raise
        except Exception as raised:  # as in _fire; such as a time zone that this machine does not know
            self._watched.pop(name, None)
            text = f"{type(raised).__name__}: {raised}"
            if self._told.get(name) != text:
                self._told[name] = text
                _log.warning("trigger %s does not fire: %s", name, text)

    def _take_up(self, name: str, key: str) -> None:
        record, known, now = read_trigger(self._store, key), self._watched.get(name), self._now_us()
        if record is None:
            self._watched.pop(name, None)
            return
        if known is not None and known.record == record and known.fired.seen_us <= now + LATE_US:
            known.read_us = now
            return
        if not record.active or record.automation is None:
            # It has to be known all the same, so that it is not read each time.
            self._watched[name] = _Watched(key, record, Fired(), None, now)
            return
        fired = load_fired(self._store, record.task, record.name)
        if fired.seen_us > now + LATE_US:  # the clock was wrong then: what is decided twice starts one run all the same
            fired = dataclasses.replace(fired, seen_us=now)
        # What waited before it was switched off does not come back when it is switched on.
        queue = tuple(fire for fire in fired.queue if fire > record.activated_us)
        watched = _Watched(key, record, dataclasses.replace(fired, queue=queue), None, now)
        self._plan(watched)
        self._watched[name] = watched

    def _plan(self, watched: _Watched) -> None:
        record = watched.record
        schedule = record.schedule
        assert schedule is not None, "what is planned fires"
        after = at(max(watched.fired.seen_us, record.activated_us))
        fire = next_fire(schedule, after, at(record.activated_us))
        watched.next_us = us_of(fire) if fire else None

    def tick(self) -> None:
        """Fire what is due.

        Raises:
            StoreError: The root cannot be written; what is due is fired the next time.

        """
        now = self._now_us()
        for watched in list(self._watched.values()):
            if watched.next_us is not None and watched.next_us <= now:
                if read_trigger(self._store, watched.key) != watched.record:
                    watched.read_us = now - AGAIN_US  # deleted, and perhaps made anew: the next look says
                    continue
                watched.fired = accept(watched.record, watched.fired, now)
                self._plan(watched)
                self._release(watched)

    def _release(self, watched: _Watched) -> None:
        """Start what waits, as far as the rule for overlaps allows, and store what was decided."""
        record = watched.record
        while watched.fired.queue:
            fired = watched.fired
            if record.overlap != "allow" and fired.last_run and self._is_active(RunId(fired.last_run)):
                if record.overlap == "skip":
                    watched.fired = dataclasses.replace(fired, queue=(), skipped=fired.skipped + len(fired.queue))
                break
            watched.fired = self._fire(record, fired)
        if watched.fired != watched.stored:
            put_fired(self._store, record, watched.fired)
            watched.stored = watched.fired

    def _fire(self, record: TriggerRecord, fired: Fired) -> Fired:
        fire_us, *rest = fired.queue
        run = run_name(record, fire_us)
        error = ""
        try:
            self._start(record, fire_us)
            _log.info("trigger %s fires for %s: run %s", record.id, at(fire_us).isoformat(), run)
        except (RunAlreadyExistsError, RunFencedError):
            pass  # this one, before it was restarted, or another ledger of the root
        except StoreError:
            raise
        except Exception as raised:  # whatever is wrong with one trigger must not keep the others from firing
            error = f"{type(raised).__name__}: {raised}"
            _log.warning("trigger %s could not start a run for %s: %s", record.id, at(fire_us).isoformat(), raised)
        fired = dataclasses.replace(fired, queue=tuple(rest), error=error)
        return fired if error else dataclasses.replace(fired, last_us=fire_us, last_run=run)
