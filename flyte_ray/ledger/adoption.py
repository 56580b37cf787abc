"""Continue the runs of a root that nobody holds any more, without being asked: for a ledger that lasts.

Invariants: a run is taken over only after its holder's counter was seen to stand still for `STILL_S` here, or for
`RESTART_S` if its process has ended for certain; what cannot run here (a user's own process had it, or no node could
ever run it) is left to others, and so is what was refused, until its claim changes.
Knows nothing of Ray; the clock comes from outside.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

from flyte_ray.errors import RunFencedError, StoreDamagedError, StoreError
from flyte_ray.ledger.lease import STILL_S, Claim, read_claims
from flyte_ray.ledger.messages import read_ref
from flyte_ray.ledger.query import load_spec, load_state
from flyte_ray.ledger.requests import read_start
from flyte_ray.ledger.service import Ledger
from flyte_ray.ledger.side_by_side import SideBySide
from flyte_ray.ledger.stillness import Stillness
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store

RESTART_S: Final = 4.0
"""How long a ledger whose process has ended may take to be started again by its own cluster."""
PATIENT_S: Final = 5.0
"""How long a look waits for runs that it has begun to continue; it may take longer to read a long log, or for ever."""
_log: Final = logging.getLogger("flyte_ray.ledger")


class _Survey(NamedTuple):
    """What is known of a run that was cut off, as long as its claim stays the same."""

    claim: Claim
    refusal: str = ""
    """Why it is left to others."""
    options: frozenset[str] = frozenset()
    """Of the slots that it needs for certain."""
    key: str = ""
    """Id of the key that its values are pickled with; empty if it needs none."""


class Adoption:
    """Looks after the runs of a root for one ledger; `look` is to be called every 5 s."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        *,
        alive: Callable[[RunId], Mapping[str, str]],
        hopeless: Callable[[str], str],
        lacks: Callable[[str], str] = lambda _: "",
        opening: SideBySide | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to watch.

        Args:
            store: The root.
            ledger: Continues what is found.
            alive: Gives the shapes of a run's slots that live here, by id.
            hopeless: Says why no slot with these options can ever start here; empty if one can.
            lacks: Says why pickles of the key with this id cannot be read here; empty if they can.
            opening: Continues runs; those that it is about to continue are left alone.
            clock: Seconds that never go back.

        """
        self._store, self._ledger, self._alive, self._hopeless = store, ledger, alive, hopeless
        self._lacks = lacks
        self._opening = opening or SideBySide()
        self._watch = Stillness(clock)
        self._surveys: dict[RunId, _Survey] = {}
        self._told: dict[RunId, str] = {}

    def look(self) -> list[RunId]:
        """Look once at all claims of the root; continue, and return, the runs that nobody holds any more.

        Those that take longer than `PATIENT_S` are continued meanwhile, and not returned.

        Raises:
            StoreError: The root cannot be listed.

        """
        claims = read_claims(self._store, but={*self._ledger.runs, *self._opening.runs})
        self._watch.forget_all_but(claims)
        for known in (self._surveys, self._told):
            for run in known.keys() - claims.keys():
                del known[run]
        free = [(run, claim) for run, claim in claims.items() if self._is_free(run, claim)]
        adopted: list[RunId] = []
        begun = [self._opening.begin(run, partial(self._adopt, run, claim, adopted)) for run, claim in free]
        until = time.monotonic() + PATIENT_S
        for over in begun:
            over.wait(max(0.0, until - time.monotonic()))
        return list(adopted)

    def _is_free(self, run: RunId, claim: Claim) -> bool:
        return self._watch.look(run, claim.mark) >= (RESTART_S if claim.is_over else STILL_S)

    def _adopt(self, run: RunId, claim: Claim, adopted: list[RunId]) -> None:
        try:
            objection = self._objection(run, claim)
            if not objection:
                self._ledger.resume(run, self._alive(run), by_person=False, seen=claim)
        except RunFencedError as error:
            objection = str(error)  # another one was faster
        except StoreError as error:
            objection = str(error)
            if isinstance(error, StoreDamagedError):
                self._surveys[run] = _Survey(claim, objection)
        except Exception as error:
            # One run must not keep the others from being continued.
            _log.exception("run %s could not be continued", run)
            objection = f"{type(error).__name__}: {error}"
            self._surveys[run] = _Survey(claim, objection)
        if not objection:
            adopted.append(run)
            _log.warning("run %s is continued here: %s does not hold it any more", run, claim.holder)
        elif self._told.get(run) != objection:
            _log.warning("run %s was cut off and is not continued here: %s", run, objection)
        self._told[run] = objection

    def _objection(self, run: RunId, claim: Claim) -> str:
        """Say why a run is not to be continued here; empty if it is."""
        survey = self._surveys.get(run)
        if survey is None or survey.claim.mark != claim.mark:
            survey = self._surveys[run] = self._survey(run, claim)
        # Without its key it may fail, and needs not: whoever has started it can continue it.
        lacking = f"this cluster {self._lacks(survey.key)}" if survey.key and self._lacks(survey.key) else ""
        hopeless = (reason for options in survey.options if (reason := self._hopeless(options)))
        return survey.refusal or lacking or next(hopeless, "")

    def _survey(self, run: RunId, claim: Claim) -> _Survey:
        spec = load_spec(self._store, run)
        if spec.get("mode") == "local":
            return _Survey(claim, "it belongs to a process of its user's")
        key = "" if spec.get("pickles") == "refuse" else spec.get("key") or ""
        state = load_state(self._store, run)
        if state.actions:
            needed = {action.task for action in state.actions.values() if not action.has_succeeded}
            return _Survey(claim, options=frozenset(read_ref(state.tasks[task]).options for task in needed), key=key)
        start = read_start(run, spec)
        return _Survey(claim, options=frozenset([start.task.options] if start else []), key=key)
