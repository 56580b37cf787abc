"""Notice that a replayed action calls something else than its earlier attempts did.

An attempt that follows another makes the same calls again and finds their outcomes on record. If its calls depend on
chance, on the clock or on the order of outcomes, it makes others, and what was computed is lost without a word.

Invariants: an attempt is judged when it ends, or when it waits for nothing but its children and has heard all that is
known of them; before, it may still call what is on record. What was first called after an outcome that a renewal took
back is not expected again, because it may have followed from that outcome; nor is what other code called. With
`strict`, a new call is held while something is expected: it is not on record, does not run, and its slot keeps it for
the ledger after this one.
Called with the service's lock held.
"""

from __future__ import annotations

import json
import logging
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.messages import Call, Outcome, Result, TaskRef
from flyte_ray.ledger.state import ActionState, RunState
from flyte_ray.ledger.verdicts import failure

REST_S: Final = 1.0
"""How long a sync attempt must wait for its children alone before it is judged."""
ASYNC_REST_S: Final = 10.0
"""How long an async one must: beside the calls that it waits for it may sleep or compute before it makes others."""
MOST_NAMED: Final = 10
"""Pairs of calls that are recorded of one attempt."""
MOST_INPUTS: Final = 1_000
"""Characters of a call's inputs that are recorded with it."""
MOST_SHOWN: Final = 60
"""Characters of one input in a sentence."""
ADVICE: Final = (
    "Let its calls depend on inputs, outcomes and recorded values alone: flyte.durable has time, random and uuid,"
    " flyte.trace records anything else, flyte.group tells equal calls of two branches apart"
)

_log = logging.getLogger("flyte_ray.ledger")


@dataclass(slots=True)
class Replay:
    """An attempt whose action has children on record."""

    parent: ActionState
    attempt: int
    expected: dict[str, ActionState] = field(default_factory=dict)
    """Children on record that it has not called, the one first called first."""
    fresh: dict[str, ActionState | Call] = field(default_factory=dict)
    """Its calls that were not on record."""
    held: dict[str, Slot] = field(default_factory=dict)
    """Those of `fresh` that are held, by the slot that keeps them."""
    horizon_us: float = math.inf
    """When the first outcome came that this attempt had taken back: what was called from then on is not expected."""
    rests_since_us: int | None = None
    verdict: str | None = None
    """The error that its new calls, and it itself, end with."""

    @property
    def expects(self) -> bool:
        """Whether it must still call something."""
        first = next(iter(self.expected.values()), None)
        return first is not None and first.called_us < self.horizon_us

    def pairs(self, *, is_over: bool) -> list[tuple[ActionState, ActionState | Call]]:
        """Pair what it did not call with what it called in its place: calls of the same task and group, in their order.

        Args:
            is_over: It will not call what it has not called. Then any new call stands for any other, if none are alike.

        """
        alike: dict[tuple[str, str | None], deque[ActionState | Call]] = defaultdict(deque)
        for call in self.fresh.values():
            alike[_kind_of(call)].append(call)
        missing = [child for child in self.expected.values() if child.called_us < self.horizon_us]
        found = [(child, alike[_kind_of(child)].popleft()) for child in missing if alike[_kind_of(child)]]
        if is_over and not found and missing and self.fresh:
            found.append((missing[0], next(iter(self.fresh.values()))))
        return found


class Replays:
    """Watches the attempts of one run that follow others."""

    def __init__(
        self,
        state: RunState,
        record: Callable[..., None],
        ref_of: Callable[[ActionState], TaskRef],
        now_us: Callable[[], int],
        *,
        strict: bool,
    ) -> None:
        """Watch on behalf of a book.

        Args:
            state: The run's live state.
            record: Puts an event on record.
            ref_of: Gives an action's task.
            now_us: The ledger's clock.
            strict: An attempt that calls something else fails.

        """
        self._state, self._record, self._ref_of, self._now_us = state, record, ref_of, now_us
        self._strict = strict
        self._watched: dict[str, Replay] = {}
        self._children: dict[str, list[ActionState]] | None = None
        """By parent; made at the first replay, which most runs never see."""

    def __bool__(self) -> bool:
        """Whether an attempt is watched."""
        return bool(self._watched)

    def called(self, action: ActionState) -> None:
        """Take note of a call that is on record now."""
        if self._children is not None:
            self._children[action.parent or ""].append(action)

    def begin(self, action: ActionState, claimed: Iterable[str] = ()) -> None:
        """Watch an attempt that is handed out.

        Args:
            action: Its action.
            claimed: What it has called already, if the ledger before this one handed it out.

        """
        self._forget(action.id)
        replay, children = Replay(action, action.attempt), self._children_of(action.id)
        replay.fresh = {child.id: child for child in children if child.called_us > action.started_us}
        earlier = [child for child in children if child.id not in replay.fresh]
        replay.expected = {child.id: child for child in expected_of(earlier, self._state.revised_us)}
        for name in claimed:
            replay.expected.pop(name, None)
        named = [body for attempt, body in action.diverged or () if attempt == action.attempt]
        if named and self._strict:
            replay.verdict = _verdict(action, named[0])
        if replay.verdict or (replay.expects and not named):
            self._watched[action.id] = replay

    def admits(self, slot: Slot, call: Call, known: ActionState | None) -> bool:
        """Hear a call; False if it must not be acted on, because it is held or answered here.

        Args:
            slot: Where it comes from.
            call: It.
            known: The child, if it is on record.

        """
        replay = self._watched.get(call.parent)
        if replay is None:
            return True
        replay.rests_since_us = None
        if known is not None:
            replay.expected.pop(known.id, None)
            return True
        if replay.verdict:
            slot.order(Outcome(call.action, kinds.FAILED, replay.verdict, on_record=False))
            return False
        replay.fresh[call.action] = call
        if not (self._strict and replay.expects):
            return True
        replay.held[call.action] = slot
        slot.keep(call.action)
        return False

    def drop(self, name: str) -> None:
        """Forget a call that is held and that nobody waits for any more."""
        for replay in self._watched.values():
            if name in replay.held:
                replay.held.pop(name).release(name)
                del replay.fresh[name]

    def revoke(self, child: ActionState) -> None:
        """Take note that an outcome is about to be taken back, because the child is called anew."""
        replay = self._watched.get(child.parent or "")
        if replay is not None and child.phase.is_terminal:
            replay.horizon_us = min(replay.horizon_us, child.ended_us)

    def review(self, slots: Mapping[str, Slot]) -> list[tuple[Slot, Call]]:
        """Judge the attempts that have come to rest; return the calls that are held no more. Call at every tick."""
        freed: list[tuple[Slot, Call]] = []
        for replay in list(self._watched.values()):
            parent = replay.parent
            slot = slots.get(parent.slot or "")
            if slot is None or parent.attempt != replay.attempt:
                self._forget(parent.id)
            elif replay.verdict:
                continue
            elif not replay.expects:
                freed += [(slot, call) for name in replay.held if isinstance(call := replay.fresh[name], Call)]
                self._forget(parent.id)
            elif replay.fresh and self._rests(replay, slot) and self._name(replay, is_over=self._strict):
                if self._strict:
                    self._refuse(replay)
                else:
                    self._forget(parent.id)
        return freed

    def end(self, action: ActionState, result: Result) -> Result:
        """Judge an attempt that has ended; return the result that counts."""
        replay = self._watched.get(action.id)
        if replay is None or replay.attempt != result.attempt or result.kind not in (kinds.SUCCEEDED, kinds.FAILED):
            return result
        succeeded = result.kind == kinds.SUCCEEDED
        # Of one that failed it is not known what else it would have called.
        if not replay.verdict and self._name(replay, is_over=succeeded) and self._strict and succeeded:
            self._refuse(replay)
        self._forget(action.id)
        if replay.verdict and (succeeded or _code(result.body) != _code(replay.verdict)):
            return result._replace(kind=kinds.FAILED, body=replay.verdict, retry=False)
        return result

    def _rests(self, replay: Replay, slot: Slot) -> bool:
        if replay.parent.id not in slot.waiting or not slot.is_caught_up:
            replay.rests_since_us = None
            return False
        now_us = self._now_us()
        replay.rests_since_us = replay.rests_since_us or now_us
        rest_s = ASYNC_REST_S if self._ref_of(replay.parent).is_async else REST_S
        return now_us - replay.rests_since_us >= rest_s * 1e6

    def _name(self, replay: Replay, *, is_over: bool) -> bool:
        """Record what an attempt called in place of what; False if it did not."""
        pairs = replay.pairs(is_over=is_over)
        for recorded, called in pairs[:MOST_NAMED]:
            body = json.dumps({"recorded": _describe(recorded), "called": _describe(called)})
            self._record(kinds.DIVERGED, replay.parent.id, replay.attempt, body=body)
        if pairs:
            _log.warning("run %s: %s", self._state.id, warning(replay.parent))
        return bool(pairs)

    def _refuse(self, replay: Replay) -> None:
        diverged = replay.parent.diverged
        assert diverged is not None, "it was named before"
        replay.verdict = _verdict(replay.parent, diverged[-1][1])
        for name, slot in replay.held.items():
            slot.order(Outcome(name, kinds.FAILED, replay.verdict, on_record=False))
            slot.release(name)
        replay.held.clear()

    def _forget(self, name: str) -> None:
        replay = self._watched.pop(name, None)
        if replay is not None:
            for call, slot in replay.held.items():
                slot.release(call)

    def _children_of(self, name: str) -> list[ActionState]:
        if self._children is None:
            self._children = defaultdict(list)
            for action in self._state.actions.values():
                self._children[action.parent or ""].append(action)
        return self._children.get(name, [])


def expected_of(children: Sequence[ActionState], revised_us: int) -> list[ActionState]:
    """Return those children that an attempt of their parent must call, whatever comes of what is tried again.

    Args:
        children: What earlier attempts called, in that order.
        revised_us: When the run was last continued with other code.

    """
    revoked = [child for child in children if child.revoked_us]
    since = min((child.revoked_us for child in revoked), default=0)
    until = max((child.asked_us for child in revoked), default=0)
    later = (child for child in children if child.called_us > revised_us)
    return [child for child in later if not (child.handed_in or since <= child.called_us <= until)]


def warnings(state: RunState) -> list[str]:
    """Say of each action that called something else than is on record what that was."""
    return [warning(action) for action in state.actions.values() if action.diverged]


def warning(action: ActionState) -> str:
    """Say what an action called in place of what, and what to do about it."""
    diverged = action.diverged or []
    more = len([attempt for attempt, _ in diverged if attempt == diverged[-1][0]]) - 1
    others = f", and {more} more" if more else ""
    return f"{sentence(action, diverged[-1][1])}{others}. {ADVICE}."


def sentence(action: ActionState, body: str) -> str:
    """Say what one divergence was, without a full stop.

    Args:
        action: The parent.
        body: That of the event.

    """
    both = json.loads(body)
    called, recorded = _show(both["called"]), _show(both["recorded"])
    return f"{action.task_name} ({action.id}) was run again and called {called} where {recorded} is on record"


def _kind_of(call: ActionState | Call) -> tuple[str, str | None]:
    return call.task.partition("@")[0], call.group


def _describe(call: ActionState | Call) -> dict[str, Any]:
    task, group = _kind_of(call)
    name = call.action if isinstance(call, Call) else call.id
    return {"action": name, "task": task, "group": group, "inputs": call.inputs[:MOST_INPUTS]}


def _show(site: dict[str, Any]) -> str:
    try:
        inputs = ", ".join(f"{name}={_cut(json.dumps(value))}" for name, value in json.loads(site["inputs"]).items())
    except ValueError:  # cut off
        inputs = _cut(site["inputs"])
    group = f" in group {site['group']!r}" if site["group"] else ""
    return f"{site['task']}({inputs}){group}"


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _verdict(action: ActionState, body: str) -> str:
    return failure("NondeterminismError", "user", f"{sentence(action, body)}. {ADVICE}.")


def _code(body: str) -> str:
    return str(json.loads(body).get("code"))
