"""Flyte's names: each has a state, what is there has a test, and the signatures of K1 are those of Flyte."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.api.foreign import ABSENT, Absent
from flyte_ray.errors import UnsupportedError
from tests.surface.page import K1, all_tests, find, sections
from tests.surface.table import load_table, parameters_of

TOP = Path(__file__).parent.parent
NAMES = [(module, name) for module, names in K1.items() for name in names]
MADE_HERE = {
    "Checkpoint": "it is flyte.ctx().checkpoint; nobody makes one",
    "DataFrame": "it is made by from_df, from_local and from_existing_remote",
}
DIFFER = {
    "init": "where runs are recorded and run comes first: there is no project",
    "init_from_config": "the same",
}
"""Names of K1 whose parameters stand in another order, and why."""


def test_the_page_says_what_there_is() -> None:
    expected = {(heading, row.name, row.level, row.state) for heading, rows in sections().items() for row in rows}
    assert {row[:4] for row in page_rows()} == expected, "python -m tests.surface.page > docs/flyte2.md"


def test_each_test_that_the_page_names_uses_the_name() -> None:
    texts = {place: "" for place, _ in all_tests()}
    for place, text in all_tests():
        texts[place] += text
    named = [
        (name, place)
        for heading, name, level, state, place in page_rows()
        if state == "there" and level in ("K1", "K2") and heading != "Commands"
    ]
    wrong = [pair for pair in named if pair[0] not in texts.get(pair[1], "")]
    assert wrong == [], "python -m tests.surface.page > docs/flyte2.md"


def page_rows() -> list[tuple[str, ...]]:
    """Module, name, level, state and test of each row of the page."""
    rows, module = [], ""
    for line in (TOP / "docs" / "flyte2.md").read_text().splitlines():
        module = line.removeprefix("## ") if line.startswith("## ") else module
        if line.startswith("| `"):
            rows.append((module, *(cell.strip(" `") for cell in line.strip("|").split("|"))))
    return rows


@pytest.mark.parametrize("heading", sections())
def test_what_is_there_names_a_test_that_exists(heading: str) -> None:
    places = {place for place, _ in all_tests()}
    assert [row.name for row in sections()[heading] if row.state == "there" and row.test not in places] == []


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_name_of_k1_takes_what_it_takes_in_flyte(module: str, name: str) -> None:
    theirs = parameters_of(load_table()[module][name])
    ours = find(module, name)
    assert ours is not None and not isinstance(ours, Absent)
    if not theirs or not callable(ours) or name in MADE_HERE:
        return
    taken = _parameters(ours)
    takes_any = any(item.kind is inspect.Parameter.VAR_KEYWORD for item in taken.values())
    lacking = [each for each, _, _ in theirs if each not in taken and not takes_any and not each.startswith("_")]
    assert lacking == [], f"{module}.{name} lacks {lacking}"
    required = {item.name for item in taken.values() if item.default is item.empty and item.kind not in _VARIABLE}
    assert required <= {each for each, is_required, _ in theirs if is_required}, f"{module}.{name} asks for more"
    if name not in DIFFER:
        positional = [each for each, _, by_position in theirs if by_position and each in taken]
        mine = [item.name for item in taken.values() if item.kind in _BY_POSITION and item.name in positional]
        assert mine == positional[: len(mine)], f"{module}.{name} takes {mine} in this order, Flyte {positional}"


@pytest.mark.parametrize("name", ABSENT)
def test_a_name_that_is_not_there_says_what_to_use_instead(name: str) -> None:
    found = getattr(flyte, name)
    with pytest.raises(UnsupportedError, match=f"flyte.{name} is not supported here"):
        found()
    with pytest.raises(UnsupportedError, match="not supported here"):
        found.anything  # noqa: B018


def test_what_nobody_has_is_missing_as_ever() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing_of_the_kind'"):
        flyte.nothing_of_the_kind  # noqa: B018
    assert not flyte.is_control_plane_available()


_VARIABLE = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
_BY_POSITION = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


def _parameters(ours: Any) -> dict[str, inspect.Parameter]:
    try:
        found = dict(inspect.signature(ours).parameters)
    except (TypeError, ValueError):
        return {}
    return found
