"""A store that fails is asked again, for as long as somebody waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flyte_ray.errors import ObjectMissing, StoreDamagedError, StoreError
from flyte_ray.storage.patient import LONGEST_S, Patience, PatientStore
from tests.unit.memory_store import MemoryStore


class Failing(MemoryStore):
    """Fails so many times before it answers; `after` does what was asked and fails all the same."""

    def __init__(self, times: int, *, after: bool = False) -> None:
        super().__init__()
        self.times, self.after = times, after

    def answer(self, call: Callable[..., Any], *args: Any) -> Any:
        if self.times:
            self.times -= 1
            if self.after:
                call(*args)
            raise StoreError("away")
        return call(*args)

    def put(self, key: str, data: bytes) -> None:
        self.answer(super().put, key, data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return bool(self.answer(super().put_if_absent, key, data))

    def get(self, key: str) -> bytes:
        return bytes(self.answer(super().get, key))


class Clock:
    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> list[str | None]:
    return []


@pytest.fixture
def patience(clock: Clock, said: list[str | None]) -> Patience:
    return Patience("run r", said=said.append, clock=clock, sleep=clock.sleep)


def test_it_is_asked_until_it_answers_and_that_is_said_once(
    patience: Patience, clock: Clock, said: list[str | None]
) -> None:
    store = PatientStore(Failing(20), patience)
    store.put("a", b"1")
    assert store.get("a") == b"1"
    assert said == ["away", None] and patience.reason is None
    assert 20 <= clock.now <= 20 * LONGEST_S


def test_a_put_that_arrived_although_it_failed_counts_as_made(patience: Patience) -> None:
    store = PatientStore(Failing(1, after=True), patience)
    assert store.put_if_absent("a", b"ours")


def test_a_put_that_another_one_forestalled_does_not(patience: Patience) -> None:
    inner = Failing(1)
    inner.objects["a"] = b"theirs"
    assert not PatientStore(inner, patience).put_if_absent("a", b"ours")


def test_what_is_missing_or_damaged_is_no_matter_of_waiting(patience: Patience, clock: Clock) -> None:
    with pytest.raises(ObjectMissing):
        PatientStore(Failing(0), patience).get("a")

    def read() -> None:
        raise StoreDamagedError("torn")

    with pytest.raises(StoreDamagedError):
        patience.ask(read)
    assert clock.now == 0


def test_a_limit_ends_the_wait_with_the_stores_own_error(patience: Patience, clock: Clock) -> None:
    patience.limit(5)
    with pytest.raises(StoreError, match="away"):
        PatientStore(Failing(10**6), patience).put("a", b"1")
    assert 5 <= clock.now < 6 and patience.reason is None


def test_who_waits_no_longer_is_let_go_within_a_slice(clock: Clock) -> None:
    def check() -> None:
        if clock.now > 1:
            raise KeyboardInterrupt

    patience = Patience("slot", check, clock=clock, sleep=clock.sleep)
    with pytest.raises(KeyboardInterrupt):
        PatientStore(Failing(10**6), patience).put("a", b"1")
    assert clock.now < 1.2


def test_a_store_that_takes_long_to_answer_is_a_reason_too(patience: Patience, clock: Clock) -> None:
    reasons: list[str | None] = []

    def answer() -> None:
        for _ in range(2):
            clock.sleep(4)
            reasons.append(patience.reason)

    patience.ask(answer)
    assert reasons == [None, "it has not answered for 8 s"] and patience.reason is None
