"""Fold a run's actions into the few branches that a small picture has room for: calls of one task from one place.

Invariant: pure; each action below the one looked at counts in exactly one branch, or among those left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.phase import ActionPhase

DEEPEST: Final = 6
"""Levels that are told apart: what lies deeper counts with the last one that is shown."""


class Branch(NamedTuple):
    """All calls of one task, in one group, from one place in the tree."""

    depth: int
    """0 for the action that is looked at."""
    task: str
    group: str | None
    counts: Mapping[ActionPhase, int]


@dataclass
class _Node:
    task: str
    group: str | None
    counts: Counter[ActionPhase] = field(default_factory=Counter)
    below: dict[tuple[str, str | None], _Node] = field(default_factory=dict)


def fold_branches(actions: Iterable[ActionState], root: str) -> list[Branch]:
    """Return the branches in the order of the tree, each below the one that called it.

    Args:
        actions: Of a run, in the order of their calls.
        root: Id of the action to begin with; it is the first branch, and all that is not below it does not count.

    """
    top = _Node("", None)
    nodes: dict[str, tuple[_Node, int]] = {}
    for action in actions:
        if action.id == root:
            parent, depth = top, 0
        elif action.parent in nodes:
            parent, above = nodes[action.parent]
            depth = above + 1
        else:
            continue
        if depth > DEEPEST:
            node, depth = parent, DEEPEST
        else:
            key = action.task_name, action.group
            node = parent.below.setdefault(key, _Node(*key))
        node.counts[action.phase] += 1
        nodes[action.id] = node, depth
    return list(_walk(top, -1))[1:]


def _walk(node: _Node, depth: int) -> Iterable[Branch]:
    yield Branch(depth, node.task, node.group, dict(node.counts))
    for each in node.below.values():
        yield from _walk(each, depth + 1)
