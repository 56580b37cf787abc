"""Start runs anew from earlier ones: with the same code and inputs, and with the outcomes that still count.

Nothing of the earlier run is changed. What its inputs and outcomes refer to stays where it is.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flyte_ray.api.revising import Plan, imported_changes
from flyte_ray.api.settings import current_pickling
from flyte_ray.cluster.code import unpack_code
from flyte_ray.errors import ActionNotFoundError, RunNotFoundError, RuntimeUserError
from flyte_ray.ledger.cache import CacheUse
from flyte_ray.ledger.messages import TaskRef, read_ref
from flyte_ray.ledger.outputs import take, take_all
from flyte_ray.ledger.paths import data_place
from flyte_ray.ledger.query import load_spec, load_state
from flyte_ray.ledger.recovering import recoverable
from flyte_ray.ledger.requests import read_start
from flyte_ray.ledger.revision import Changes
from flyte_ray.ledger.state import RunState
from flyte_ray.runtime.blobs import RunBlobs, blobs_at
from flyte_ray.runtime.catalog import load_task
from flyte_ray.runtime.local import LOCAL_SHAPE
from flyte_ray.spec.ids import ROOT_ACTION, RunId
from flyte_ray.spec.task import TaskSpec
from flyte_ray.storage import Store
from flyte_ray.types import Encoded, build_codec

_log: Final = logging.getLogger("flyte_ray")


@dataclass(frozen=True)
class Source:
    """An action of an earlier run, as it is on record, from which a run is started anew."""

    run: RunId
    action: str
    spec: Mapping[str, Any]
    """How its run was started."""
    state: RunState
    ref: TaskRef
    inputs: str
    """JSON, by parameter."""
    context: str | None
    cache: str | None

    @property
    def place(self) -> str:
        """Where the large values of its run lie."""
        return data_place(self.run, self.spec)

    def runs_as_it_is(self, about: Mapping[str, Any]) -> bool:
        """Whether slots of a cluster find its task by the reference on record, with a run of this description."""
        as_before = dict(about["env_vars"]) == (self.spec.get("env_vars") or {}) and all(
            about[name] == self.spec.get(name) for name in ("queue", "interruptible")
        )
        return not self.ref.shape.startswith(LOCAL_SHAPE) and as_before

    @property
    def code(self) -> str | None:
        """Marker of the code that its run used last."""
        return self.state.code or self.spec["code"]


def find_source(store: Store, name: str, action: str = ROOT_ACTION) -> Source:
    """Read what a run is started anew from.

    Raises:
        RunNotFoundError: The root holds no such run, or one that was cut off before it began.
        ActionNotFoundError: The run has no such action, or it is a condition.

    """
    run = RunId(name)
    spec, state = load_spec(store, run), load_state(store, run)
    found = state.actions.get(action)
    start = read_start(run, spec)
    if found is not None:
        ref = read_ref(state.tasks[found.task])
        if not ref.is_condition:
            return Source(run, action, spec, state, ref, found.inputs, found.context, found.cache)
    elif not state.actions and start is not None and action == ROOT_ACTION:
        return Source(run, action, spec, state, start.task, start.inputs, start.context, start.cache)
    elif not state.actions:
        raise RunNotFoundError(f"Run {name!r} was cut off before it began: there is nothing to run again.")
    raise ActionNotFoundError(
        f"Run {name!r} should have an action {action!r} that runs a task, but has none."
        f" 'flyte-ray get action {name}' lists those it has."
    )


def check_request(action: str, recover: bool, forced: Sequence[str] | None, *, allow_missing: bool) -> None:
    """Refuse requests that contradict themselves; raises ValueError, as Flyte does."""
    if allow_missing and not recover:
        raise ValueError(
            "allow_missing_source_outputs requires recover=True (--allow-missing-outputs: --recover), got it without."
            " Add that, or leave it out: all actions run again then, and no output is taken over."
        )
    if forced and not recover:
        raise ValueError(
            "force_rerun_actions requires recover=True (--force-rerun-action: --recover), got it without. Add that, or"
            " leave it out: all actions run again then."
        )
    if recover and action != ROOT_ACTION:
        raise ValueError(
            f"recover=True cannot be combined with action_name={action!r}: recovery takes over outcomes by the names of"
            f" actions, and a run that begins with a single action has other names. Leave one of them out."
        )


def load_recorded(store: Store, source: Source) -> TaskSpec:
    """Import the task of an action in its own code; what this process has imported already is used as it is."""
    unpack_code(store, source.code)
    return load_task(source.ref, current_pickling())


def merge_inputs(
    store: Store, source: Source, given: Mapping[str, Any], blobs: RunBlobs, task: TaskSpec | None
) -> Encoded:
    """Lay inputs over the recorded ones.

    Args:
        store: The root.
        source: What is run again.
        given: Values in place of recorded ones, by parameter.
        blobs: Where the large values of the new run lie.
        task: The action's task; only needed if there are any given.

    Returns:
        The inputs; their digest is empty if none are given: they are the recorded ones.

    Raises:
        ValueError: There is no such parameter.
        TypeError: A value is not of its parameter's type.
        RuntimeUserError: What a recorded input refers to is gone.

    """
    recorded: dict[str, Any] = json.loads(source.inputs)
    known = [item.name for item in task.interface.parameters] if task else list(recorded)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(
            f"Unknown input(s) {unknown} for {source.run}/{source.action}. Known inputs:"
            f" {', '.join(known) or '<none>'}."
        )
    kept = {}
    for name in (name for name in recorded if name not in given and name in known):
        text = take(store, source.place, json.dumps(recorded[name]))
        if text is None:
            raise RuntimeUserError(
                "SourceRunInputsUnavailableError",
                f"Input {name!r} of {source.run}/{source.action} should lie in the store, but is gone. Pass"
                f" {name}=... in its place.",
            )
        kept[name] = json.loads(text)
    if not given or task is None:
        return Encoded(json.dumps(kept), "")
    codec = build_codec(task.interface, task.name, task.max_inline_io_bytes)
    values = {**codec.decode_inputs(json.dumps(kept), blobs_at(store, source.place, blobs.pickling)), **given}
    defaults = {item.name: item.default for item in task.interface.parameters if item.has_default}
    return codec.encode_inputs({name: {**defaults, **values}[name] for name in known}, blobs)


def cache_again(source: Source, mode: str) -> str | None:
    """Return how the recorded action uses the cache in a run with this mode, see `runtime/caching.py`."""
    if source.cache is None or mode == "off":
        return None
    return CacheUse.load(source.cache)._replace(look_up=mode == "on").dump()


def plan_recovery(
    store: Store, source: Source, *, forced: Collection[str], allow_missing: bool, here: bool, plan: Plan | None
) -> Changes:
    """Say what of an earlier run does not count any more, for the run that recovers it.

    Args:
        store: The root.
        source: Its root action.
        forced: Actions that run again although they succeeded, with those that called them.
        allow_missing: Actions of which outputs are gone run again.
        here: This process runs them, with the code that it has imported.
        plan: How it goes on with today's code; None for its own.

    Raises:
        RuntimeUserError: Outputs are gone, and that is not allowed.

    """
    for name in sorted(set(forced) - source.state.actions.keys()):
        _log.warning("run %s has no action %s: there is nothing to run again", source.run, name)
    changes = plan.changes if plan else imported_changes(source.state) if here else Changes({}, {}, frozenset())
    changes = changes._replace(asked=frozenset(forced))
    while True:
        kept = {action.id: action for action in recoverable(source.state, changes)}
        # What stands below a kept one is never called.
        asked = [action for action in kept.values() if action.parent not in kept]
        whole = take_all(store, source.place, {action.id: action.result or "null" for action in asked})
        gone = [action for action in asked if action.id not in whole]
        if gone and not allow_missing:
            raise RuntimeUserError(
                "SourceRunOutputsUnavailableError",
                f"The outputs of run {source.run} should lie in the store, but those of {len(gone)} actions are"
                f" gone, such as {gone[0].id} ({gone[0].task_name}). Have them run again with"
                f" --allow-missing-outputs (allow_missing_source_outputs=True).",
            )
        if not gone:
            return changes
        changes = changes._replace(asked=changes.asked | {action.id for action in gone})
