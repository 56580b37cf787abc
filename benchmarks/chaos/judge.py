"""Judge a disturbed run by its stored log and by the side effects of its actions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chaos import work
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.log import read_segments
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store


@dataclass(frozen=True)
class Verdict:
    """What became of one run."""

    actions: int
    executions: int
    """Attempts that left their side effect."""
    again: int
    """Attempts that began although a stored segment said that their action had succeeded. Must be 0."""
    lost: int
    """Attempts that were lost with their surroundings."""
    wrong: int
    """Actions that did not succeed, or whose outcome differs from what they compute. Must be 0."""


def judge(store: Store, run: RunId, effects: Path, widths: list[int]) -> Verdict:
    """Read the log of a tree of these widths in its order.

    An attempt counts as executed again if its `STARTED` follows the success of its action in the log, or if it left
    its side effect later than the success was recorded: that also finds what was never logged.
    """
    succeeded: dict[str, int] = {}
    inputs: dict[str, str] = {}
    outputs: dict[str, str | None] = {}
    lost = again = 0
    for _, segment in read_segments(store, run):
        for event in segment.events:
            if event.kind == kinds.CALLED:
                inputs[event.action] = event.body or "{}"
            elif event.kind == kinds.STARTED and event.action in succeeded:
                again += 1
            elif event.kind == kinds.LOST:
                lost += 1
            elif event.kind == kinds.SUCCEEDED:
                succeeded[event.action] = event.at
                outputs[event.action] = event.body
    lines = [line.split() for line in effects.read_text().splitlines()]
    again += sum(float(at) * 1e6 > succeeded.get(action, 1 << 62) for action, _, at, _ in lines)
    wrong = [name for name, text in inputs.items() if outputs.get(name) != str(_expected(json.loads(text), widths))]
    for name in wrong:
        print(f"{run}: action {name} of {inputs[name]} gave {outputs.get(name)}:")
        _tell(store, run, name)
    return Verdict(len(inputs), len(lines), again, lost, len(wrong) + (len(inputs) != work.size(widths)))


def _tell(store: Store, run: RunId, action: str) -> None:
    for position, segment in read_segments(store, run):
        for event in segment.events:
            if event.action == action:
                print(f"  {position} {event.kind} attempt {event.attempt} slot {event.slot} {(event.body or '')[:200]}")


def _expected(inputs: dict[str, str], widths: list[int]) -> int:
    return work.expected(inputs.get("path", "r"), widths)
