from __future__ import annotations

from pathlib import Path

import pytest

from flyte_ray.errors import RunFencedError, StoreError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.log import RunLog, read_segments
from flyte_ray.ledger.paths import segment_key
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store, open_store

RUN = RunId("r")
CALL = Event(kinds.CALLED, 1, "a0", task="e.f", body="{}")
START = Event(kinds.STARTED, 2, "a0", 0, slot="s")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def open_log(store: Store, writer: str) -> tuple[RunLog, list[Event]]:
    log = RunLog(store, RUN, writer)
    return log, log.open(writer, 0)


def test_a_second_writer_reads_all_and_fences_the_first(store: Store) -> None:
    first, _ = open_log(store, "first")
    first.append([CALL])
    second, found = open_log(store, "second")
    assert [event for event in found if event.kind != kinds.OPEN] == [CALL]
    with pytest.raises(RunFencedError, match="continued by another ledger"):
        first.append([START])
    second.append([START])
    assert [event for _, segment in read_segments(store, RUN) for event in segment.events][-1] == START


@pytest.mark.parametrize("length", range(0, 2000, 97))
def test_a_torn_last_segment_is_dropped_and_the_next_writer_goes_on(store: Store, length: int) -> None:
    log, _ = open_log(store, "first")
    log.append([CALL])
    log.append([START])
    last = segment_key(RUN, 2)
    store.put(last, store.get(last)[:length])
    second, found = open_log(store, "second")
    assert found[-1] == CALL
    second.append([START])
    assert open_log(store, "third")[1][-1] == START


def test_a_flipped_bit_in_the_middle_is_an_error_that_names_the_object(store: Store) -> None:
    log, _ = open_log(store, "first")
    log.append([CALL])
    log.append([START])
    key = segment_key(RUN, 1)
    data = bytearray(store.get(key))
    data[len(data) // 2] ^= 1
    store.put(key, bytes(data))
    with pytest.raises(StoreError, match=key):
        open_log(store, "second")
