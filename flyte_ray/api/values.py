"""Read the recorded values of an action: typed where its task is known, as plain JSON elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flyte_ray.api.settings import again, current_pickling
from flyte_ray.api.task import TaskTemplate
from flyte_ray.errors import BaseRuntimeError, ObjectMissing
from flyte_ray.ledger.messages import read_ref
from flyte_ray.ledger.state import ActionState
from flyte_ray.runtime.failures import rebuild
from flyte_ray.spec.ids import ROOT_ACTION
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.types import Blobs, build_codec, decode_untyped
from flyte_ray.types.large import inline
from flyte_ray.types.references import place_of

Phases = ActionPhase | str | Sequence[ActionPhase | str]


def inputs_of(text: str, blobs: Blobs, task: TaskTemplate | None) -> dict[str, Any]:
    """Read recorded inputs, by parameter."""
    if task is None:
        return {name: _plain(raw, blobs) for name, raw in json.loads(text).items()}
    return build_codec(task.interface, task.name).decode_inputs(text, blobs)


def _plain(raw: Any, blobs: Blobs) -> Any:
    place, value = place_of(raw)
    return inline(value, blobs.elsewhere(place) if place else blobs)


def outputs_of(
    run: str, tasks: Mapping[str, str], action: ActionState, blobs: Blobs, task: TaskTemplate | None
) -> tuple[Any, ...]:
    """Read the outputs of an action that has succeeded: one element per output, `(None,)` if there are none.

    Args:
        run: The run's name.
        tasks: References of the run's tasks, by key: they say how many outputs a task has.
        action: The action.
        blobs: The run's large values.
        task: Its task, for the types; without it tables and pickled values come back as they were, all else as JSON.

    Raises:
        ObjectMissing: A value was removed from the store since.

    """
    try:
        return _outputs(tasks, action, blobs, task)
    except ObjectMissing as missing:
        if action.id == ROOT_ACTION:
            way_out = f"'{again('resume', run)}' computes it again, and keeps what is there"
        else:
            way_out = f"'{again('rerun', run)} --recover --allow-missing-outputs' computes it again in a new run"
        raise ObjectMissing(
            missing.uri,
            f"Action {action.id} of run {run!r} has {action.phase.value}, and its output should be read, but"
            f" {missing.uri} was removed from the store. {way_out}.",
        ) from missing


def _outputs(tasks: Mapping[str, str], action: ActionState, blobs: Blobs, task: TaskTemplate | None) -> tuple[Any, ...]:
    text = action.result or "null"
    if task is None:
        ref = tasks.get(action.task)
        value = decode_untyped(text, blobs)
        return tuple(value) if ref and read_ref(ref).outputs > 1 else (value,)
    value = build_codec(task.interface, task.name).decode_output(text, blobs)
    # A NamedTuple is one value; `tuple[A, B]` is two outputs.
    return value if type(value) is tuple else (value,)


def error_of(action: ActionState) -> BaseRuntimeError | None:
    """Return the error of an action that has ended without success."""
    if not action.phase.is_terminal or action.has_succeeded:
        return None
    return rebuild(action.result, current_pickling())


def phases_from(request: Phases | None) -> frozenset[ActionPhase] | None:
    """Read `in_phase=` in any form: a phase or its name, or several; None stands for all.

    Raises:
        ValueError: There is no phase of that name.

    """
    if request is None:
        return None
    wanted = (request,) if isinstance(request, str) else tuple(request)
    names = [phase.value for phase in ActionPhase]
    for phase in wanted:
        if phase not in names:
            raise ValueError(f"in_phase expects phases, got {phase!r}. Choose from: {', '.join(names)}.")
    return frozenset(ActionPhase(phase) for phase in wanted)
