"""When a slot speaks to its ledger, and what of; the test plays port and slot."""

from __future__ import annotations

import threading
import time

from flyte_ray.ledger.messages import Held, Message, Reply, Return, Work
from flyte_ray.runtime.exchange import HOLD_BACK_S, PROMPT, Exchange
from flyte_ray.runtime.mailbox import Mailbox
from flyte_ray.runtime.standing import MOST, WANT, Standing, stand
from tests.waiting import within

until = within(30)


class Port:
    """Keeps what is sent."""

    lends = False

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def latest(self) -> object:
        return None

    def park(self, ticket: object) -> None:
        raise AssertionError("nobody parks here")


class Host:
    """A slot that runs one action and wants nothing."""

    active = "first"

    def is_hungry(self) -> bool:
        return False

    def standing(self) -> Standing:
        return Standing(0, frozenset(), frozenset(), False, False, self.active, 0)

    def held(self, mail: Mailbox) -> Held:
        raise AssertionError("no ledger restarts here")

    def stale_at(self) -> float | None:
        return None

    def hand_back(self) -> None:
        return

    def deliver(self) -> None:
        return


def make_exchange() -> tuple[Exchange, Port, threading.RLock]:
    lock, port = threading.RLock(), Port()
    return Exchange("slot", "run", "shape", {}, lock, port), port, lock


def reply(orders: int) -> Reply:
    works = [Work(f"a{number}", "a0", 0, "task", "{}", None, None, False) for number in range(orders)]
    return Reply(1, 0, [*works], 0, 0, 0, {}, True)


def test_what_begins_after_a_thread_has_sent_what_was_due_is_told_by_the_exchanges_own() -> None:
    exchange, port, lock = make_exchange()
    host = Host()
    with lock:
        exchange.post(Return("a1", 0))
    time.sleep(HOLD_BACK_S)
    exchange.speak(host)
    assert [message.active for message in port.sent] == ["first"]
    host.active = "second"  # which takes long and posts nothing
    speaker = threading.Thread(target=exchange.run, args=(host,), daemon=True)
    speaker.start()
    until(lambda: [message.active for message in port.sent] == ["first", "second"])
    with lock:
        exchange.close()
    speaker.join(30)
    assert not speaker.is_alive()


def test_a_batch_is_answered_at_once_and_a_single_order_with_the_next_message() -> None:
    for orders, messages in ((1, 0), (PROMPT, 1)):
        exchange, port, lock = make_exchange()
        with lock:
            exchange.hear(reply(orders), 0)
            exchange._since = None  # not due by time
        exchange.speak(Host())
        assert len(port.sent) == messages


def ahead_of(ready: int) -> int:
    return stand([], hungry=False, active=True, is_full=False, buried=False, ready=ready).ahead


def test_a_slot_asks_ahead_for_small_batches_until_it_has_enough() -> None:
    assert [ahead_of(0), ahead_of(1), ahead_of(MOST - WANT), ahead_of(MOST)] == [0, WANT, WANT, 0]
