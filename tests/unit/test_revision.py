"""Which outcomes count when a run goes on with edited code."""

from __future__ import annotations

import json
from typing import Any

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.cache import CacheUse
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.messages import Call, Message, Reply, Result, TaskRef, Work, read_ref
from flyte_ray.ledger.requests import Start
from flyte_ray.ledger.revision import Changes, Revision, judge
from flyte_ray.ledger.service import Ledger
from flyte_ray.ledger.state import ActionState, RunState
from flyte_ray.spec.ids import RunId
from tests.unit.folding import fold_all
from tests.unit.memory_store import MemoryStore
from tests.unit.test_ledger_faults import Hands

RUN = RunId("r")
NO_CHANGES = Changes({}, {}, frozenset())


class Story:
    """Tells the events of a run; times count events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, kind: str, action: str, **columns: Any) -> None:
        self.events.append(Event(kind, len(self.events), action, **columns))

    def begins(self, action: str, parent: str | None, task: str) -> None:
        self(kinds.CALLED, action, parent=parent, task=task, body="{}")
        self(kinds.STARTED, action, slot="s")

    @property
    def state(self) -> RunState:
        return fold_all(RUN, self.events)


def tree() -> Story:
    """The root failed; of its two children each called one of its own, and all those succeeded."""
    tell = Story()
    tell.begins("a0", None, "main@1")
    for name in ("left", "right"):
        tell.begins(name, "a0", f"{name}@1")
        tell.begins(f"{name}.leaf", name, "leaf@1" if name == "left" else "other@1")
        tell(kinds.SUCCEEDED, f"{name}.leaf", body="1")
        tell(kinds.SUCCEEDED, name, body="1")
    tell(kinds.FAILED, "a0", body="{}")
    return tell


def again(state: RunState, changes: Changes) -> dict[str, str]:
    return {name: why for name, why in judge(state, changes).items() if why is not None}


def test_without_changes_only_what_has_not_succeeded_runs_again() -> None:
    assert again(tree().state, NO_CHANGES) == {"a0": ""}


def test_what_called_a_changed_task_runs_again_and_its_other_calls_are_kept() -> None:
    found = again(tree().state, Changes({"leaf@1": "f changed"}, {}, frozenset()))
    assert found == {
        "a0": "it called left, which runs again",
        "left": "it called leaf, which runs again",
        "left.leaf": "f changed",
    }


def test_what_a_person_keeps_is_kept_with_all_below_it() -> None:
    changes = Changes({"leaf@1": "f changed"}, {}, frozenset({"left@1"}))
    assert again(tree().state, changes) == {"a0": ""}


def test_an_outcome_from_elsewhere_counts_no_more_if_a_task_changed_that_its_own_calls() -> None:
    tell = Story()
    tell.begins("a0", None, "main@1")
    for name, source in (("cached", "before/a1"), ("run", None)):
        tell.begins(name, "a0", "middle@1")
        tell(kinds.SUCCEEDED, name, body="1", cache=source)
    tell(kinds.FAILED, "a0", body="{}")
    changes = Changes({}, {"middle@1": "it calls leaf, which runs again"}, frozenset())
    assert list(again(tell.state, changes)) == ["a0", "cached"]


def test_a_failure_that_the_last_attempt_of_its_parent_did_not_meet_does_not_matter() -> None:
    tell = Story()
    tell.begins("a0", None, "main@1")
    tell.begins("child", "a0", "child@1")
    tell(kinds.FAILED, "child", body="{}")
    caught = Story()
    caught.events = list(tell.events)
    caught(kinds.SUCCEEDED, "a0", body="1")
    tell(kinds.RETRIED, "a0", body="{}")
    tell(kinds.STARTED, "a0", slot="s")
    tell(kinds.SUCCEEDED, "a0", body="1")
    changes = Changes({"child@1": "f changed"}, {}, frozenset())
    assert again(tell.state, changes) == {}
    assert list(again(caught.state, changes)) == ["a0", "child"]


MAIN = TaskRef("e.main", "m", "main", None, "s", "{}", 0, None, True, None, (("m.main", "1"),))
STEP = TaskRef("e.step", "m", "step", None, "s", "{}", 0, None, True, None, (("m.step", "1"),))
EDITED = MAIN._replace(shape="s2", bodies=(("m.main", "2"),))
STEP_TODAY = STEP._replace(shape="s2", bodies=(("m.step", "2"),))


class Nobody(Hands):
    """Starts slots that the test plays."""

    def __init__(self) -> None:
        self.launched: list[tuple[str, str]] = []

    def launch(self, slot: str, run: RunId, shape: str, options: str, pool: object = None, own: bool = False) -> None:
        self.launched.append((slot, shape))

    def kill(self, slot: str) -> None: ...

    recall = kill

    def retire(self, run: RunId) -> None: ...

    def spare(self, names: frozenset[str]) -> None: ...

    def capacity(self, options: str) -> int:
        return 1


class Played:
    """A ledger, and one slot at a time that says what the test wants it to say."""

    def __init__(self) -> None:
        self.store, self.hands = MemoryStore(), Nobody()
        self.ledger = Ledger(self.store, self.hands, "holder")
        self.ledger.start(Start(RUN, "n", MAIN, "{}"))

    def say(self, *items: Call | Result, tasks: tuple[TaskRef, ...] = (), first: int = 0, seq: int = 0) -> list[object]:
        replies: list[Reply] = []
        slot, shape = self.hands.launched[-1]
        known = {ref.key: ref for ref in tasks}
        message = Message(slot, RUN, shape, seq, self.ledger.epoch if seq else 0, first, list(items), 0, known, 1)
        self.ledger.exchange(message, replies.append)
        return [order for reply in replies for order in reply.orders]

    def close(self) -> None:
        for book in filter(None, map(self.ledger.book, self.ledger.runs)):
            book.recorder.commit()
        self.ledger.close()
        self.ledger = Ledger(self.store, self.hands, "holder")

    def action(self, name: str) -> ActionState:
        book = self.ledger.book(RUN)
        assert book is not None
        return book.state.actions[name]


def use(key: str) -> str:
    return CacheUse(key, "v", None, False, False, ()).dump()


def call(ref: TaskRef, key: str) -> Call:
    return Call("child", "a0", ref.key, "{}", None, None, told=False, cache=use(key))


def resumed(played: Played, changes: Changes) -> None:
    played.close()
    played.ledger.resume(RUN, {}, by_person=True, revision=Revision("code2:", EDITED, changes))
    assert played.hands.launched[-1][1] == "s2", "the root runs in today's shape"
    works = played.say(tasks=(STEP_TODAY,))
    assert [(work.action, work.task) for work in works if type(work) is Work] == [("a0", EDITED.key)]


def test_a_changed_action_runs_as_the_task_and_with_the_cache_key_that_its_new_call_names() -> None:
    played = Played()
    played.say(tasks=(STEP,))
    played.say(call(STEP, "old"), Result("child", 0, kinds.SUCCEEDED, "1", False, 0.1, None), first=0, seq=1)
    resumed(played, Changes({STEP.key: "m.step changed"}, {}, frozenset()))
    assert played.action("child").phase.value == "queued"
    played.say(call(STEP_TODAY, "new"), seq=1)
    child = played.action("child")
    assert (child.task, json.loads(child.cache or "")[0]) == (STEP_TODAY.key, "new")
    played.ledger.close()


def test_what_was_cut_off_before_it_succeeded_runs_as_its_new_call_names_it() -> None:
    played = Played()
    played.say(tasks=(STEP,))
    played.say(call(STEP, "old"), seq=1)
    resumed(played, NO_CHANGES)
    played.say(call(STEP_TODAY, "new"), seq=1)
    child = played.action("child")
    assert (child.task, json.loads(child.cache or "")[0]) == (STEP_TODAY.key, "new")
    played.ledger.close()


def test_a_reference_of_an_earlier_version_is_read() -> None:
    assert read_ref(json.dumps(MAIN[:9])) == MAIN._replace(limits=None, bodies=None)
    assert read_ref(json.dumps(MAIN)) == MAIN
