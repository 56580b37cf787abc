"""Tell how a run failed as if its tasks had been plain functions: in the user's own frames, root first."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from flyte_ray.api.kernel import name_cells
from flyte_ray.api.settings import again, settings
from flyte_ray.errors import BaseRuntimeError
from flyte_ray.ledger.state import ActionState, RunState
from flyte_ray.spec.ids import ROOT_ACTION

ERRORS_SHOWN: Final = 3
"""How many errors of children that one holds are told in full."""
_HEADING: Final = "Traceback (most recent call last):\n"
_CAUSED: Final = re.compile(
    "^(?:The above exception was the direct cause of the following exception"
    f"|During handling of the above exception, another exception occurred):\n\n{re.escape(_HEADING)}",
    re.MULTILINE,
)


class UserTraceback(Exception):
    """The frames of the user's code that a failure came from, as text: the first cause of an error that is raised here.

    They ran in other processes, so that Python itself has no frames to show.
    """


def with_user_traceback(error: BaseRuntimeError, state: RunState, spec: Mapping[str, Any], action: str) -> None:
    """Have an error show where in the user's code it came from, however it is shown: by Python or a notebook.

    Args:
        error: The error of an action, as `error_of` builds it. Its `__cause__` stays, and gets the user's frames as
            its own; its note says which action failed.
        state: The run.
        spec: How the run was started.
        action: The action.

    """
    first: BaseException = error
    while first.__cause__ is not None:
        first = first.__cause__
    told = name_cells(told_by(state, spec, action)).rstrip()
    first.__cause__ = UserTraceback(f"{_HEADING}{told}" if told.startswith(" ") else told)
    origin = _origin(state.actions[action], _failed_below(state))[-1]
    where = "" if origin.id == ROOT_ACTION else f"action {origin.id} of "
    about = f"{error.code} in task {origin.task_name}, {where}run {state.id}."
    # As `add_note` does it, which is missing in Python 3.10, where nobody looks.
    error.__dict__["__notes__"] = [f"{about} Look at it: {again('get action', state.id)}"]


def told_by(state: RunState, spec: Mapping[str, Any], action: str = ROOT_ACTION) -> str:
    """Return the user's own traceback of a failed action, with his files where they are at hand."""
    return in_users_files(user_traceback(state, action), spec["source"], state.code or spec["code"])


def user_traceback(state: RunState, action: str = ROOT_ACTION) -> str:
    """Join the tracebacks from an action down to the one where the error began.

    It reads as if the tasks had been plain functions: each parent's frames, then those of the child whose error it
    passed on, and the error itself once. An error that holds those of children, a group or one raised from them, is
    followed by theirs.
    """
    return _told(state.actions[action], _failed_below(state))


def find_origin(state: RunState) -> ActionState:
    """Return the action where the error of a failed run began."""
    return _origin(state.root, _failed_below(state))[-1]


def _failed_below(state: RunState) -> dict[str, list[ActionState]]:
    failed: dict[str, list[ActionState]] = {}
    for action in state.actions.values():
        if action.phase.is_terminal and not action.has_succeeded and action.parent is not None:
            failed.setdefault(action.parent, []).append(action)
    return failed


def _origin(action: ActionState, failed: Mapping[str, list[ActionState]]) -> list[ActionState]:
    """Return an action and those below it whose error became its own, down to where that began."""
    found = [action]
    while True:
        cause = _cause(_error_of(found[-1]))
        same = [child for child in failed.get(found[-1].id, ()) if _cause(_error_of(child)) == cause]
        if not same:
            return found
        found.append(same[0])


def _told(action: ActionState, failed: Mapping[str, list[ActionState]]) -> str:
    *callers, last = _origin(action, failed)
    above = "".join(_frames(_error_of(each).get("traceback") or "") for each in callers)
    body = _error_of(last)
    told = body.get("traceback") or ""
    text = _below(above, told or f"{body.get('code', 'Unknown')}: {body.get('message', '')}\n")
    held = [child for child in failed.get(last.id, ()) if _holds(told, _error_of(child))][:ERRORS_SHOWN]
    return text + "".join(f"\nAction {each.id} failed with that:\n{_told(each, failed)}" for each in held)


def _holds(told: str, error: dict[str, Any]) -> bool:
    first = str(error.get("message") or "").partition("\n")[0]
    return bool(first) and f"RuntimeUserError: {first}" in told


def in_users_files(text: str, source: str, code: str | None) -> str:
    """Name the files that the user submitted in place of their copies in a code bundle, where they are at hand.

    Args:
        text: A traceback.
        source: The file that was submitted.
        code: Marker of the code that the run used last, None if none travelled.

    """
    digest, *folders = (code or "").split(":")
    if not digest:
        return text
    own = Path(source).parent
    # One of the folders is the file's own, below the project's root.
    inside = [
        parts for parts in (PurePosixPath(folder).parts for folder in folders) if own.parts[-len(parts) :] == parts
    ]
    root = Path(*own.parts[: len(own.parts) - max(map(len, inside), default=0)])

    def name(found: re.Match[str]) -> str:
        at_hand = settings.is_elsewhere or (root / found[1]).is_file()
        return f'File "{root / found[1]}"' if at_hand else found[0]

    return re.sub(rf'File "[^"]*/{re.escape(digest)}/([^"]+)"', name, text)


def _error_of(action: ActionState) -> dict[str, Any]:
    body = json.loads(action.result or "{}")
    return body if isinstance(body, dict) else {}


def _cause(body: dict[str, Any]) -> tuple[Any, Any]:
    return body.get("code"), body.get("message")


def _frames(told: str) -> str:
    """Return a traceback without the error at its end: frames are indented, the error's first line is not."""
    frames = []
    for line in told.splitlines(keepends=True):
        if not line.startswith(" "):
            break
        frames.append(line)
    return "".join(frames)


def _below(above: str, told: str) -> str:
    """Put a traceback below the frames of its callers: of an error with causes, which are told first, the last part."""
    parts = list(_CAUSED.finditer(told))
    if not parts:
        return above + told
    heading = _HEADING if told.startswith(" ") else ""  # a cause that was never raised has no frames
    return heading + told[: parts[-1].end()] + above + told[parts[-1].end() :]
