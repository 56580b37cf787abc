"""Follow a run to its end and leave this process as the run ended: exit 0 done, 1 failed, 130 interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn

import click

from flyte_ray.api.run import Run
from flyte_ray.api.sight import Watcher
from flyte_ray.api.tracebacks import find_origin, in_users_files, told_by
from flyte_ray.cli.live import shown
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
from flyte_ray.ledger.state import RunState
from flyte_ray.runtime.interrupt import INTERRUPTED
from flyte_ray.spec.ids import ROOT_ACTION, RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import Store

AWAY_S: Final = 1.0
"""How long a store that is away is waited for to take an abort."""
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
        if isinstance(body, dict) and body.get("traceback") and not succeeded:
            spec = load_spec(store, RunId(run.name))
            body["traceback"] = in_users_files(body["traceback"], spec["source"], state.code or spec["code"])
        about = {"run": run.name, "phase": root.phase.value, "url": run.url, "result" if succeeded else "error": body}
        click.echo(json.dumps(about))
        return state
    click.echo(f"Run {run.name}: {root.phase.value}  {run.url}")
    if succeeded:
        for number, value in enumerate(run.outputs()):
            click.echo(f"o{number} = {show_value(value, run.name)}")
    else:
        click.echo(told_by(state, load_spec(store, RunId(run.name))), err=True, nl=False)
    click.echo(f"Look at it: {again('get action', run.name)}")
    if not succeeded and (origin := find_origin(state)).id != ROOT_ACTION:
        click.echo(f"Caused by task {origin.task_name}: {again('get action', run.name, origin.id)}")
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
