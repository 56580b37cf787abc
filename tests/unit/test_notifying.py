"""A notification is sent once, again until it is taken, and not for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flyte_ray.ledger import notifying
from flyte_ray.ledger.delivery import Refused
from flyte_ray.ledger.notices import Mail, Request
from flyte_ray.ledger.notifying import Notifier
from flyte_ray.ledger.requests import Ended
from flyte_ray.models import ActionPhase
from flyte_ray.notify import Webhook
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store, open_store

RUN = RunId("r")
DONE = Ended("succeeded", "1")
NOTICES = [Webhook(on_phase=ActionPhase.SUCCEEDED, url="http://a").dump()]


class Server:
    """Takes what is sent after some failures."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self, what: Request | Mail) -> None:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(notifying, "PAUSES_S", (0.01, 0.01))
    return open_store(tmp_path)


def marked(store: Store) -> str:
    """The error that is noted."""
    return str(json.loads(store.get("runs/r/notified/0-0.json"))["error"])


def test_who_comes_upon_an_end_again_tells_nobody(store: Store) -> None:
    server = Server()
    for _ in range(2):
        Notifier(store, lambda: 0, server).tell(RUN, NOTICES, DONE, 0)
    assert server.calls == 1
    Notifier(store, lambda: 0, server).tell(RUN, NOTICES, DONE, 1)
    assert server.calls == 2, "a later end of the same run"


def test_what_was_not_taken_is_sent_again(store: Store) -> None:
    server = Server(OSError("away"), OSError("away"))
    Notifier(store, lambda: 0, server).tell(RUN, NOTICES, DONE, 0)
    assert (server.calls, marked(store)) == (3, "")


def test_what_is_never_taken_is_given_up_and_that_is_noted(store: Store) -> None:
    server = Server(*[OSError("away")] * 9)
    Notifier(store, lambda: 0, server).tell(RUN, NOTICES, DONE, 0)
    assert (server.calls, marked(store)) == (3, "away")


def test_what_is_refused_is_given_up_at_once(store: Store) -> None:
    server = Server(Refused("no such hook"))
    Notifier(store, lambda: 0, server).tell(RUN, NOTICES, DONE, 0)
    assert (server.calls, marked(store)) == (1, "no such hook")


def test_a_ledger_that_ends_leaves_what_was_not_taken_to_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "PAUSES_S", (600.0,))
    server = Server(OSError("away"))
    notifier = Notifier(store, lambda: 0, server)
    notifier.close()
    notifier.tell(RUN, NOTICES, DONE, 0)
    assert server.calls == 1
    Notifier(store, lambda: 0, server).tell(RUN, NOTICES, DONE, 0)
    assert (server.calls, marked(store)) == (2, "")


def test_an_end_waits_for_no_server_that_does_not_answer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "PAUSES_S", (600.0,))
    monkeypatch.setattr(notifying, "PROMPT_S", 0.01)
    notifier = Notifier(store, lambda: 0, Server(OSError("away")))
    notifier.tell(RUN, NOTICES, DONE, 0)  # returns
    notifier.close()


def test_a_kind_of_notification_that_this_version_does_not_know_fails_nothing(store: Store) -> None:
    server = Server()
    Notifier(store, lambda: 0, server).tell(RUN, [{"kind": "Pigeon", "on_phase": ["succeeded"]}], DONE, 0)
    assert server.calls == 0
