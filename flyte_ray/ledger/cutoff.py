"""Say at one look who holds a run, and which runs of a root were cut off: for people.

Invariants: nothing is done on these grounds. What is said of another machine rests on the time that the holder wrote
down, so that a wrong clock can make a living run look cut off; who takes a run over has watched its counter.
No log is read.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from flyte_ray.ledger.lease import Claim, read_claim, read_claims
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import Store

SILENT_S: Final = 60.0
"""Age from which a claim of another machine is said to be a dead holder's; a living one is renewed every 10 s."""
READ: Final = 100
"""Most claims that a list of what was cut off reads."""
_UNITS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


class Hold(NamedTuple):
    """What one look tells of who holds a run that has not ended."""

    holder: str | None
    """None if nobody has claimed it."""
    seen_s: float | None
    """How long ago the holder was seen, in seconds."""
    is_cut_off: bool

    def describe(self, phase: ActionPhase) -> str:
        """Write the run's phase with what this says of it."""
        if not self.is_cut_off:
            return f"{phase.value} (held by {self.holder}, seen {ago(self.seen_s)})"
        return f"cut off {ago(self.seen_s)}".rstrip()


def ago(seconds: float | None) -> str:
    """Write an age in its largest unit; nothing for None."""
    if seconds is None:
        return ""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{seconds / size:.0f} {unit} ago"


def judge(claim: Claim | None, now: float) -> Hold:
    """Judge by a claim and this machine's clock, in seconds since the epoch, who holds a run."""
    if claim is None:
        return Hold(None, None, True)
    seen_s = max(now - claim.at, 0.0)
    return Hold(claim.holder, seen_s, claim.is_over or (not claim.is_near and seen_s > SILENT_S))


def hold_of(store: Store, run: RunId) -> Hold:
    """Look who holds a run that has not ended."""
    return judge(read_claim(store, run), time.time())


def list_cut_off(store: Store) -> dict[RunId, Hold]:
    """Return the runs that were cut off, those first that were held last."""
    now = time.time()
    holds = {run: judge(claim, now) for run, claim in read_claims(store, most=READ).items()}
    found = [run for run, hold in holds.items() if hold.is_cut_off]
    return {run: holds[run] for run in sorted(found, key=lambda run: holds[run].seen_s or 0.0)}
