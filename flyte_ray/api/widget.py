"""Write what a notebook shows of a run as HTML.

Invariants: pure; what comes from a run is escaped, but for the outputs' own HTML, which their objects have written. It
stands in light and dark pages, and says the same where a page leaves styles out, as those of code hosts do.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flyte_ray.api.branches import Branch
from flyte_ray.spec.phase import ActionPhase

BRANCHES_SHOWN: Final = 25
"""Lines of a tree that are shown."""
_COLORS: Final = {
    ActionPhase.SUCCEEDED: "#2e9e5b",
    ActionPhase.RECOVERED: "#5aa9a0",
    ActionPhase.RUNNING: "#3b82f6",
    ActionPhase.PAUSED: "#d08700",
    ActionPhase.FAILED: "#e0483e",
    ActionPhase.TIMED_OUT: "#c2559b",
    ActionPhase.ABORTED: "#a0703c",
}
_WAITING: Final = "#9aa0a6"
_ORDER: Final = (*_COLORS, *(phase for phase in ActionPhase if phase not in _COLORS))
_STYLE: Final = """<style>
.flyte-run{font:13px/1.45 system-ui,sans-serif;max-width:60em;border:1px solid #8884;border-radius:6px;padding:8px 12px}
.flyte-run table{border-collapse:collapse;margin:4px 0 0;font-size:13px}
.flyte-run .flyte-tree td{padding:1px 14px 1px 0;border:0;text-align:left;background:none;white-space:nowrap}
.flyte-run code,.flyte-run pre{font:12px/1.4 ui-monospace,monospace;background:none;color:inherit;padding:0}
.flyte-run pre{margin:4px 0 0;overflow:auto;max-height:24em;white-space:pre-wrap}
.flyte-run .flyte-bar{display:flex;width:100%;height:6px;margin:6px 0 2px;border-radius:3px;overflow:hidden;background:#8883}
.flyte-run td .flyte-bar{width:8em;margin:0}
.flyte-run a{color:inherit;text-decoration:underline}
.flyte-run .flyte-dim{opacity:.7}
.flyte-run .flyte-phase{color:#fff;border-radius:4px;padding:0 6px;margin:0 4px}
.flyte-run .flyte-out{margin-top:6px;overflow:auto}
.flyte-run .flyte-out td,.flyte-run .flyte-out th{padding:1px 10px 1px 0}
</style>"""  # noqa: E501


@dataclass(frozen=True)
class View:
    """What is shown of a run, or of one of its actions with all below it."""

    name: str
    task: str = ""
    """Empty while it is not on record that the run has begun."""
    phase: ActionPhase = ActionPhase.QUEUED
    elapsed_s: float = 0.0
    branches: Sequence[Branch] = ()
    notes: Sequence[str] = ()
    """For what it waits, who does not hold it any more, what could not be read."""
    error: str = ""
    """The user's traceback."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """HTML by name, once it has succeeded."""
    link: str = ""
    """Its page in the console; empty if that is not known."""
    hint: str = ""
    """A command that shows more."""


def render(view: View) -> str:
    """Return the HTML of a view."""
    name = html.escape(view.name)
    if view.link.startswith(("http://", "https://")):
        name = f'<a href="{html.escape(view.link)}" target="_blank" rel="noopener">{name}</a>'
    task = f"&ensp;<code>{html.escape(view.task)}</code>" if view.task else ""
    head = f"<div><b>{name}</b>{task} {_badge(view)} <span class='flyte-dim'>{_seconds(view.elapsed_s)}</span></div>"
    counts = _total(view.branches)
    parts = [head, _bar(counts), f"<div class='flyte-dim'>{_words(counts)}</div>" if counts else ""]
    parts += [f"<div>{html.escape(note)}</div>" for note in view.notes]
    parts += [_tree(view.branches), _error(view.error), *map(_output, view.outputs, view.outputs.values())]
    if view.hint:
        parts.append(f"<div class='flyte-dim'><code>{html.escape(view.hint)}</code></div>")
    return f"{_STYLE}<div class='flyte-run'>{''.join(parts)}</div>"


def describe(view: View) -> str:
    """Return a view in one line of text, for front ends without HTML."""
    counts = _total(view.branches)
    return f"Run {view.name}: {_phase(view)}, {_seconds(view.elapsed_s)}{f' ({_words(counts)})' if counts else ''}"


def _total(branches: Sequence[Branch]) -> dict[ActionPhase, int]:
    total: dict[ActionPhase, int] = {}
    for branch in branches:
        for phase, count in branch.counts.items():
            total[phase] = total.get(phase, 0) + count
    return total


def _phase(view: View) -> str:
    return view.phase.value if view.task else "starting"


def _badge(view: View) -> str:
    color = _COLORS.get(view.phase, _WAITING) if view.task else _WAITING
    return f"<span class='flyte-phase' style='background:{color}'>{_phase(view)}</span>"


def _words(counts: Mapping[ActionPhase, int]) -> str:
    return ", ".join(f"{counts[phase]:,} {phase.value.replace('_', ' ')}" for phase in _ORDER if counts.get(phase))


def _bar(counts: Mapping[ActionPhase, int]) -> str:
    total = sum(counts.values())
    pieces = [
        f"<span style='background:{_COLORS.get(phase, 'transparent')};width:{100 * counts[phase] / total:.2f}%'></span>"
        for phase in _ORDER
        if counts.get(phase)
    ]
    return f"<div class='flyte-bar'>{''.join(pieces)}</div>"


def _tree(branches: Sequence[Branch]) -> str:
    shown, left = branches[:BRANCHES_SHOWN], branches[BRANCHES_SHOWN:]
    if len(shown) < 2:
        return ""  # an action alone is what the head says
    rows = [_row(branch) for branch in shown]
    if left:
        counts = _total(left)
        about = f"{len(left):,} more lines: {_words(counts)}"
        rows.append(f"<tr><td colspan='3' class='flyte-dim'>{about}</td></tr>")
    return f"<table class='flyte-tree'>{''.join(rows)}</table>"


def _row(branch: Branch) -> str:
    number = sum(branch.counts.values())
    times = f" <span class='flyte-dim'>&times;{number:,}</span>" if number > 1 else ""
    group = f" <span class='flyte-dim'>in {html.escape(branch.group)}</span>" if branch.group else ""
    indent = "&nbsp;&nbsp;&nbsp;" * branch.depth
    name = f"<td>{indent}<code>{html.escape(branch.task)}</code>{times}{group}</td>"
    return f"<tr>{name}<td>{_bar(branch.counts)}</td><td class='flyte-dim'>{_words(branch.counts)}</td></tr>"


def _error(text: str) -> str:
    return f"<details open><summary>Traceback</summary><pre>{html.escape(text)}</pre></details>" if text else ""


def _output(name: str, shown: str) -> str:
    return f"<div class='flyte-out'><div class='flyte-dim'>{html.escape(name)}</div>{shown}</div>"


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
