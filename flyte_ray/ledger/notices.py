"""Write out notifications: what is sent to whom when a run has ended.

Pure. A value that is put into a text keeps to the rules of where it stands: quoted in a URL, escaped in HTML, in one
line in a header.
"""

from __future__ import annotations

import html
import json
import urllib.parse
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any, Final, NamedTuple

from flyte_ray.ledger.requests import Ended
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.notification import VARIABLE, Email, Notification, Slack, Teams, Webhook

MAX_ERROR: Final = 2_000
"""Characters of an error that are sent; channels refuse longer messages."""
NONE: Final = "-"
"""Stands for project and domain, which runs do not have here."""
_BODILESS: Final = ("GET", "HEAD", "OPTIONS", "TRACE", "CONNECT")


class Request(NamedTuple):
    """An HTTP request."""

    url: str
    method: str
    headers: dict[str, str]
    body: bytes | None


class Mail(NamedTuple):
    """A mail without its sender."""

    message: EmailMessage
    to: tuple[str, ...]
    """All who get it, those too whom it does not name."""


Variables = dict[str, str]


def variables_of(run: RunId, ended: Ended) -> Variables:
    """Return what texts may name, of a run that has ended."""
    body = json.loads(ended.body) if ended.phase != "succeeded" else {}
    error = f"{body.get('code', '')}: {body.get('message', '')}".strip(": ")[:MAX_ERROR]
    return {"Run.Name": run, "Run.Project": NONE, "Run.Domain": NONE, "Phase": ended.phase, "Error": error}


def write(notice: Notification, variables: Variables) -> Request | Mail:
    """Write a notification out."""
    if isinstance(notice, Email):
        return _mail(notice, variables)
    if isinstance(notice, Slack):
        content = {"blocks": list(notice.blocks)} if notice.blocks else {"text": notice.message}
        return _post(notice.webhook_url, fill(content, variables))
    if isinstance(notice, Teams):
        return _post(notice.webhook_url, fill(_card(notice), variables))
    assert isinstance(notice, Webhook), f"{type(notice).__name__} was to be refused where it was declared"
    headers = {name: fill(value, variables, _in_one_line) for name, value in (notice.headers or {}).items()}
    request = _post(fill(notice.url, variables, _in_url), fill(notice.body, variables))
    body = None if notice.method in _BODILESS else request.body
    return Request(request.url, notice.method, {**request.headers, **headers}, body)


def fill(value: Any, variables: Variables, form: Callable[[str], str] = str) -> Any:
    """Put the variables into all texts of a value; `form` writes each as it must stand there."""
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: form(variables[found[1]]), value)
    if isinstance(value, dict):
        return {name: fill(item, variables, form) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill(item, variables, form) for item in value]
    return value


def _post(url: str, content: Any) -> Request:
    return Request(url, "POST", {"Content-Type": "application/json"}, json.dumps(content).encode())


def _card(notice: Teams) -> dict[str, Any]:
    """A message that both kinds of webhooks take which Teams has."""
    title = {"type": "TextBlock", "text": notice.title, "weight": "bolder", "size": "medium", "wrap": True}
    text = {"type": "TextBlock", "text": notice.message, "wrap": True}
    card = notice.card or {"type": "AdaptiveCard", "version": "1.4", "body": [title, text]}
    if card.get("type") == "message":
        return card  # is one already
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


def _mail(notice: Email, variables: Variables) -> Mail:
    message = EmailMessage()
    message["Subject"] = fill(notice.subject, variables, _in_one_line)
    message["To"] = ", ".join(notice.recipients)
    if notice.cc:
        message["Cc"] = ", ".join(notice.cc)
    message.set_content(fill(notice.body, variables))
    if notice.html_body is not None:
        message.add_alternative(fill(notice.html_body, variables, html.escape), subtype="html")
    return Mail(message, (*notice.recipients, *notice.cc, *notice.bcc))


def _in_url(value: str) -> str:
    return urllib.parse.quote(value, safe="")


def _in_one_line(value: str) -> str:
    return " ".join(value.split())
