"""Look at a run again and again for somebody who sees it: what the record holds, and what its ledger says beside it.

Invariant: only looks; each look reads what is new in the record, and values once, when all has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from flyte_ray.api.branches import fold_branches
from flyte_ray.api.kernel import name_cells
from flyte_ray.api.settings import again
from flyte_ray.api.shown_values import show_outputs
from flyte_ray.api.sight import Watcher
from flyte_ray.api.tracebacks import told_by
from flyte_ray.api.widget import View
from flyte_ray.errors import RunNotFoundError
from flyte_ray.ledger.apps import page_of
from flyte_ray.ledger.cutoff import ago
from flyte_ray.ledger.folded import FoldedRun
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.ids import ROOT_ACTION, RunId

if TYPE_CHECKING:
    from flyte_ray.api.run import Run

_NO_OUTPUTS: Final[Mapping[str, str]] = {}


class Looker:
    """Looks at a run, or at one of its actions with all below it."""

    def __init__(self, run: Run, action: str = ROOT_ACTION, clock: Callable[[], float] = time.time) -> None:
        """Look at a run, which need not have begun; `clock` gives seconds since the epoch."""
        self._run, self._action, self._clock = run, action, clock
        self._begun_s = clock()
        self._folded: FoldedRun | None = None
        self._link: str | None = None
        self._end: tuple[int, str, Mapping[str, str]] | None = None

    def look(self) -> View:
        """Return what is to be seen now; what was stored before the call is seen."""
        name = self._run.name
        hint = again("get action", name)
        item = self._read()
        if self._folded is None or item is None:
            return View(name, elapsed_s=self._clock() - self._begun_s, notes=self._notes(None))
        if self._link is None:
            self._link = page_of(self._run.store, RunId(name))
        with self._folded.lock:
            branches = fold_branches(self._folded.state.actions.values(), self._action)
        own = "" if self._action == ROOT_ACTION else f"{name} / {self._action}"
        ended = item.phase.is_terminal
        error, outputs = self._ending(item) if ended else ("", _NO_OUTPUTS)
        notes = () if ended else self._notes(self._folded)
        since_us = self._folded.spec["started_us"] if not own else item.started_us or item.called_us
        until_us = item.ended_us if ended else int(self._clock() * 1e6)
        elapsed_s = max(until_us - since_us, 0) / 1e6
        return View(
            own or name, item.task_name, item.phase, elapsed_s, branches, notes, error, outputs, self._link, hint
        )

    def _read(self) -> ActionState | None:
        try:
            self._folded = self._folded or FoldedRun(self._run.store, RunId(self._run.name))
        except RunNotFoundError:
            return None
        self._folded.expire()
        self._folded.refresh()
        return self._folded.state.actions.get(self._action)

    def _notes(self, folded: FoldedRun | None) -> tuple[str, ...]:
        live: dict[str, Any] | None = self._run.look()
        if live is not None:
            return tuple(f"waits: {text}" for text in Watcher().describe(live).waits)
        hold = folded.hold() if folded else None
        if hold is None or not hold.is_cut_off:
            return ()
        return (f"cut off {ago(hold.seen_s)}. Continue it: {again('resume', self._run.name)}",)

    def _ending(self, item: ActionState) -> tuple[str, Mapping[str, str]]:
        """Return the traceback or the outputs of what has ended; read once."""
        if self._end is None or self._end[0] != item.ended_us:
            self._end = item.ended_us, *self._read_ending(item)
        return self._end[1:]

    def _read_ending(self, item: ActionState) -> tuple[str, Mapping[str, str]]:
        assert self._folded is not None, "it was read"
        state = self._run.state()
        if item.has_succeeded:
            task = self._run.task if self._action == ROOT_ACTION else None
            return "", show_outputs(state, self._action, self._run.blobs(), task)
        return name_cells(told_by(state, self._folded.spec, self._action)).rstrip(), _NO_OUTPUTS
