"""Ask a person from inside of a task: `flyte.new_condition`."""

from __future__ import annotations

from datetime import timedelta
from typing import Generic, TypeVar, cast

from flyte_ray.api.both import BothOwn, is_in_loop
from flyte_ray.api.settings import current_store
from flyte_ray.errors import SyncTaskCallInAsyncContextError
from flyte_ray.ledger.callbacks import find_api
from flyte_ray.runtime.conditions import ask_for, wait_for, wait_for_later
from flyte_ray.spec.condition import ConditionSpec, ConditionWebhook, PromptType, condition_from

T = TypeVar("T", bool, int, float, str)


class Condition(Generic[T]):
    """A question to a person: what `flyte.new_condition` returns. Mirrors Flyte's `_Condition`."""

    wait: BothOwn[[], T]
    """Wait for the signal and return its value, of `data_type`; at once, and again and again, when it was given.
    `await condition.wait.aio()` in async code, where a wait that is cancelled leaves the condition waiting.

    While an action does nothing but wait, it lends its CPU. Its own `timeout` counts this time, too.

    Raises:
        ConditionTimedoutError: Nobody signalled within `timeout`.
        ConditionFailedError: It ended without a value of `data_type`.
        ActionAbortedError: It was aborted.
        RuntimeError: Not inside of a task.
        SyncTaskCallInAsyncContextError: `wait()` would block an event loop.
    """

    def __init__(self, spec: ConditionSpec) -> None:
        """Wrap what was declared."""
        self._spec = spec
        self.wait = BothOwn(self._wait, self._wait_later)

    def __repr__(self) -> str:
        return f"Condition({self.name!r}, prompt={self.prompt!r}, data_type={self.data_type.__name__})"

    @property
    def name(self) -> str:
        """What it is signalled by, unique in its action."""
        return self._spec.name

    @property
    def prompt(self) -> str:
        """The question."""
        return self._spec.prompt

    @property
    def prompt_type(self) -> PromptType:
        """How the question is written: `text` or `markdown`."""
        return self._spec.prompt_type

    @property
    def data_type(self) -> type[T]:
        """Type of the answer."""
        return cast("type[T]", self._spec.data_type)

    @property
    def description(self) -> str:
        """More about the question."""
        return self._spec.description

    @property
    def timeout(self) -> timedelta | None:
        """How long it waits; None for ever."""
        seconds = self._spec.timeout_s
        return None if seconds is None else timedelta(seconds=seconds)

    @property
    def webhook(self) -> ConditionWebhook | None:
        """Who is told that it waits."""
        return self._spec.webhook

    def _wait(self) -> T:
        if is_in_loop():
            raise SyncTaskCallInAsyncContextError(
                f"wait() of condition '{self.name}' was called from async code, which it would block. Write"
                f" 'await condition.wait.aio()'."
            )
        return cast("T", wait_for(self._spec))

    async def _wait_later(self) -> T:
        return cast("T", await wait_for_later(self._spec))


def _new_condition(
    name: str,
    /,
    prompt: str = "Approve?",
    prompt_type: PromptType = "text",
    data_type: type[T] = bool,  # type: ignore[assignment]  # as Flyte's: the default is one of the types
    description: str = "",
    timeout: timedelta | float | None = None,
    webhook: ConditionWebhook | None = None,
) -> Condition[T]:
    """Have a condition wait for a person's signal, and return it; its `wait()` gives the answer.

    It is an action of its own in phase PAUSED, which `flyte-ray get condition RUN` lists and
    `flyte-ray signal condition RUN NAME VALUE` or `flyte.remote.Condition` answers. The answer is on record: an action
    that runs again, after a crash, a retry or a resume, finds the condition by its name. Outside a task nothing waits.

    Args:
        name: Unique in the action that makes it.
        prompt: The question.
        prompt_type: How it is written: `text` or `markdown`.
        data_type: Type of the answer: bool, int, float or str.
        description: More about the question.
        timeout: How long it waits, in seconds or as a `timedelta`, from now on; None for ever.
        webhook: Who is told that it waits.

    Raises:
        ConditionAlreadyExistsError: The action has made one of this name.
        TypeError: `data_type` is another type, or an argument is of another type.
        InvalidDeclaration: An empty name, a timeout that is not positive, another `prompt_type`.
        UnsupportedError: The webhook names `{callback_uri}`, and no HTTP API of the root is served.

    Source: `flyte.new_condition`.

    """
    spec = condition_from(name, prompt, prompt_type, data_type, description, timeout, webhook)
    if webhook is not None and webhook.names_callback:
        find_api(current_store())  # refused here, where the user reads it, not where the webhook is called
    ask_for(spec)
    return Condition(spec)


new_condition = BothOwn(_new_condition)
