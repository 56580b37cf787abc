"""Whom a run tells how it ended, by real servers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any, cast

import pytest

import flyte_ray as flyte
from flyte_ray.errors import InvalidDeclaration, UnsupportedError
from flyte_ray.ledger import notifying
from flyte_ray.models import ActionPhase
from flyte_ray.notify import Email, NamedDelivery, NamedRule, Notification, Slack, Teams, Webhook
from tests.inboxes import HttpInbox, MailInbox, http_inbox, mail_inbox

env = flyte.TaskEnvironment("notified")
FAILED, SUCCEEDED = ActionPhase.FAILED, ActionPhase.SUCCEEDED
ERROR = "ValueError: no <number>\nat all"


@env.task
def adds(x: int) -> int:
    return x + 1


@env.task
def fails() -> int:
    raise ValueError("no <number>\nat all")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(notifying, "PAUSES_S", (0.01, 0.01, 0.01))
    flyte.init(root=tmp_path)
    return tmp_path


@pytest.fixture
def web() -> Iterator[HttpInbox]:
    with http_inbox() as inbox:
        yield inbox


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailInbox]:
    with mail_inbox() as inbox:
        monkeypatch.setenv("FLYTE_RAY_SMTP", inbox.url)
        monkeypatch.setenv("FLYTE_RAY_SMTP_FROM", "runs@example.com")
        yield inbox


def run_fails(*notifications: Notification, name: str = "bad") -> flyte.Run:
    run: flyte.Run = flyte.with_runcontext(name=name, notifications=notifications).run(fails)
    return run


def text_of(message: Message, kind: str) -> str:
    (part,) = [part for part in message.walk() if part.get_content_type() == kind]
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode().replace("\r\n", "\n")


def test_a_webhook_is_told_of_the_phases_that_it_names_and_of_no_others(web: HttpInbox) -> None:
    told = Webhook(on_phase=FAILED, url=web.url)
    flyte.with_runcontext(name="good", notifications=told).run(adds, 1)
    assert web.received == []
    run_fails(told, Webhook(on_phase=(SUCCEEDED, FAILED), url=web.url))
    content = {"run": "bad", "project": "-", "domain": "-", "phase": "failed", "error": ERROR}
    assert [(each.method, each.path, each.content) for each in web.received] == [("POST", "/hook", content)] * 2
    assert web.received[0].headers["Content-Type"] == "application/json"


def test_variables_stand_in_url_headers_and_at_any_depth_of_the_body(web: HttpInbox) -> None:
    body = {"text": "{{.Run.Name}} is {{ .Phase }}", "more": [{"error": "{{.Error}}"}, 1, None]}
    headers = {"X-Error": "{{.Error}}", "Content-Type": "application/vnd.mine+json"}
    run_fails(Webhook(on_phase=FAILED, url=f"{web.url}?e={{{{.Error}}}}", method="PUT", headers=headers, body=body))
    (got,) = web.received
    assert (got.method, got.path) == ("PUT", "/hook?e=ValueError%3A%20no%20%3Cnumber%3E%0Aat%20all")
    assert got.headers["X-Error"] == "ValueError: no <number> at all"
    assert got.headers["Content-Type"] == "application/vnd.mine+json"
    assert got.content == {"text": "bad is failed", "more": [{"error": "ValueError: no <number>\nat all"}, 1, None]}


def test_a_request_without_a_body_has_none(web: HttpInbox) -> None:
    run_fails(Webhook(on_phase=FAILED, url=web.url, method="GET"))
    assert [(each.method, each.content) for each in web.received] == [("GET", None)]


def test_slack_gets_a_text_or_blocks(web: HttpInbox) -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*{{.Run.Name}}*"}}]
    run_fails(
        Slack(on_phase=FAILED, webhook_url=web.url, message="{{.Run.Name}}!"),
        Slack(on_phase=FAILED, webhook_url=web.url, blocks=tuple(blocks)),
    )
    filled = [{"type": "section", "text": {"type": "mrkdwn", "text": "*bad*"}}]
    contents = sorted((each.content for each in web.received), key=str)
    assert contents == [{"blocks": filled}, {"text": "bad!"}]


def test_teams_gets_an_adaptive_card(web: HttpInbox) -> None:
    run_fails(Teams(on_phase=FAILED, webhook_url=web.url, message="{{.Error}}"))
    (got,) = web.received
    (attachment,) = got.content["attachments"]
    assert (got.content["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    texts = [block["text"] for block in attachment["content"]["body"]]
    assert texts == ["Run bad failed", "ValueError: no <number>\nat all"]


def test_teams_gets_the_card_that_was_given(web: HttpInbox) -> None:
    card = {"type": "AdaptiveCard", "body": [{"type": "TextBlock", "text": "{{.Phase}}"}]}
    run_fails(Teams(on_phase=FAILED, webhook_url=web.url, card=card))
    (attachment,) = web.received[0].content["attachments"]
    assert attachment["content"] == {"type": "AdaptiveCard", "body": [{"type": "TextBlock", "text": "failed"}]}


def test_a_mail_reaches_all_and_names_no_blind_copies(mail: MailInbox) -> None:
    run_fails(
        Email(
            on_phase=FAILED,
            recipients=("a@example.com", "b@example.com"),
            cc=("c@example.com",),
            bcc=("d@example.com",),
            subject="{{.Run.Name}}: {{.Error}}",
            html_body="<b>{{.Error}}</b>",
        )
    )
    (letter,) = mail.received
    assert letter.sender == "runs@example.com"
    assert letter.recipients == ["a@example.com", "b@example.com", "c@example.com", "d@example.com"]
    named = {name: letter.message[name] for name in ("From", "To", "Cc", "Bcc", "Subject")}
    assert named == {
        "From": "runs@example.com",
        "To": "a@example.com, b@example.com",
        "Cc": "c@example.com",
        "Bcc": None,
        "Subject": "bad: ValueError: no <number> at all",
    }
    text = text_of(letter.message, "text/plain")
    assert text == f"Run: bad\nProject/Domain: -/-\nPhase: failed\nError: {ERROR}\n"
    assert "<b>ValueError: no &lt;number&gt;" in text_of(letter.message, "text/html")


def test_what_is_not_taken_is_sent_again_and_then_no_more(web: HttpInbox, root: Path) -> None:
    web.answers = [503, 429]
    run_fails(Webhook(on_phase=FAILED, url=web.url))
    assert len(web.received) == 3
    mark = json.loads((root / "runs" / "bad" / "notified" / "0-0.json").read_text())
    assert (mark["kind"], mark["phase"], mark["error"]) == ("Webhook", "failed", "")


@pytest.mark.parametrize("answer", [404, 302])
def test_what_is_refused_is_not_sent_again_and_fails_nothing(
    web: HttpInbox, root: Path, answer: int, caplog: pytest.LogCaptureFixture
) -> None:
    web.answers = [answer]
    notice = Webhook(on_phase=SUCCEEDED, url=f"{web.url}/secret")
    run = flyte.with_runcontext(name="good", notifications=notice).run(adds, 1)
    assert run.outputs() == (2,)
    assert len(web.received) == 1
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert f"Webhook notification of run good was not sent: the server answered {answer}" in record.getMessage()
    assert "secret" not in record.getMessage()
    assert json.loads((root / "runs" / "good" / "notified" / "0-0.json").read_text())["error"]


def test_a_refused_address_is_not_tried_again(mail: MailInbox, caplog: pytest.LogCaptureFixture) -> None:
    mail.refused = ["a@example.com"]
    run_fails(Email(on_phase=FAILED, recipients=("a@example.com",)))
    assert "takes nothing for a@example.com" in caplog.text


def test_a_server_that_is_not_there_fails_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with http_inbox() as gone:
        pass
    monkeypatch.setenv("FLYTE_RAY_SMTP", gone.url.replace("http", "smtp"))
    run = flyte.with_runcontext(
        notifications=(Webhook(on_phase=SUCCEEDED, url=gone.url), Email(on_phase=SUCCEEDED, recipients=("a@b.c",)))
    ).run(adds, 1)
    assert run.outputs() == (2,)
    assert sorted("refused" in each.getMessage() for each in caplog.records) == [True, True]


def test_an_abort_is_told(web: HttpInbox) -> None:
    @env.task
    def gives_up() -> int:
        flyte.Run.get(flyte.ctx().run_name).abort_action("a0", "enough")
        return 1

    flyte.with_runcontext(notifications=Slack(on_phase=ActionPhase.ABORTED, webhook_url=web.url)).run(gives_up)
    assert "ActionAbortedError: enough" in web.received[0].content["text"]


def test_where_to_send_is_not_listed_with_the_runs(web: HttpInbox, root: Path) -> None:
    run_fails(Webhook(on_phase=FAILED, url=web.url))
    (entry,) = (root / "index").iterdir()
    assert "notifications" not in json.loads(entry.read_text())


def test_a_run_that_is_continued_tells_its_next_end_too(web: HttpInbox, root: Path) -> None:
    run_fails(Webhook(on_phase=FAILED, url=web.url)).resume()
    assert len(web.received) == 2


WRONG: dict[str, tuple[Any, str]] = {
    "running": (
        lambda: Webhook(on_phase=ActionPhase.RUNNING, url="http://a"),
        "on_phase must be one or several of",
    ),
    "no phase": (lambda: Webhook(on_phase=(), url="http://a"), "on_phase must be one or several of"),
    "url": (lambda: Slack(on_phase=FAILED, webhook_url="hook"), "Slack.webhook_url must be an http or https URL"),
    "method": (
        lambda: Webhook(on_phase=FAILED, url="http://a", method=cast(Any, "LOOK")),
        "method must be one of",
    ),
    "variable": (lambda: Slack(on_phase=FAILED, webhook_url="http://a", message="{{.Run.Id}}"), "{{.Run.Name}}"),
    "deep variable": (
        lambda: Webhook(on_phase=FAILED, url="http://a", body={"a": ["{{.X}}"]}),
        "body must use known",
    ),
    "nobody": (lambda: Email(on_phase=FAILED, recipients=()), "Email.recipients must name somebody"),
    "address": (lambda: Email(on_phase=FAILED, recipients=("me",)), "must be addresses such as 'me@example.com'"),
    "not JSON": (lambda: Webhook(on_phase=FAILED, url="http://a", body={"a": object()}), "must be writable as JSON"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_meant_is_refused_where_it_is_written(what: str) -> None:
    declare, message = WRONG[what]
    with pytest.raises(InvalidDeclaration) as caught:
        declare()
    assert message in str(caught.value)


def test_what_an_administrator_of_flyte_sets_up_is_refused() -> None:
    for named in (NamedRule("oncall"), NamedDelivery(on_phase=FAILED, name="oncall")):
        with pytest.raises(UnsupportedError, match="Write it out: flyte.notify.Slack"):
            flyte.with_runcontext(notifications=named)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be made with flyte.notify, got str"):
        flyte.with_runcontext(notifications="me@example.com")  # type: ignore[arg-type]
