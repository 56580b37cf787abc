"""A long log lies in few objects and says the same as before, at any moment: to who reads, and to who writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyte_ray.errors import RunFencedError, StoreError
from flyte_ray.ledger import blocks, packing
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.log import RunLog, read_segments
from flyte_ray.ledger.paths import block_key, segment_key
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store
from tests.unit.memory_store import MemoryStore

RUN = RunId("r")
T = TypeVar("T")


@pytest.fixture(autouse=True)
def small_blocks() -> Iterator[None]:
    with mock.patch.object(blocks, "BLOCK", 4):
        yield


def event(number: int) -> Event:
    return Event(kinds.LOGGED, number, "a0", body=f"text {number}")


def opened(store: Store, writer: str = "w") -> RunLog:
    log = RunLog(store, RUN, writer)
    log.open(writer, 0, lambda event: None)
    return log


def written(store: Store, count: int) -> RunLog:
    log = opened(store)
    for number in range(count):
        log.append([event(number)])
    return log


def pack_all(log: RunLog) -> None:
    while log.pack():
        pass


def told(store: Store, position: int = 0) -> list[tuple[int, int]]:
    """Read all events but the openings, by position."""
    segments = read_segments(store, RUN, position)
    return [(at, each.at) for at, segment in segments for each in segment.events if each.kind != kinds.OPEN]


def names(store: MemoryStore) -> list[str]:
    return sorted(key.rpartition("/")[2].removesuffix(".arrow") for key in store.objects)


def test_every_so_many_segments_become_one_object_and_only_openings_stay() -> None:
    store = MemoryStore()
    log = written(store, 9)
    before = told(store)
    pack_all(log)
    assert names(store) == ["00000000", "00000000-00000003", "00000004-00000007", "00000008", "00000009"]
    assert told(store) == before
    assert [told(store, position) for position in range(11)] == [before[max(0, at - 1) :] for at in range(11)]
    second = opened(store, "second")
    second.append([event(9)])
    assert [number for _, number in told(store)] == list(range(10))


class Dying(MemoryStore):
    """Raises at a question, and at all that follow it, before or after it did what was asked."""

    def __init__(self, inner: MemoryStore, left: int, *, after: bool) -> None:
        super().__init__()
        self.objects, self.left, self.after = inner.objects, left, after

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self.ask(lambda: super(Dying, self).put_if_absent(key, data))

    def get(self, key: str) -> bytes:
        return self.ask(lambda: super(Dying, self).get(key))

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.ask(partial(super().delete, [key]))

    def ask(self, call: Callable[[], T]) -> T:
        if self.left == 0 and not self.after:
            raise StoreError("dead")
        answer = call()
        if self.left == 0:
            raise StoreError("dead")
        self.left -= 1
        return answer


@pytest.mark.parametrize("after", [False, True])
def test_packing_may_be_cut_off_between_any_two_steps(after: bool) -> None:
    for left in range(100):
        store = MemoryStore()
        before = written(store, 9)
        expected = told(store)
        dying = Dying(store, 10**9, after=after)
        log = opened(dying, "second")
        dying.left = left
        try:
            pack_all(log)
        except StoreError:
            assert told(store) == expected, left
            again = opened(store, "third")
            pack_all(again)
        else:
            assert left > 15
            break
        assert told(store) == expected, left
        assert not {"00000001", "00000005"} & set(names(store)), left
        with pytest.raises(RunFencedError):
            before.append([event(99)])


def test_a_reader_that_is_overtaken_by_packing_misses_and_repeats_nothing() -> None:
    for pause in range(11):
        store = MemoryStore()
        log = written(store, 9)
        expected = told(store)
        found = []
        for number, (at, segment) in enumerate(read_segments(store, RUN)):
            if number == pause:
                pack_all(log)
            found += [(at, each.at) for each in segment.events if each.kind != kinds.OPEN]
        assert found == expected


def test_a_writer_that_was_replaced_stays_fenced_when_its_place_is_packed() -> None:
    store = MemoryStore()
    old = written(store, 2)
    new = opened(store, "new")
    for number in range(2, 12):
        new.append([event(number)])
    pack_all(new)
    with pytest.raises(RunFencedError, match="continued by another ledger, new"):
        old.append([event(99)])
    pack_all(old)
    assert [number for _, number in told(store)] == list(range(12))


def test_who_takes_a_run_with_an_old_view_of_its_end_reads_on_when_that_was_packed() -> None:
    store = MemoryStore()
    first = written(store, 2)

    class Slow(MemoryStore):
        """Is overtaken between its look at the log's end and its record."""

        def __init__(self) -> None:
            super().__init__()
            self.objects, self.overtaken = store.objects, False

        def put_if_absent(self, key: str, data: bytes) -> bool:
            if not self.overtaken:
                self.overtaken = True
                for number in range(2, 12):
                    first.append([event(number)])
                pack_all(first)
            return super().put_if_absent(key, data)

    slow = RunLog(Slow(), RUN, "slow")
    heard: list[Event] = []
    slow.open("slow", 0, heard.append)
    assert [each.at for each in heard if each.kind != kinds.OPEN] == list(range(12))
    with pytest.raises(RunFencedError):
        first.append([event(99)])
    slow.append([event(12)])
    assert [number for _, number in told(store)] == list(range(13))
    assert [number for _, number in told(store, 3)] == list(range(2, 13))


def test_torn_segments_stay_where_they_fence_and_changed_ones_are_not_packed(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    log = written(store, 1)
    store.put(segment_key(RUN, 2), b"ARROW1")
    for number in range(1, 9):
        log.append([event(number)])
    changed = bytearray(store.get(segment_key(RUN, 9)))
    changed[900] ^= 1
    store.put(segment_key(RUN, 9), bytes(changed))
    pack_all(log)
    assert names(store) == [
        *("00000000", "00000000-00000003", "00000002", "00000003"),
        *("00000004-00000007", "00000008", "00000009", "00000010", "00000011"),
    ]
    assert "are not packed" in caplog.text and "00000009.arrow" in caplog.text
    with pytest.raises(StoreError, match="00000009.arrow"):
        told(store)


def test_a_changed_block_is_an_error_that_names_it() -> None:
    store = MemoryStore()
    pack_all(written(store, 9))
    key = block_key(RUN, 4, 7)
    right = store.get(key)
    for wrong in (right[:-1], right[:100], bytes([right[0] ^ 1]) + right[1:], right[:-9] + b"x" + right[-8:]):
        store.put(key, wrong)
        with pytest.raises(StoreError, match=key):
            told(store)


def test_a_block_that_another_has_half_written_deletes_nothing() -> None:
    store = MemoryStore()
    log = written(store, 9)
    expected = told(store)
    store.put(block_key(RUN, 0, 3), b"ARROW1")
    pack_all(log)
    assert {"00000001", "00000002", "00000003"} <= set(names(store)) and "00000005" not in names(store)
    store.objects.pop(block_key(RUN, 0, 3))
    assert told(store) == expected


def test_large_segments_stay_apart() -> None:
    store = MemoryStore()
    with mock.patch.object(packing, "MAX_BYTES", 5_000):
        pack_all(written(store, 9))
    assert len(store.objects) == 10


OPS = st.lists(  # of what is done, and which writer does it
    st.tuples(st.sampled_from(["open", "append", "append", "append", "pack"]), st.integers(0, 2)), max_size=60
)


@settings(max_examples=300, deadline=None)
@given(OPS, st.lists(st.tuples(st.integers(0, 60), OPS), max_size=3))
def test_whoever_opens_appends_and_packs_what_was_acknowledged_is_read_once(
    steps: list[tuple[str, int]], interruptions: list[tuple[int, list[tuple[str, int]]]]
) -> None:
    """Of three writers, each of which may be held up just before any of its puts while the others go on."""
    store, logs = MemoryStore(), dict[int, RunLog]()
    acknowledged: list[int] = []
    puts = iter(range(10**9))
    meanwhile = dict(interruptions)

    class Interrupted(MemoryStore):
        def __init__(self, mine: int) -> None:
            super().__init__()
            self.objects, self.mine = store.objects, mine

        def put_if_absent(self, key: str, data: bytes) -> bool:
            others = meanwhile.pop(next(puts), [])
            play([(what, who) for what, who in others if who != self.mine])
            return super().put_if_absent(key, data)

    def play(these: list[tuple[str, int]]) -> None:
        for what, who in these:
            try:
                if what == "open":
                    log = RunLog(Interrupted(who), RUN, f"writer {who} {next(puts)}")
                    log.open(f"{who}", 0, lambda event: None)
                    logs[who] = log
                elif who in logs and what == "append":
                    number = next(puts)
                    logs[who].append([event(number)])
                    acknowledged.append(number)
                elif who in logs:
                    pack_all(logs[who])
            except RunFencedError:
                del logs[who]

    with mock.patch.object(blocks, "BLOCK", 3):
        play(steps)
        found = [number for _, number in told(store)]
        assert len(found) == len(set(found)), "something is read twice"
        assert set(acknowledged) <= set(found), "something acknowledged is gone"
        assert found == [number for _, number in told(store)]
