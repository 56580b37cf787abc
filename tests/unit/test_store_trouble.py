"""What a folder says when its disk is full, read-only, failing or away, and what the ledger's core makes of it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from flyte_ray.errors import ObjectMissing, StoreError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger import recorder
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.log import RunLog, read_segments
from flyte_ray.ledger.paths import snapshot_key
from flyte_ray.ledger.query import load_state
from flyte_ray.ledger.recorder import RunRecorder
from flyte_ray.ledger.snapshot import write_snapshot
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store, open_store, witnessed
from tests.unit.memory_store import MemoryStore
from tests.waiting import within

until = within(30)

RUN = RunId("r")
CALL = Event(kinds.CALLED, 1, "a0", task="e.f", body="{}")
START = Event(kinds.STARTED, 2, "a0", 0, slot="s")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = open_store(tmp_path / "root")
    found.put("start", b"{}")
    return found


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_said_by_name_and_leaves_no_part_of_a_file(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", full)
    for put in (store.put, store.put_if_absent):
        with pytest.raises(StoreError, match=r"Cannot write .*/root/a/b: No space left on device\."):
            put("a/b", b"1" * 1000)
    monkeypatch.undo()
    assert store.keys("") == ["start"] and not list(tmp_path.rglob(".writing-*"))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_disk_that_fails_is_not_taken_for_one_without_the_file(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "stat", fail)
    monkeypatch.setattr(Path, "read_bytes", fail)
    monkeypatch.setattr(os, "scandir", fail)
    for ask in (store.get, store.exists, store.keys):
        with pytest.raises(StoreError, match=os.strerror(number)):
            ask("start")


def test_a_bucket_that_fails_is_not_taken_for_one_without_the_object(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = open_store("memory://bucket")
    bucket.put("here", b"1")
    assert bucket.exists("here") and not bucket.exists("there")
    monkeypatch.setattr(MemoryFileSystem, "info", lambda *_, **__: full())
    with pytest.raises(StoreError, match="No space left on device"):
        bucket.exists("here")


def test_what_shows_in_place_of_a_folder_that_is_away_is_neither_read_nor_written(tmp_path: Path, store: Store) -> None:
    run = witnessed(store, "start")
    run.put("a", b"1")
    (tmp_path / "root").rename(tmp_path / "away")
    for place in ("nothing", "an empty folder"):
        for ask in (lambda: run.put("b", b"2"), lambda: run.get("a"), lambda: run.exists("a"), lambda: run.keys("")):
            with pytest.raises(StoreError, match=r"should hold start, but does not\. Is its disk mounted\?"):
                ask()
        if place == "nothing":
            (tmp_path / "root").mkdir()
    (tmp_path / "root").rmdir()
    (tmp_path / "away").rename(tmp_path / "root")
    assert run.get("a") == b"1"
    with pytest.raises(ObjectMissing):
        run.get("b")


class Troubled(MemoryStore):
    """Raises what it is told to, until it is told to raise nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: Exception | None = None
        self.refused = threading.Event()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if self.trouble:
            self.refused.set()
            raise self.trouble
        return super().put_if_absent(key, data)


@pytest.fixture
def troubled() -> Troubled:
    return Troubled()


@pytest.fixture
def recording(troubled: Troubled) -> Iterator[RunRecorder]:
    found = RunRecorder(RUN, RunLog(troubled, RUN, "w"), "holder")
    yield found
    troubled.trouble = None
    found.close()


@pytest.mark.parametrize("trouble", [StoreError("away"), OSError(errno.EIO, "I/O"), MemoryError(), ValueError("ours")])
def test_whatever_a_put_meets_events_are_kept_until_they_are_stored(
    troubled: Troubled, recording: RunRecorder, trouble: Exception
) -> None:
    troubled.trouble = trouble
    recording.record(CALL)
    recording.hurry()
    assert troubled.refused.wait(30)
    recording.record(START)
    committed = threading.Thread(target=recording.commit)
    committed.start()
    until(lambda: str(trouble) in (recording.waits_for_store or ""))
    assert recording.unstored == 2
    troubled.trouble = None
    committed.join(30)
    assert recording.unstored == 0 and recording.waits_for_store is None
    assert [event.kind for _, segment in read_segments(troubled, RUN) for event in segment.events] == [
        *("OPEN", "CALLED", "STARTED")
    ]


def test_whatever_comes_of_it_that_events_are_stored_the_next_ones_are_stored_too(troubled: Troubled) -> None:
    def fail() -> None:
        raise KeyError("ours")

    found = RunRecorder(RUN, RunLog(troubled, RUN, "w"), "holder", fail)
    for event in (CALL, START):
        found.record(event)
        found.commit()
    found.close()
    assert [event.kind for _, segment in read_segments(troubled, RUN) for event in segment.events][1:] == [
        *("CALLED", "STARTED")
    ]


def test_a_damaged_snapshot_is_left_aside_and_the_log_is_read(
    troubled: Troubled, recording: RunRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    for event in (CALL, START, Event(kinds.SUCCEEDED, 3, "a0", 0, body="1")):
        recording.record(event)
    recording.commit()
    write_snapshot(troubled, recording.state, recording.position)
    whole = troubled.get(snapshot_key(RUN))
    expected = load_state(troubled, RUN).actions
    for wrong in [b"", whole[:1000], whole[:-1], *(flipped(whole, bit) for bit in range(0, 8 * len(whole), 997))]:
        caplog.clear()
        troubled.put(snapshot_key(RUN), wrong)
        assert load_state(troubled, RUN).actions == expected
        assert "is left aside" in caplog.text


def flipped(data: bytes, bit: int) -> bytes:
    wrong = bytearray(data)
    wrong[bit // 8] ^= 1 << bit % 8
    return bytes(wrong)


def test_what_waited_for_a_store_is_stored_in_pieces_of_a_bounded_size(
    troubled: Troubled, recording: RunRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "SEGMENT_BYTES", 10_000)
    monkeypatch.setattr(recorder, "CAP_BYTES", 50_000)
    troubled.trouble = StoreError("away")
    printed = [
        Event(kinds.LOGGED, number, "a0", body="x" * size) for number, size in enumerate([3_000] * 20 + [15_000])
    ]
    for event in printed:
        recording.record(event)
    assert recording.is_full and "0 MiB of events wait to be stored" in (recording.waits_for_store or "")
    troubled.trouble = None
    recording.commit()
    assert not recording.is_full and recording.waits_for_store is None
    segments = [segment.events for _, segment in read_segments(troubled, RUN)][1:]
    assert [event for events in segments for event in events] == printed
    assert [len(events) for events in segments] == [3] * 6 + [2, 1]


def test_a_recorder_that_is_closed_while_its_store_is_away_gives_up_and_says_that_nothing_is_stored(
    troubled: Troubled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "CLOSE_S", 0.0)
    found = RunRecorder(RUN, RunLog(troubled, RUN, "w"), "holder")
    troubled.trouble = StoreError("away")
    found.record(CALL)
    found.close()
    with pytest.raises(StoreError, match="away"):
        found.commit()
    assert found.unstored == 1
