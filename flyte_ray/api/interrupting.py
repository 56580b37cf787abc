"""Decide what becomes of a run when Ctrl-C, or a notebook's stop button, reaches who executes or awaits it.

What became of it is the text of the `KeyboardInterrupt` that is raised then: it is read where that ends a script or a
cell, and whoever catches it prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flyte_ray.api.kernel import kernel_shell
from flyte_ray.api.settings import again
from flyte_ray.api.steering import abort_action
from flyte_ray.errors import ActionNotFoundError, BaseRuntimeError
from flyte_ray.runtime.interrupt import INTERRUPTED
from flyte_ray.spec.ids import ROOT_ACTION, RunId
from flyte_ray.storage import Store


@contextmanager
def saying_how_to_go_on(run: RunId) -> Iterator[None]:
    """Execute a run in this process: if Ctrl-C stops it, that says how it is continued."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_stopped(run)) from None


def leave_or_abort(store: Store, run: RunId) -> KeyboardInterrupt:
    """Return what is raised where somebody waited for a run; it goes on, unless he says otherwise when he is asked."""
    goes_on = f"run {run} goes on without this. Abort it: {again('abort', run)}"
    shell = kernel_shell()
    if shell is not None:
        goes_on += f" or flyte.remote.Run.get({run!r}).abort()"
    if not _agrees(f"Abort run {run}, which goes on otherwise? [y/N] "):
        return KeyboardInterrupt(goes_on)
    try:
        abort_action(store, run, ROOT_ACTION, INTERRUPTED, None)
    except (ActionNotFoundError, BaseRuntimeError, OSError) as error:
        return KeyboardInterrupt(str(error))
    return KeyboardInterrupt(_stopped(run))


def ends_here(run: RunId) -> bool:
    """Whether a run that this process executes ends by the interrupt; it does where nobody can be asked."""
    return _agrees(f"Abort run {run}, which this kernel executes? [Y/n] ", default=True)


def still_executed(run: RunId) -> str:
    """Say that a run of this process was left alone."""
    return f"run {run} goes on in this kernel. Abort it: flyte.remote.Run.get({run!r}).abort()"


def _stopped(run: RunId) -> str:
    return f"run {run} was stopped. Continue it: {again('resume', run)}"


def _agrees(question: str, *, default: bool = False) -> bool:
    """Ask the user of a notebook; elsewhere, where a Ctrl-C ends a program, nobody is asked."""
    if kernel_shell() is None:
        return default
    try:
        answer = input(question).strip().lower()
    except (NotImplementedError, EOFError, KeyboardInterrupt):  # this front end asks nothing, or another Ctrl-C
        return default
    return answer.startswith("y") if answer else default
