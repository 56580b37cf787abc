"""Put into words what a ledger answers about a run that goes on: for a terminal, a log, a notebook."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flyte_ray.spec.phase import ActionPhase

TASKS_SHOWN: Final = 3
_LINE: Final = "\n"
_OPEN: Final = {phase.value for phase in ActionPhase if not phase.is_terminal}


@dataclass(frozen=True)
class Sight:
    """What one look at a run shows, in words; empty where there is nothing to say."""

    counts: str
    running: str
    waits: tuple[str, ...]
    pace: str
    has_begun: bool = True

    def line(self) -> str:
        """Write it in one line."""
        parts = (self.counts, self.running, *(f"waits: {reason}" for reason in self.waits), self.pace)
        return "  |  ".join(part for part in parts if part)

    def lines(self) -> list[str]:
        """Write it in one line per question, so that a narrow terminal cuts none off."""
        named = [("", self.counts), ("runs: ", self.running), *(("waits: ", reason) for reason in self.waits)]
        return [f"{name}{text}" for name, text in named if text]


class Watcher:
    """Puts what a ledger answers into words; remembers where it began, for elapsed time and rate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to count the time."""
        self._clock = clock
        self._begun = clock()
        self._first: tuple[float, int] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the run was seen."""
        return self._first is not None

    def describe(self, live: dict[str, Any] | None) -> Sight:
        """Describe one answer of `Run.look`; None before the run has begun."""
        elapsed = self._clock() - self._begun
        if live is None:
            return Sight("", "", (), f"{elapsed:.1f} s", has_begun=self.has_begun)
        counts: dict[str, int] = live["counts"]
        ended = sum(count for phase, count in counts.items() if phase not in _OPEN)
        # Counted from the first look on: Ray's start, and what a resumed run brings along, are not the run's speed.
        self._first = self._first or (elapsed, ended)
        since, before = self._first
        rate = (ended - before) / (elapsed - since) if elapsed > since else 0.0
        waits = list(live["waits"])
        if store := live.get("waits_for_store"):
            waits.append(f"the store: {store}")
        waits += [f"a place in {limit}" for limit in live.get("held_back", ())]
        asks = live.get("asks", ())
        waits += [f"condition {name}: {prompt.strip().partition(_LINE)[0]:.60}" for name, prompt in asks[:TASKS_SHOWN]]
        waits += [f"{len(asks) - TASKS_SHOWN} other conditions"] if len(asks) > TASKS_SHOWN else []
        tasks = Counter(live["running"])
        shown = [f"{task} x{count}" for task, count in tasks.most_common(TASKS_SHOWN)]
        shown += [f"{len(tasks) - TASKS_SHOWN} other tasks"] if len(tasks) > TASKS_SHOWN else []
        words = ", ".join(f"{counts[phase]:,} {phase.value}" for phase in ActionPhase if counts.get(phase))
        pace = f"{elapsed:.1f} s" + (f", {rate:,.{0 if rate >= 10 else 1}f} actions/s" if rate > 0 else "")
        return Sight(words, ", ".join(shown), tuple(waits), pace)
