"""Declare whom to tell how a run ended. Mirrors the classes of `flyte.notify`.

Invariants: a notification that exists can be rendered and written as JSON; its texts name known variables only.
Texts may hold `{{.Run.Name}}`, `{{.Phase}}`, `{{.Error}}`, and Flyte's `{{.Run.Project}}` and `{{.Run.Domain}}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

from flyte_ray.errors import InvalidDeclaration, UnsupportedError
from flyte_ray.spec.phase import ActionPhase

Phases = ActionPhase | tuple[ActionPhase, ...]
Method = Literal["POST", "PUT", "PATCH", "GET", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"]
VARIABLES: Final = ("Run.Name", "Run.Project", "Run.Domain", "Phase", "Error")
VARIABLE: Final = re.compile(r"\{\{\s*\.([\w.]*)\s*\}\}")
ENDS: Final = (ActionPhase.SUCCEEDED, ActionPhase.FAILED, ActionPhase.TIMED_OUT, ActionPhase.ABORTED)
"""Phases that a run can end in."""
_SUMMARY: Final = (
    "Run: {{.Run.Name}}\nProject/Domain: {{.Run.Project}}/{{.Run.Domain}}\nPhase: {{.Phase}}\nError: {{.Error}}\n"
)


@dataclass(frozen=True, kw_only=True)
class Notification:
    """Something to send when a run ends in one of some phases.

    Raises:
        InvalidDeclaration: No phase is given, or one that no run ends in; a field cannot be meant.

    """

    on_phase: Phases
    """SUCCEEDED, FAILED, TIMED_OUT, ABORTED, or several of them."""

    def __post_init__(self) -> None:
        """Check the phases and all texts."""
        given = self.phases
        if not given or any(phase not in ENDS for phase in given):
            raise InvalidDeclaration(
                f"{type(self).__name__}.on_phase must be one or several of"
                f" {', '.join(f'ActionPhase.{phase.name}' for phase in ENDS)}, got {self.on_phase!r}."
            )
        object.__setattr__(self, "on_phase", tuple(ActionPhase(phase) for phase in given))
        for name, value in vars(self).items():
            for text in texts_in(value):
                _check_variables(f"{type(self).__name__}.{name}", text)
        try:
            json.dumps(self.dump())
        except (TypeError, ValueError) as error:
            raise InvalidDeclaration(
                f"{type(self).__name__} must be writable as JSON, but: {error}. Use texts, numbers, lists and dicts."
            ) from error

    @property
    def phases(self) -> tuple[ActionPhase, ...]:
        """The phases on which it is sent."""
        return (self.on_phase,) if isinstance(self.on_phase, str) else tuple(self.on_phase)

    def dump(self) -> dict[str, Any]:
        """Write for the record."""
        return {**asdict(self), "on_phase": [phase.value for phase in self.phases], "kind": type(self).__name__}


@dataclass(frozen=True, kw_only=True)
class Email(Notification):
    """A mail, sent through the server that the variable `FLYTE_RAY_SMTP` of the ledger's process names.

    Its form is `smtp://[user:password@]host[:port]`, or `smtps://` for TLS from the first byte; the default is
    `smtp://localhost:25`. `FLYTE_RAY_SMTP_FROM` is the sender's address.
    """

    recipients: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    subject: str = "Run {{.Run.Name}} {{.Phase}}"
    body: str = _SUMMARY
    html_body: str | None = None
    """Sent beside the plain text; values are escaped in it."""

    def __post_init__(self) -> None:
        """Check the addresses, too."""
        for name in ("recipients", "cc", "bcc"):
            given = getattr(self, name)
            addresses = (given,) if isinstance(given, str) else tuple(given)
            for address in addresses:
                if not isinstance(address, str) or not re.fullmatch(r"[^@\s,<>]+@[^@\s,<>]+", address):
                    raise InvalidDeclaration(
                        f"Email.{name} must be addresses such as 'me@example.com', got {address!r:.80}."
                    )
            object.__setattr__(self, name, addresses)
        if not self.recipients:
            raise InvalidDeclaration("Email.recipients must name somebody, got nobody. Write ('me@example.com',).")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class Slack(Notification):
    """A message to a Slack channel, by its incoming webhook."""

    webhook_url: str
    message: str | None = None
    """None for a line with run and phase."""
    blocks: tuple[dict[str, Any], ...] | None = None
    """Slack's Block Kit; sent in place of the message."""

    def __post_init__(self) -> None:
        """Check the URL, too, and fill in the message."""
        _check_url("Slack.webhook_url", self.webhook_url)
        if self.blocks is not None:
            object.__setattr__(self, "blocks", tuple(self.blocks))
        elif self.message is None:
            object.__setattr__(self, "message", "Run {{.Run.Name}}: {{.Phase}} {{.Error}}")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class Teams(Notification):
    """A message to a Microsoft Teams channel, by a webhook of the channel, sent as an adaptive card."""

    webhook_url: str
    title: str = "Run {{.Run.Name}} {{.Phase}}"
    message: str | None = None
    """None for a summary."""
    card: dict[str, Any] | None = None
    """An adaptive card; sent in place of title and message."""

    def __post_init__(self) -> None:
        """Check the URL, too, and fill in the message."""
        _check_url("Teams.webhook_url", self.webhook_url)
        if self.message is None and self.card is None:
            object.__setattr__(self, "message", _SUMMARY)
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class Webhook(Notification):
    """An HTTP request. Variables may stand in URL, header values and, at any depth, in the texts of the body."""

    url: str
    method: Method = "POST"
    headers: dict[str, str] | None = None
    body: dict[str, Any] | None = None
    """Sent as JSON; None sends `run`, `project`, `domain`, `phase` and `error`."""

    def __post_init__(self) -> None:
        """Check URL and method, too, and fill in the body."""
        _check_url("Webhook.url", self.url)
        if self.method not in get_args(Method):
            raise InvalidDeclaration(
                f"Webhook.method must be one of {', '.join(get_args(Method))}, got {self.method!r:.80}."
            )
        if self.body is None:
            names = {"run": "Run.Name", "project": "Run.Project", "domain": "Run.Domain"}
            texts = {name: f"{{{{.{variable}}}}}" for name, variable in names.items()}
            object.__setattr__(self, "body", {**texts, "phase": "{{.Phase}}", "error": "{{.Error}}"})
        super().__post_init__()


@dataclass(frozen=True)
class NamedRule:
    """A rule that an administrator of Flyte has set up; there is none here, so that a run refuses it."""

    name: str


@dataclass(frozen=True, kw_only=True)
class NamedDelivery(Notification):
    """A channel that an administrator of Flyte has set up; there is none here, so that a run refuses it."""

    name: str


_KINDS: Final = {kind.__name__: kind for kind in (Email, Slack, Teams, Webhook)}


def load_notification(recorded: Mapping[str, Any]) -> Notification:
    """Read what `Notification.dump` wrote."""
    fields = {name: value for name, value in recorded.items() if name != "kind"}
    return _KINDS[recorded["kind"]](**fields)


def notifications_from(request: object) -> tuple[Notification, ...]:
    """Read what a run was given: a notification, several, or None.

    Raises:
        TypeError: It is none of these.
        UnsupportedError: It refers to what an administrator of Flyte sets up.

    """
    if request is None:
        return ()
    given = tuple(request) if isinstance(request, (list, tuple)) else (request,)
    for each in given:
        if isinstance(each, (NamedRule, NamedDelivery)):
            raise UnsupportedError(
                f"A run cannot have the notification {each!r}, because nobody sets up rules and channels here. Write"
                f" it out: flyte.notify.Slack(...), Teams(...), Email(...) or Webhook(...)."
            )
        if type(each) not in _KINDS.values():
            raise TypeError(
                f"notifications must be made with flyte.notify, got {type(each).__name__}. Write for example"
                f" flyte.notify.Webhook(on_phase=flyte.models.ActionPhase.FAILED, url='https://example.com/hook')."
            )
    return tuple(each for each in given if isinstance(each, Notification))


def texts_in(value: Any) -> Iterator[str]:
    """Yield all texts in a value of plain lists, tuples and dicts."""
    if isinstance(value, str) and not isinstance(value, ActionPhase):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts_in(item)


def _check_variables(owner: str, text: str) -> None:
    for name in VARIABLE.findall(text):
        if name not in VARIABLES:
            known = ", ".join(f"{{{{.{each}}}}}" for each in VARIABLES)
            raise InvalidDeclaration(f"{owner} must use known variables, got '{{{{.{name}}}}}'. There are: {known}.")


def _check_url(owner: str, url: object) -> None:
    if not isinstance(url, str) or not re.match(r"https?://[^\s/{]", url):
        raise InvalidDeclaration(
            f"{owner} must be an http or https URL, got {url!r:.80}. Write for example 'https://example.com/hook'."
        )
