from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flyte_ray.errors import ObjectMissing, RunFencedError, StoreDamagedError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.log import RunLog, read_segments
from flyte_ray.ledger.paths import segment_key
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store, open_store
from flyte_ray.storage.disk import DiskStore
from tests.unit.memory_store import MemoryStore

RUN = RunId("r")
CALL = Event(kinds.CALLED, 1, "a0", task="e.f", body="{}")
START = Event(kinds.STARTED, 2, "a0", 0, slot="s")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def open_log(store: Store, writer: str) -> tuple[RunLog, list[Event]]:
    log = RunLog(store, RUN, writer)
    heard: list[Event] = []
    log.open(writer, 0, heard.append)
    return log, heard


def test_a_second_writer_reads_all_and_fences_the_first(store: Store) -> None:
    first, _ = open_log(store, "first")
    first.append([CALL])
    second, found = open_log(store, "second")
    assert [event for event in found if event.kind != kinds.OPEN] == [CALL]
    with pytest.raises(RunFencedError, match="continued by another ledger"):
        first.append([START])
    second.append([START])
    assert [event for _, segment in read_segments(store, RUN) for event in segment.events][-1] == START


def test_who_opens_a_log_holds_one_segment_of_it_at_a_time() -> None:
    heard: list[Event] = []

    class Watched(MemoryStore):
        def get(self, key: str) -> bytes:
            data = super().get(key)
            held.append(int(key.rpartition("/")[2].partition(".")[0]) - len(heard))
            return data

    store, held = Watched(), list[int]()
    written(store, CALL, *[START] * 9)
    held.clear()
    RunLog(store, RUN, "second").open("second", 0, heard.append)
    assert held == [0] * 11


def written(store: Store, *events: Event) -> bytes:
    """Write a log of an opening and one segment per event; returns the last segment."""
    log, _ = open_log(store, "first")
    for event in events:
        log.append([event])
    return store.get(segment_key(RUN, len(events)))


def test_a_last_segment_that_is_torn_at_any_byte_is_left_out() -> None:
    store = MemoryStore()
    whole = written(store, CALL, START)
    for length in range(len(whole)):
        store.put(segment_key(RUN, 2), whole[:length])
        assert [segment.events[-1] for _, segment in read_segments(store, RUN)][-1] == CALL, length


def test_a_flipped_bit_anywhere_is_an_error_that_names_the_object_and_never_an_end_of_the_log() -> None:
    store = MemoryStore()
    whole = written(store, CALL, START)
    for place in (1, 2):
        key = segment_key(RUN, place)
        right = store.get(key)
        for bit in range(0, 8 * len(right), 7):  # one in every byte, each time another
            wrong = bytearray(right)
            wrong[bit // 8] ^= 1 << bit % 8
            store.put(key, bytes(wrong))
            with pytest.raises(StoreDamagedError, match=key):
                list(read_segments(store, RUN))
        store.put(key, right)
    assert store.get(segment_key(RUN, 2)) == whole


@pytest.mark.parametrize("torn", [1, 3])
def test_torn_segments_are_stepped_over_by_who_takes_the_run_next(store: Store, torn: int) -> None:
    whole = written(store, CALL)
    for place in range(2, 2 + torn):
        store.put(segment_key(RUN, place), whole[: 100 * place])
    second, found = open_log(store, "second")
    assert found[-1] == CALL
    second.append([START])
    assert [event.kind for event in open_log(store, "third")[1]] == ["OPEN", "CALLED", "OPEN", "STARTED"]


def test_a_torn_segment_with_others_behind_it_is_an_error_that_names_it(store: Store) -> None:
    written(store, CALL, START)
    key = segment_key(RUN, 1)
    store.put(key, store.get(key)[:500])
    with pytest.raises(StoreDamagedError, match=f"{key} .* ends too early"):
        open_log(store, "second")


def test_a_writer_that_meets_a_torn_segment_at_its_place_takes_the_run_anew(store: Store) -> None:
    log, _ = open_log(store, "first")
    log.append([CALL])
    store.put(segment_key(RUN, 2), b"ARROW1")  # of its own put, or of one that was about to take the run
    log.append([START])
    assert [event.kind for event in open_log(store, "second")[1]] == ["OPEN", "CALLED", "OPEN", "STARTED"]


def test_a_writer_that_meets_a_changed_segment_at_its_place_stops(store: Store) -> None:
    log, _ = open_log(store, "first")
    wrong = bytearray(store.get(segment_key(RUN, 0)))
    wrong[600] ^= 1
    store.put(segment_key(RUN, 1), bytes(wrong))
    with pytest.raises(RunFencedError, match="cannot be continued: .* its checksum differs"):
        log.append([CALL])


def test_of_two_that_take_a_run_at_the_same_moment_the_later_one_reads_the_earlier_ones_record(store: Store) -> None:
    written(store, CALL)

    class Overtaken(DiskStore):
        """Another writer is faster, just when this one has seen the log's end."""

        def get(self, key: str) -> bytes:
            if key == segment_key(RUN, 2) and not store.exists(key):
                open_log(store, "faster")[0].append([START])
                raise ObjectMissing(key)
            return super().get(key)

    log, found = open_log(Overtaken(store.uri.removeprefix("file://")), "slower")
    assert (log.epoch, found[-1]) == (3, START)


def test_text_of_any_kind_comes_back_as_it_was(store: Store) -> None:
    texts = ["crc32=00000000", "size=000000000000", "flyte_ray.size", "ARROW1", "\0", "\U0001f600"]
    events = [Event(kinds.LOGGED, 1, "a0", body=text) for text in texts]
    written(store, *events)
    assert [event for event in open_log(store, "second")[1] if event.kind == kinds.LOGGED] == events


@pytest.mark.parametrize("count", [1, 3000])
def test_half_a_surrogate_pair_is_stored_as_json_writes_it(store: Store, count: int) -> None:
    log, _ = open_log(store, "first")
    log.append([Event(kinds.SUCCEEDED, 1, "a0", body='"\ud800"')] * count)
    (text,) = {event.body or "" for event in open_log(store, "second")[1] if event.kind == kinds.SUCCEEDED}
    assert json.loads(text) == "\ud800"


def test_writing_and_reading_a_large_log_does_not_load_pandas() -> None:
    script = """
import sys
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.segment import Segment, decode_segment, encode_segment
events = [Event("CALLED", number, str(number), task="e.f", body="{}") for number in range(5000)]
assert decode_segment(encode_segment(Segment(1, "w", events)), "").events == events
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
