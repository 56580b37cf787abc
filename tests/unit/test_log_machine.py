"""Whatever writers do to one log, and the store to them: what was acknowledged is read by all, in order, and once."""

from __future__ import annotations

from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from flyte_ray.errors import RunFencedError, StoreError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.log import RunLog, read_segments
from flyte_ray.ledger.paths import segment_key
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import patient
from tests.unit.memory_store import MemoryStore

RUN = RunId("r")
FAULTS = st.lists(st.sampled_from(["lost before", "lost after"]), max_size=3)


class TreacherousStore(MemoryStore):
    """Loses requests before they are carried out, and answers after; the last put of a dying writer may be torn."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.tear: int | None = None

    def put_if_absent(self, key: str, data: bytes) -> bool:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "lost before":
            raise StoreError("the request was lost")
        if self.tear is not None:
            super().put_if_absent(key, data[: self.tear % len(data)])
            raise SystemExit("the writer dies in the middle of it")
        done = super().put_if_absent(key, data)
        if fault == "lost after":
            raise StoreError("the answer was lost")
        return done


class LogMachine(RuleBasedStateMachine):
    """Writers come, write, are replaced and die; the model is the list of what was acknowledged."""

    writers = Bundle("writers")

    def __init__(self) -> None:
        super().__init__()
        # Nobody else waits here.
        self.quick = mock.patch.multiple(patient, PAUSE_S=0.0, SLICE_S=0.0)
        self.quick.start()
        self.store = TreacherousStore()
        self.acknowledged: list[Event] = []
        self.newest: RunLog | None = None
        self.dead: list[RunLog] = []
        self.number = 0

    def teardown(self) -> None:
        self.quick.stop()

    @initialize(target=writers)
    def first(self) -> Any:
        return self.open([])

    @rule(target=writers, faults=FAULTS)
    def open(self, faults: list[str]) -> RunLog:
        self.store.faults = list(faults)
        self.number += 1
        log = RunLog(self.store, RUN, f"writer {self.number}")
        found: list[Event] = []
        log.open(f"holder {self.number}", 0, found.append)
        assert [event for event in found if event.kind != kinds.OPEN] == self.acknowledged
        self.newest = log
        return log

    @rule(log=writers, count=st.integers(1, 3), faults=FAULTS)
    def append(self, log: RunLog, count: int, faults: list[str]) -> None:
        if log in self.dead:
            return
        self.store.faults = list(faults)
        events = self.events(count)
        try:
            log.append(events)
        except RunFencedError:
            assert log is not self.newest, "nobody has replaced it"
        else:
            assert log is self.newest, "another one has taken the run"
            self.acknowledged += events

    @rule(log=writers, length=st.integers(0, 10_000))
    def die_while_writing(self, log: RunLog, length: int) -> None:
        if log in self.dead:
            return
        place = segment_key(RUN, log.position)
        self.store.faults, self.store.tear = [], length
        try:
            log.append(self.events(1))
        except (SystemExit, RunFencedError):
            pass
        finally:
            self.store.tear = None
        self.dead.append(log)
        assert log is not self.newest or place in self.store.objects, "it left a part"

    def events(self, count: int) -> list[Event]:
        self.number += 1
        return [Event(kinds.LOGGED, index, f"a{self.number}", body=f"text {self.number}") for index in range(count)]

    @invariant()
    def readers_see_what_was_acknowledged(self) -> None:
        read = [event for _, segment in read_segments(self.store, RUN) for event in segment.events]
        assert [event for event in read if event.kind != kinds.OPEN] == self.acknowledged


TestLog = LogMachine.TestCase
TestLog.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
