"""A store that hangs, without a word, keeps nobody waiting who has nothing to do with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from flyte_ray.errors import StoreError
from flyte_ray.ledger import cache, holding, recorder
from flyte_ray.ledger.lease import read_claim
from flyte_ray.ledger.requests import Start
from flyte_ray.ledger.service import Ledger
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.ids import RunId
from flyte_ray.storage.patient import within
from tests.cancelled import wait_until
from tests.unit.memory_store import MemoryStore
from tests.unit.test_ledger_faults import TASK
from tests.unit.test_taking_over import Room

ONE, TWO = RunId("one"), RunId("two")


class HangingStore(MemoryStore):
    """Hangs with every put below a prefix, once there is one, until the test is over."""

    def __init__(self) -> None:
        super().__init__()
        self.prefix: str | None = None
        self.hanging, self.over = threading.Event(), threading.Event()

    def put(self, key: str, data: bytes) -> None:
        self.hang(key)
        super().put(key, data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self.hang(key)
        return super().put_if_absent(key, data)

    def hang(self, key: str) -> None:
        if self.prefix is not None and key.startswith(self.prefix):
            self.hanging.set()
            self.over.wait(60)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingStore]:
    monkeypatch.setattr(recorder, "CLOSE_S", 0.05)
    monkeypatch.setattr(recorder, "HUNG_S", 0.05)
    monkeypatch.setattr(holding, "RELEASE_S", 0.05)
    monkeypatch.setattr(holding, "KEEP_S", 0.01)
    monkeypatch.setattr("flyte_ray.ledger.lease.RENEW_S", -1.0)  # at each look
    found = HangingStore()
    yield found
    found.over.set()


@pytest.fixture
def ledger(store: HangingStore) -> Iterator[Ledger]:
    found = Ledger(store, Room(), "holder")
    for run in (ONE, TWO):
        found.start(Start(run, "n", TASK, "0"))
    yield found
    store.over.set()
    found.close()


def test_a_ledger_is_closed_though_its_store_hangs(
    store: HangingStore, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    store.prefix = ""
    assert ledger.abort(ONE, "a0", "enough", "me@here")
    assert store.hanging.wait(60)
    heard: list[Exception | None] = []
    ledger.when_stored(ONE, heard.append)
    closing = threading.Thread(target=ledger.close)
    closing.start()
    closing.join(30)
    assert not closing.is_alive()
    assert type(heard[0]) is StoreError
    assert "the last 1 events of run one are not stored: The store of run one has not answered for" in caplog.text


def test_a_claim_that_cannot_be_renewed_keeps_no_other_from_it(store: HangingStore, ledger: Ledger) -> None:
    def counter() -> int:
        claim = read_claim(store, TWO)
        assert claim is not None
        return claim.counter

    store.prefix = f"active/{ONE}"
    assert store.hanging.wait(60)
    before = counter()
    wait_until(lambda: counter() > before + 2, "the claim of another run is not renewed")


def test_an_outcome_that_cannot_be_kept_keeps_the_end_of_a_run_for_a_while_only(
    store: HangingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "FINISH_S", 0.05)
    desk = cache.CacheDesk(store, lambda: 0, lambda run, answers: set())
    store.prefix = "cache/"
    kept = cache.RunCache("place")
    use = cache.CacheUse("ab", "1", None, False, True, ())
    kept.outcomes.append((0, use, ActionState("a0", None, "e.t@1", None, "{}", 0, result="1")))
    desk.attend(ONE, kept, 1)
    assert store.hanging.wait(60)
    desk.finish(ONE)  # returns
    store.over.set()
    desk.close()


def test_what_is_called_within_a_time_raises_what_it_meets(store: HangingStore) -> None:
    nothing: dict[str, None] = {}
    with pytest.raises(KeyError, match="ours"):
        within(30, lambda: nothing["ours"], "nothing was asked")
    store.prefix = ""
    with pytest.raises(StoreError, match=r"nothing was stored: the store has not answered for 0\.01 s"):
        within(0.01, lambda: store.put("key", b""), "nothing was stored")
