"""Show runs in a notebook, live: each as one picture that a thread of the kernel renews until the run has ended.

Invariants: a view only looks, and whatever it meets, the run goes on; where this process is no kernel nothing happens.
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from flyte_ray.api.kernel import kernel_shell
from flyte_ray.api.looking import Looker
from flyte_ray.api.widget import View, describe, render
from flyte_ray.runtime.context import current_action
from flyte_ray.spec.ids import ROOT_ACTION

if TYPE_CHECKING:
    from flyte_ray.api.run import Run

SOONEST_S: Final = 0.5
"""Least time between two looks; long runs are looked at each hundredth of their age,"""
LATEST_S: Final = 5.0
"""but not more rarely than this."""
SHARE: Final = 0.1
"""Most of a thread's time that looking takes."""
MOST_IN_A_CELL: Final = 10
"""Runs of one cell that show themselves unasked, as in a loop."""


def picture(run: Run, action: str = ROOT_ACTION) -> str:
    """Return the HTML of a run, or of an action with all below it, as it stands now."""
    return render(Looker(run, action).look())


def show(run: Run, action: str = ROOT_ACTION) -> bool:
    """Show a run below the cell that runs, unless it is there already; False if this process is no kernel."""
    shell = kernel_shell()
    if shell is None:
        return False
    _watch(run, action, shell.execution_count).show(shell)
    return True


@contextmanager
def shown(run: Run) -> Iterator[None]:
    """Show a run that is started or continued inside, and how it stands at the end of that."""
    shell = kernel_shell()
    # What a task starts in local mode is not the cell's own.
    if shell is None or current_action.get() is not None or not _has_room(shell.execution_count):
        yield
        return
    watch = _watch(run, ROOT_ACTION, shell.execution_count)
    watch.show(shell)
    try:
        yield
    except Exception:
        watch.give_up()
        raise
    finally:
        watch.look()


def look_again(run: Run) -> None:
    """Bring up to date what is shown of a run, before the cell ends that waited for it."""
    found = _watches.get(_key(run, ROOT_ACTION))
    if found is not None:
        found.look()


class _Watch:
    """One run's picture, wherever it is shown in this kernel."""

    def __init__(self, run: Run, action: str) -> None:
        self._looker = Looker(run, action)
        self._id = uuid.uuid4().hex
        self._cell: int | None = None
        self._shown = ""
        self._view = View(run.name)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_given_up = False

    def show(self, shell: Any) -> None:
        """Add it to the cell that runs, unless it is there."""
        with self._lock:
            if shell.execution_count == self._cell:
                return
            self._cell = shell.execution_count
            self._look()
            self._publish(update=False)
            self._is_given_up = False
            self._stay_live()

    def look(self) -> None:
        """Bring it up to date, and keep it so from then on."""
        with self._lock:
            if not self._is_given_up:
                self._look()
                self._publish(update=True)
                self._stay_live()

    def give_up(self) -> None:
        """Take away the picture of what did not begin: the cell shows an error instead."""
        with self._lock:
            if not self._view.task:
                self._is_given_up = True
                self._send("", "", update=True)

    def is_past(self, cell: int) -> bool:
        """Whether nobody needs it any more while a cell runs."""
        return (self.has_ended or self._is_given_up) and self._cell != cell

    @property
    def has_ended(self) -> bool:
        """Whether it will not change, unless the run is continued."""
        return bool(self._view.task) and self._view.phase.is_terminal

    def _stay_live(self) -> None:
        # Also of a run that had ended: it may have been continued meanwhile.
        if not self.has_ended and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._keep_looking, name="flyte-ray-widget", daemon=True)
            self._thread.start()

    def _keep_looking(self) -> None:
        cost_s = 0.0
        while not (self.has_ended or self._is_given_up):
            time.sleep(max(SOONEST_S, min(LATEST_S, self._view.elapsed_s / 100), cost_s / SHARE))
            begun = time.monotonic()
            self.look()
            cost_s = time.monotonic() - begun

    def _look(self) -> None:
        try:
            self._view = self._looker.look()
        except Exception as error:
            # The module's invariant; what could not be read is said, and looked for again.
            notes = (f"could not be read: {type(error).__name__}: {error}",)
            self._view = View(**{**vars(self._view), "notes": notes})

    def _publish(self, *, update: bool) -> None:
        text = render(self._view)
        if update and text == self._shown:
            return
        self._shown = text
        self._send(text, describe(self._view), update=update)

    def _send(self, text: str, words: str, *, update: bool) -> None:
        bundle = {"text/html": text, "text/plain": words}
        sys.modules["IPython"].display.display(bundle, raw=True, display_id=self._id, update=update)


def _key(run: Run, action: str) -> tuple[str, str, str]:
    return run.store.uri, run.name, action


def _watch(run: Run, action: str, cell: int) -> _Watch:
    with _changing:
        for key in [key for key, each in _watches.items() if each.is_past(cell)]:
            del _watches[key]
        return _watches.setdefault(_key(run, action), _Watch(run, action))


def _has_room(cell: int) -> bool:
    _unasked[:] = [each for each in _unasked if each == cell]
    _unasked.append(cell)
    return len(_unasked) <= MOST_IN_A_CELL


_watches: Final[dict[tuple[str, str, str], _Watch]] = {}
_unasked: Final[list[int]] = []
"""The cell that runs, once for each run that it has started."""
_changing: Final = threading.Lock()
