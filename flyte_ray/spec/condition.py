"""Describe a condition: what a person is asked, what kind of value is expected, and for how long.

Pure. Mirrors `flyte.new_condition` and `flyte.ConditionWebhook`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, get_args

from flyte_ray.errors import InvalidDeclaration

PromptType = Literal["text", "markdown"]
ConditionValue = bool | int | float | str
TYPES: Final[dict[str, type[ConditionValue]]] = {"bool": bool, "int": int, "float": float, "str": str}
CALLBACK: Final = "{callback_uri}"
"""Stands in a webhook for the URI to which the condition's answer is POSTed."""
_TRUE: Final = ("true", "1", "yes", "y", "t")
_FALSE: Final = ("false", "0", "no", "n", "f")


@dataclass(frozen=True)
class ConditionWebhook:
    """Where to POST that a condition waits, when that is stored. Mirrors Flyte's `ConditionWebhook`.

    Raises:
        InvalidDeclaration: `url` is no http or https URL, or `payload` cannot be written as JSON.

    """

    url: str
    """May name `{callback_uri}`, as any text in the payload may: to it the answer is POSTed, as `{"value": ...}`."""
    payload: dict[str, Any] | None = None
    """Sent as JSON; None sends `run`, `action`, `name`, `prompt` and `data_type`."""

    def __post_init__(self) -> None:
        """Refuse what could not be sent."""
        if not isinstance(self.url, str) or not self.url.startswith(("http://", "https://")):
            raise InvalidDeclaration(
                f"ConditionWebhook.url must be an http or https URL, got {self.url!r:.80}. Write for example"
                f" 'https://example.com/hook'."
            )
        if self.payload is not None and not isinstance(self.payload, dict):
            raise InvalidDeclaration(
                f"ConditionWebhook.payload must be a dict, got {type(self.payload).__name__}. Write {{'text': '...'}}."
            )
        try:
            json.dumps(self.payload)
        except (TypeError, ValueError) as error:
            raise InvalidDeclaration(
                f"ConditionWebhook.payload must be writable as JSON, but: {error}. Use texts, numbers, lists and dicts."
            ) from error

    @property
    def names_callback(self) -> bool:
        """Whether it says `{callback_uri}` somewhere."""
        return CALLBACK in self.url or CALLBACK in json.dumps(self.payload)


@dataclass(frozen=True)
class ConditionSpec:
    """A condition as it is recorded: the inputs of its action."""

    name: str
    """Unique in the action that waits."""
    prompt: str
    prompt_type: PromptType
    data_type: type[ConditionValue]
    description: str
    timeout_s: float | None
    """Counted from when it begins to wait, in seconds; None is no bound."""
    webhook: ConditionWebhook | None

    def dump(self) -> str:
        """Write for the record."""
        hook = self.webhook
        return json.dumps(
            {
                "name": self.name,
                "prompt": self.prompt,
                "prompt_type": self.prompt_type,
                "data_type": self.data_type.__name__,
                "description": self.description,
                "timeout_s": self.timeout_s,
                "webhook": {"url": hook.url, "payload": hook.payload} if hook else None,
            },
            ensure_ascii=False,
        )

    @staticmethod
    def load(text: str) -> ConditionSpec:
        """Read from the record."""
        raw = json.loads(text)
        raw["data_type"] = TYPES[raw["data_type"]]
        raw["webhook"] = ConditionWebhook(**raw["webhook"]) if raw["webhook"] else None
        return ConditionSpec(**raw)


def condition_from(
    name: str,
    prompt: str,
    prompt_type: PromptType,
    data_type: type[ConditionValue],
    description: str,
    timeout: timedelta | float | None,
    webhook: ConditionWebhook | None,
) -> ConditionSpec:
    """Check what `flyte.new_condition` was given.

    Raises:
        TypeError: `data_type` is not one of bool, int, float and str, or another argument is of another type.
        InvalidDeclaration: The name is empty, the timeout is not positive, or `prompt_type` is something else.

    """
    for what, value in (("name", name), ("prompt", prompt), ("description", description)):
        if not isinstance(value, str):
            raise TypeError(f"A condition's {what} must be text, got {type(value).__name__} {value!r:.80}.")
    if not name.strip():
        raise InvalidDeclaration("A condition needs a name to be signalled by, got an empty one. Write 'approval'.")
    if data_type not in TYPES.values():
        raise TypeError(f"data_type of condition '{name}' must be bool, int, float or str, got {data_type!r:.80}.")
    if prompt_type not in get_args(PromptType):
        raise InvalidDeclaration(
            f"prompt_type of condition '{name}' must be 'text' or 'markdown', got {prompt_type!r:.80}."
        )
    if webhook is not None and not isinstance(webhook, ConditionWebhook):
        raise TypeError(
            f"webhook of condition '{name}' must be a flyte.ConditionWebhook, got {type(webhook).__name__}. Write"
            f" flyte.ConditionWebhook(url)."
        )
    return ConditionSpec(name, prompt, prompt_type, data_type, description, _seconds(name, timeout), webhook)


def _seconds(name: str, timeout: timedelta | float | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (timedelta, int, float)):
        raise TypeError(f"timeout of condition '{name}' must be seconds or a timedelta, got {timeout!r:.80}.")
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
    if not 0 < seconds < math.inf:
        raise InvalidDeclaration(
            f"timeout of condition '{name}' must be more than 0 seconds, got {timeout!r}. Leave it out for none."
        )
    return seconds


def check_value(value: object, data_type: type[ConditionValue]) -> ConditionValue:
    """Check a value that a condition is signalled with; a whole number is a float, too.

    Raises:
        TypeError: It is of another type than the condition's, or not a finite number.

    """
    if data_type is float and type(value) is int:
        return float(value)
    if type(value) is not data_type or not isinstance(value, (bool, int, float, str)):
        raise TypeError(f"The condition expects {data_type.__name__}, got {type(value).__name__} {value!r:.80}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"The condition expects a finite number, got {value!r}.")
    return value


def parse_value(text: str, data_type: type[ConditionValue]) -> ConditionValue:
    """Read a value that was typed on a command line.

    Raises:
        ValueError: The text is no value of that type.

    """
    word = text.strip().lower()
    if data_type is bool:
        if word not in _TRUE + _FALSE:
            raise ValueError(f"The condition expects true or false, got {text!r:.80}.")
        return word in _TRUE
    try:
        return check_value(data_type(text), data_type)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The condition expects {data_type.__name__}, got {text!r:.80}.") from error
