"""Declare what starts runs of a task by itself, or with fixed inputs on demand. Mirrors `flyte.Trigger`."""

from __future__ import annotations

import datetime as dt
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.interface import Interface
from flyte_ray.spec.notification import Notification, notifications_from
from flyte_ray.spec.schedule import Automation, Cron, FixedRate

CatchUp = Literal["once", "all", "none"]
Overlap = Literal["allow", "queue", "skip"]
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class _TriggerTime:
    """The type of `TriggerTime`."""

    def __repr__(self) -> str:
        return "TriggerTime"


TriggerTime: Final = _TriggerTime()
"""Stands among a trigger's inputs for the moment for which a run is started, in UTC."""


@dataclass(frozen=True)
class Trigger:
    """Starts runs of a task; given to `@env.task(triggers=...)`, and there when the task is deployed.

    Raises:
        InvalidDeclaration: The name, a rule or a bound has another form, or `TriggerTime` stands where nothing fires.
        TypeError: A field has a value of another type.

    Source: `flyte.Trigger`; `catchup` and `overlap` are ours.

    """

    name: str
    """Unique in its task: letters, digits, '.', '_' and '-', at most 63."""
    automation: Cron | FixedRate | None = None
    """None: it is run on demand, with `flyte.run(trigger)`."""
    description: str = ""
    auto_activate: bool = True
    """It fires once it is deployed; False: when it is activated."""
    inputs: dict[str, Any] | None = None
    """Inputs of its runs, by parameter; what is missing has the parameter's default."""
    env_vars: dict[str, str] | None = None
    interruptible: bool | None = None
    """Accepted."""
    overwrite_cache: bool = False
    queue: str | None = None
    """The queue of its runs' tasks that name none."""
    max_action_concurrency: int | None = None
    """How many actions of a run run at a time: 0 (no limit) or at least 2."""
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None
    """Accepted."""
    notifications: Any = None
    """Whom to tell how a run ended: one of `flyte.notify`, or several."""
    custom_context: Mapping[str, str] | None = None
    catchup: CatchUp = "once"
    """What becomes of fires that were missed while no ledger lived: the last one is made up for, all, or none."""
    overlap: Overlap = "allow"
    """What becomes of a fire while the run of the last one goes on: it starts, waits for its end, or is left out."""
    told: tuple[Notification, ...] = field(init=False, repr=False, compare=False)
    """`notifications`, as a tuple."""

    def __post_init__(self) -> None:
        """Check what the user wrote and no other type has checked."""
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidDeclaration(
                f"A trigger's name must be 1 to 63 letters, digits, '.', '_' or '-', got {self.name!r:.80}. Write for"
                f" example 'nightly'."
            )
        if self.automation is not None and not isinstance(self.automation, get_args(Automation)):
            raise TypeError(
                f"{self._owner}: automation must be a Cron, a FixedRate or None, got {type(self.automation).__name__}"
                f" {self.automation!r:.80}. Write for example flyte.Cron('0 9 * * *')."
            )
        self._check_choice("catchup", self.catchup, get_args(CatchUp))
        self._check_choice("overlap", self.overlap, get_args(Overlap))
        self._check_texts()
        count = self.max_action_concurrency
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0 or count == 1):
            raise InvalidDeclaration(
                f"{self._owner}: max_action_concurrency must be 0 (no limit) or at least 2, got {count!r}: a task"
                f" would wait for its child for ever."
            )
        if self.automation is None and self.time_inputs:
            raise InvalidDeclaration(
                f"{self._owner}: TriggerTime is when a Cron or FixedRate fires, got it for input"
                f" '{self.time_inputs[0]}' without one. Add automation=flyte.Cron(...), or give a value."
            )
        object.__setattr__(self, "told", notifications_from(self.notifications))

    def _check_choice(self, name: str, value: object, known: tuple[str, ...]) -> None:
        if value not in known:
            raise InvalidDeclaration(
                f"{self._owner}: {name} must be one of {', '.join(map(repr, known))}, got {value!r:.80}."
            )

    def _check_texts(self) -> None:
        for name in ("env_vars", "labels", "custom_context"):
            for key, text in dict(getattr(self, name) or {}).items():
                if not isinstance(key, str) or not isinstance(text, str):
                    raise TypeError(
                        f"{self._owner}: {name} must map str to str, got {key!r}: {text!r:.80}. Write it as text."
                    )

    @property
    def _owner(self) -> str:
        return f"Trigger '{self.name}'"

    @property
    def time_inputs(self) -> tuple[str, ...]:
        """Inputs that are the moment of the fire."""
        return tuple(name for name, value in (self.inputs or {}).items() if isinstance(value, _TriggerTime))

    def check_for(self, task: str, interface: Interface) -> None:
        """Refuse inputs that the task does not take, and missing ones.

        Raises:
            InvalidDeclaration: One is unknown, missing, or `TriggerTime` for what is no datetime.

        """
        known = {item.name: item for item in interface.parameters}
        listed = ", ".join(known) or "none"
        for name in self.inputs or {}:
            if name not in known:
                raise InvalidDeclaration(
                    f"{self._owner}: task '{task}' should have the parameter '{name}', but has: {listed}. Correct"
                    f" inputs."
                )
        for name, item in known.items():
            if not item.has_default and name not in (self.inputs or {}):
                raise InvalidDeclaration(
                    f"{self._owner}: task '{task}' needs a value for parameter '{name}', got none. Add it to inputs,"
                    f" for example inputs={{'{name}': ...}}."
                )
        for name in self.time_inputs:
            if not _takes_datetime(known[name].annotation):
                raise InvalidDeclaration(
                    f"{self._owner}: TriggerTime is a datetime, but parameter '{name}' of task '{task}' is"
                    f" {getattr(known[name].annotation, '__name__', known[name].annotation)}. Annotate it as datetime."
                )

    @classmethod
    def minutely(cls, trigger_time_input_key: str | None = None, *, name: str = "minutely", **fields: Any) -> Trigger:
        """Fire each minute; `trigger_time_input_key` names the input that is the moment."""
        return cls._ready(name, "* * * * *", trigger_time_input_key, fields)

    @classmethod
    def hourly(cls, trigger_time_input_key: str | None = None, *, name: str = "hourly", **fields: Any) -> Trigger:
        """Fire each full hour; see `minutely`."""
        return cls._ready(name, "0 * * * *", trigger_time_input_key, fields)

    @classmethod
    def daily(cls, trigger_time_input_key: str | None = None, *, name: str = "daily", **fields: Any) -> Trigger:
        """Fire each midnight, UTC; see `minutely`."""
        return cls._ready(name, "0 0 * * *", trigger_time_input_key, fields)

    @classmethod
    def weekly(cls, trigger_time_input_key: str | None = None, *, name: str = "weekly", **fields: Any) -> Trigger:
        """Fire when a Sunday begins, UTC; see `minutely`."""
        return cls._ready(name, "0 0 * * 0", trigger_time_input_key, fields)

    @classmethod
    def monthly(cls, trigger_time_input_key: str | None = None, *, name: str = "monthly", **fields: Any) -> Trigger:
        """Fire when a month begins, UTC; see `minutely`."""
        return cls._ready(name, "0 0 1 * *", trigger_time_input_key, fields)

    @classmethod
    def _ready(cls, name: str, expression: str, key: str | None, fields: dict[str, Any]) -> Trigger:
        inputs = dict(fields.pop("inputs", None) or {})
        if key is not None:
            inputs[key] = TriggerTime
        fields.setdefault("description", f"Fires {name}" if name in _READY else "")
        return cls(name, Cron(expression), inputs=inputs or None, **fields)


_READY: Final = ("minutely", "hourly", "daily", "weekly", "monthly")


def triggers_from(request: Any, task: str) -> tuple[Trigger, ...]:
    """Read `triggers=`: one, or several of different names.

    Raises:
        TypeError: One is no trigger.
        InvalidDeclaration: Two have one name.

    """
    given = (request,) if isinstance(request, Trigger) else tuple(request or ())
    for each in given:
        if not isinstance(each, Trigger):
            raise TypeError(
                f"Task '{task}': triggers must be made with flyte.Trigger, got {type(each).__name__} {each!r:.80}."
                f" Write triggers=flyte.Trigger.daily()."
            )
    names = [each.name for each in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidDeclaration(
            f"Task '{task}': each trigger needs a name of its own, got '{twice}' twice. Rename one."
        )
    return given


def _takes_datetime(annotation: Any) -> bool:
    if annotation in (dt.datetime, Any):
        return True
    if typing.get_origin(annotation) is typing.Annotated:
        return _takes_datetime(typing.get_args(annotation)[0])
    return any(_takes_datetime(part) for part in typing.get_args(annotation))
