"""Follow a run to its end and leave this process as the run ended: exit 0 done, 1 failed, 130 interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, NoReturn

import click

from flyte_ray.api.run import Run
from flyte_ray.cli.live import Watcher, shown
from flyte_ray.cli.options import again
from flyte_ray.cluster.session import start_embedded
from flyte_ray.errors import (
    BaseRuntimeError,
    RunAlreadyExistsError,
    RunFencedError,
    RunNotFoundError,
    RuntimeUserError,
    StoreError,
)
from flyte_ray.ledger.query import load_spec
from flyte_ray.ledger.state import ActionState, RunState
from flyte_ray.runtime.interrupt import INTERRUPTED
from flyte_ray.spec.ids import ROOT_ACTION, RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import Store

AWAY_S: Final = 1.0
"""How long a store that is away is waited for to take an abort."""
ERRORS_SHOWN: Final = 3
"""How many errors of children that one holds are told in full."""
_HEADING: Final = "Traceback (most recent call last):\n"
_CAUSED: Final = re.compile(
    "^(?:The above exception was the direct cause of the following exception"
    f"|During handling of the above exception, another exception occurred):\n\n{re.escape(_HEADING)}",
    re.MULTILINE,
)
LINES_SHOWN: Final = 20
"""How much of an output a terminal shows."""


def follow(store: Store, run: Run, begin: Callable[[], object], output: str) -> None:
    """Start a run, show it while it goes on, report how it ended, and exit unless it succeeded.

    Args:
        store: The root.
        run: The run, which need not exist yet.
        begin: Starts it.
        output: `json` keeps stdout for the result alone; what tasks print goes to stderr then.

    """
    watcher = Watcher()
    quiet = contextlib.redirect_stdout(sys.stderr) if output == "json" else contextlib.nullcontext()
    try:
        with shown(run, watcher), quiet:
            begin()
            run.wait()
    except KeyboardInterrupt:
        _interrupt(store, run, begun=watcher.has_begun)
    except (RunAlreadyExistsError, RunFencedError):
        raise
    except BaseRuntimeError as error:
        if not _is_recorded(store, run):
            raise
        _leave(f"Run {run.name} was cut off: {error}\n{_continue(run)}", 1)
    if not report(store, run, output).phase.has_succeeded:
        sys.exit(1)


def start_ray(run: str) -> None:
    """Start a Ray for a run; it takes some seconds, so say so where no live view does."""
    if not sys.stderr.isatty():
        click.echo(f"{run}  starting a Ray of its own", err=True)
    start_embedded()


def report(store: Store, run: Run, output: str) -> RunState:
    """Print how a run ended: its outputs, or the user's own traceback on stderr."""
    state = run.state()
    root = state.root
    succeeded = root.has_succeeded
    if output == "json":
        body = json.loads(root.result or "null")
        about = {"run": run.name, "phase": root.phase.value, "url": run.url, "result" if succeeded else "error": body}
        click.echo(json.dumps(about))
        return state
    click.echo(f"Run {run.name}: {root.phase.value}  {run.url}")
    if succeeded:
        for number, value in enumerate(run.outputs()):
            click.echo(f"o{number} = {show_value(value, run.name)}")
    else:
        spec = load_spec(store, RunId(run.name))
        code = state.code or spec["code"]
        click.echo(in_users_files(user_traceback(state), spec["source"], code), err=True, nl=False)
    click.echo(f"Look at it: {again('get action', run.name)}")
    return state


def show_value(value: Any, run: str) -> str:
    """Write an output of a run: in full and in one line for other programs, laid out and cut on a terminal."""
    if not sys.stdout.isatty():
        return repr(value)
    from rich.console import Console  # slow to import; most programs' output is no terminal
    from rich.pretty import pretty_repr

    # The name before it takes some columns.
    lines = pretty_repr(value, max_width=Console().width - 5, max_length=1_000, max_string=5_000).splitlines()
    if len(lines) > LINES_SHOWN:
        left = f"... {len(lines) - LINES_SHOWN:,} more lines; all of it: {again('get io', run)}"
        lines = [*lines[:LINES_SHOWN], left]
    return "\n".join(lines)


def user_traceback(state: RunState) -> str:
    """Join the tracebacks from the root action down to the action where the error began.

    It reads as if the tasks had been plain functions: each parent's frames, then those of the child whose error it
    passed on, and the error itself once. An error that holds those of children, a group or one raised from them, is
    followed by theirs.
    """
    failed: dict[str, list[ActionState]] = {}
    for action in state.actions.values():
        if action.phase.is_terminal and not action.has_succeeded and action.parent is not None:
            failed.setdefault(action.parent, []).append(action)
    return _told(state.root, failed)


def _told(action: ActionState, failed: Mapping[str, list[ActionState]]) -> str:
    above = ""
    while True:
        body = _error_of(action)
        told = body.get("traceback") or ""
        same = [child for child in failed.get(action.id, ()) if _cause(_error_of(child)) == _cause(body)]
        if not same:
            text = _below(above, told or f"{body.get('code', 'Unknown')}: {body.get('message', '')}\n")
            held = [child for child in failed.get(action.id, ()) if _holds(told, _error_of(child))][:ERRORS_SHOWN]
            return text + "".join(f"\nAction {each.id} failed with that:\n{_told(each, failed)}" for each in held)
        above += _frames(told)
        action = same[0]


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
        return f'File "{root / found[1]}"' if (root / found[1]).is_file() else found[0]

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


def _is_recorded(store: Store, run: Run) -> bool:
    try:
        load_spec(store, RunId(run.name))
    except (RunNotFoundError, StoreError, OSError):
        return False
    return True


def _interrupt(store: Store, run: Run, *, begun: bool) -> NoReturn:
    try:
        said = _end(store, run) if _is_recorded(store, run) else _end_unseen(run, begun=begun)
    except Exception as error:
        # Whatever went wrong, this process ends now; the user learns what became of the run.
        said = f"Interrupted, but run {run.name} may go on: {error}\nEnd it: {again('abort', run.name)}"
    _leave(said, 130)


def _leave(said: str, code: int) -> NoReturn:
    click.echo(said, err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    # An abandoned thread may sleep for an hour, or Ray look for a cluster that has ended, and a normal exit would wait
    # for them; the record is stored.
    os._exit(code)


def _end(store: Store, run: Run) -> str:
    """Abort a run, and say in a sentence what became of it."""
    if not run.done():
        if run.look() is None and load_spec(store, RunId(run.name))["mode"] == "local":
            # It was this process that was about to run it.
            return f"Interrupted: run {run.name} stops where it is. {_continue(run)}"
        try:
            run.abort(INTERRUPTED)
        except RuntimeUserError:
            if not run.done():
                raise
    phase = run.phase
    if phase is ActionPhase.ABORTED:
        return f"Interrupted: run {run.name} was aborted. {_continue(run)}"
    way_on = f"Look at it: {again('get run', run.name)}" if phase.has_succeeded else _continue(run)
    return f"Interrupted, but run {run.name} had ended by itself: {phase.value}. {way_on}"


def _continue(run: Run) -> str:
    return f"Continue it: {again('resume', run.name)}"


def _end_unseen(run: Run, *, begun: bool) -> str:
    """Abort a run that the store does not show: it has not begun, or the store is away."""
    if not begun:
        return f"Interrupted: run {run.name} had not begun."
    if run.look() is not None:
        run.abort_action(ROOT_ACTION, INTERRUPTED, timeout_s=AWAY_S)
        return f"Interrupted: run {run.name} is aborted, which is stored when its store answers again."
    return (
        f"Interrupted: run {run.name} stops where it is, and its store does not answer.\n"
        f"Continue it when that does: {again('resume', run.name)}"
    )
