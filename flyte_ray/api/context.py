"""Say what a task's code may ask about itself: `ctx`, `group`, `custom_context`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from flyte_ray.api.whereabouts import ActionID, CodeBundle, GroupData, Ranks, RawDataPath, read_ranks
from flyte_ray.errors import NotInTaskContextError
from flyte_ray.ledger.paths import code_key, run_prefix
from flyte_ray.runtime.context import ActionContext, current_action, current_custom, current_group
from flyte_ray.spec.ids import RunId

if TYPE_CHECKING:
    from flyte_ray.runtime.checkpoint import Checkpoint
    from flyte_ray.runtime.report import Report


class TaskContext:
    """What is known where `flyte.ctx()` is called; false outside a task. Mirrors `flyte.models.TaskContext`.

    Raises:
        NotInTaskContextError: Something was read outside a task that only a task has.

    """

    def __init__(self, action: ActionContext | None) -> None:
        """Show an action's context; None outside a task."""
        self._action = action

    def __bool__(self) -> bool:
        return self._action is not None

    def __repr__(self) -> str:
        if self._action is None:
            return "TaskContext(outside a task)"
        return f"TaskContext({self.run_name!r}, {self.action_name!r}, attempt_number={self.attempt_number})"

    @property
    def is_task_running(self) -> bool:
        """Whether this code runs in a task."""
        return self._action is not None

    @property
    def in_driver(self) -> bool:
        """Whether this code runs outside any task, as the code does that starts runs."""
        return self._action is None

    @property
    def action(self) -> ActionID:
        """The action's id."""
        return ActionID(self.action_name, self.run_name)

    @property
    def action_name(self) -> str:
        """The action's name: unique in its run."""
        return self._inside("action_name").action_name

    @property
    def run_name(self) -> str:
        """The run's name."""
        return self._inside("run_name").run_name

    @property
    def task_name(self) -> str:
        """Qualified name of the task, `<environment>.<function>`."""
        return self._inside("task_name").execution.known.task.name

    @property
    def attempt_number(self) -> int:
        """Attempts of this action before this one; the first has number 0."""
        return self._inside("attempt_number").attempt_number

    @property
    def run_start_time(self) -> datetime:
        """When the run was started, UTC; the same for all its actions and attempts."""
        started = self._inside("run_start_time").controller.spec["started_us"]
        return datetime.fromtimestamp(started / 1e6, tz=timezone.utc)

    @property
    def run_base_dir(self) -> str:
        """Folder or URL of the run's record."""
        inside = self._inside("run_base_dir")
        return f"{_plain(inside.controller.blobs.root.uri)}/{run_prefix(RunId(inside.run_name))}"

    @property
    def raw_data_path(self) -> RawDataPath:
        """Where the run's values lie that are not in its log."""
        return RawDataPath(_plain(self._inside("raw_data_path").controller.blobs.absolute("")).rstrip("/"))

    @property
    def input_path(self) -> None:
        """None: inputs are rows of the run's log, not files."""
        self._inside("input_path")

    @property
    def output_path(self) -> str:
        """Folder or URL that is this attempt's own, for what its code writes by itself; part of the run's data."""
        inside = self._inside("output_path")
        return f"{self.raw_data_path.path}/outputs/{inside.action_name}/{inside.attempt_number}"

    @property
    def code_bundle(self) -> CodeBundle | None:
        """The code that travelled with the run; None if nothing did."""
        controller = self._inside("code_bundle").controller
        digest = (controller.spec.get("code") or "").partition(":")[0]
        return CodeBundle(digest, f"{controller.blobs.root.uri}/{code_key(digest)}") if digest else None

    @property
    def version(self) -> str:
        """Digest of the run's code; empty if none travelled."""
        code = self.code_bundle
        return code.computed_version if code else ""

    @property
    def disable_run_cache(self) -> bool:
        """Whether the run neither reads nor writes the cache."""
        return bool(self._inside("disable_run_cache").controller.spec.get("cache") == "off")

    @property
    def interactive_mode(self) -> bool:
        """Whether the run was started from a notebook or a prompt."""
        return bool(self._inside("interactive_mode").controller.spec.get("interactive"))

    @property
    def checkpoint(self) -> Checkpoint:
        """What an earlier attempt of this action saved, and where this one saves."""
        return self._inside("checkpoint").checkpoint

    @property
    def report(self) -> Report:
        """What this attempt has to show; see `flyte.report`."""
        return self._inside("report").report

    @property
    def mode(self) -> str:
        """`local` or `remote`."""
        return self._inside("mode").mode

    @property
    def group(self) -> str | None:
        """Label that actions started here get; None without `flyte.group`."""
        return current_group.get()

    @property
    def group_data(self) -> GroupData | None:
        """`group` in Flyte's form."""
        return GroupData(self.group) if self.group else None

    @property
    def custom_context(self) -> dict[str, str]:
        """What actions started here get to know; a copy."""
        given = self._action.custom_context if self._action else {}
        return {**given, **(current_custom.get() or {})}

    @property
    def ranks(self) -> Ranks:
        """The place of this process in a distributed computation; the properties below give its parts."""
        return read_ranks()

    rank = property(lambda self: self.ranks.rank, doc="Number of this process among all, from 0.")
    local_rank = property(lambda self: self.ranks.local_rank, doc="Number of this process on its node, from 0.")
    world_size = property(lambda self: self.ranks.world_size, doc="Number of processes; 1 for one on its own.")
    local_world_size = property(lambda self: self.ranks.local_world_size, doc="Number of processes on this node.")
    node_rank = property(lambda self: self.ranks.node_rank, doc="Number of this node, from 0.")
    nnodes = property(lambda self: self.ranks.nnodes, doc="Number of nodes.")
    master_addr = property(lambda self: self.ranks.master_addr, doc="Where the first process listens, or None.")
    master_port = property(lambda self: self.ranks.master_port, doc="Port there, or None.")
    restart_attempt = property(lambda self: self.ranks.restart_attempt, doc="How often all were started again.")

    def is_in_cluster(self) -> bool:
        """Whether this code runs in a task on a Ray cluster."""
        return self._action is not None and self._action.mode == "remote"

    def _inside(self, what: str) -> ActionContext:
        if self._action is None:
            raise NotInTaskContextError(
                "NotInTaskContext",
                f"flyte.ctx().{what} is known inside a task, and was read outside of one."
                f" Ask 'if flyte.ctx():' before.",
            )
        return self._action


def _plain(uri: str) -> str:
    """Name a folder of this machine as `open` does."""
    return uri.removeprefix("file://")


def ctx() -> TaskContext:
    """Return what is known of the action that calls this; false outside a task. Mirrors `flyte.ctx`."""
    return TaskContext(current_action.get())


@contextmanager
def group(name: str) -> Iterator[None]:
    """Label the actions started inside; part of their ids. The innermost group wins; no effect outside a task.

    Raises:
        TypeError: `name` is no text, or empty.

    Source: `flyte.group`.

    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"flyte.group expects a name, got {name!r}. Write flyte.group('preparation').")
    token = current_group.set(name)
    try:
        yield
    finally:
        current_group.reset(token)


@contextmanager
def custom_context(**context: str) -> Iterator[None]:
    """Give keys and values to all actions started inside and their descendants; not part of any cache key.

    Raises:
        TypeError: A value is no text.

    Source: `flyte.custom_context`.

    """
    for key, value in context.items():
        if not isinstance(value, str):
            raise TypeError(
                f"flyte.custom_context expects text, got {type(value).__name__} {value!r} for {key!r}."
                f" Write {key}={str(value)!r}."
            )
    token = current_custom.set({**(current_custom.get() or {}), **context})
    try:
        yield
    finally:
        current_custom.reset(token)


def get_custom_context() -> dict[str, str]:
    """Return the keys and values that apply here; a copy, empty if there are none. Mirrors Flyte's."""
    return ctx().custom_context
