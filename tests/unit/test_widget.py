"""What a notebook shows of a run: few lines for many actions, nothing of a user's is HTML, values are shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

import flyte_ray as flyte
from flyte_ray.api import shown_values
from flyte_ray.api.branches import DEEPEST, Branch, fold_branches
from flyte_ray.api.shown_values import CUT, Page, show_value
from flyte_ray.api.widget import BRANCHES_SHOWN, View, describe, render
from flyte_ray.io import Dir, File
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.testing import run_local

HOSTILE = "<script>alert(1)</script>"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;"


def action(name: str, parent: str | None, task: str, phase: ActionPhase, group: str | None = None) -> ActionState:
    return ActionState(name, parent, f"{task}@1", group, "{}", 0, phase=phase)


def test_calls_of_one_task_from_one_place_are_one_branch() -> None:
    done, runs = ActionPhase.SUCCEEDED, ActionPhase.RUNNING
    actions = [
        action("a0", None, "w.main", runs),
        action("b", "a0", "w.load", done, "days"),
        action("c", "a0", "w.train", runs),
        action("d", "b", "w.parse", done),
        action("e", "a0", "w.load", runs, "days"),
        action("f", "e", "w.parse", runs),
    ]
    assert fold_branches(actions, "a0") == [
        Branch(0, "w.main", None, {runs: 1}),
        Branch(1, "w.load", "days", {done: 1, runs: 1}),
        Branch(2, "w.parse", None, {done: 1, runs: 1}),
        Branch(1, "w.train", None, {runs: 1}),
    ]
    assert fold_branches(actions, "b") == [
        Branch(0, "w.load", "days", {done: 1}),
        Branch(1, "w.parse", None, {done: 1}),
    ]


def test_a_deep_run_ends_in_one_branch_that_counts_what_lies_below() -> None:
    chain = [action(f"a{n}", f"a{n - 1}" if n else None, "w.deeper", ActionPhase.RUNNING) for n in range(50)]
    branches = fold_branches(chain, "a0")
    assert [branch.depth for branch in branches] == list(range(DEEPEST + 1))
    assert branches[-1].counts == {ActionPhase.RUNNING: 50 - DEEPEST}


def test_what_comes_from_a_run_is_text_and_never_html() -> None:
    branches = [Branch(0, HOSTILE, HOSTILE, {ActionPhase.FAILED: 1}), Branch(1, HOSTILE, None, {ActionPhase.FAILED: 1})]
    view = View(HOSTILE, HOSTILE, ActionPhase.FAILED, 1, branches, [HOSTILE], HOSTILE, {}, f"http://{HOSTILE}", HOSTILE)
    shown = render(view)
    assert "<script" not in shown and shown.count(SAFE) == 9


def test_a_link_is_one_to_a_page_only() -> None:
    assert "<a href=" not in render(View("r", "w.main", link="javascript:alert(1)"))
    assert '<a href="http://h/runs/r"' in render(View("r", "w.main", link="http://h/runs/r"))


def test_a_long_tree_says_what_is_left_out() -> None:
    branches = [Branch(1, f"w.t{n}", None, {ActionPhase.SUCCEEDED: 2}) for n in range(BRANCHES_SHOWN + 3)]
    shown = render(View("r", "w.main", branches=branches))
    assert f"w.t{BRANCHES_SHOWN - 1}<" in shown and f"w.t{BRANCHES_SHOWN}<" not in shown
    assert "3 more lines: 6 succeeded" in shown


@pytest.mark.parametrize(("seconds", "words"), [(0.04, "0.0 s"), (75, "1 min 15 s"), (7_400, "2 h 3 min")])
def test_a_front_end_without_html_gets_a_line(seconds: float, words: str) -> None:
    branches = [Branch(0, "w.main", None, {ActionPhase.TIMED_OUT: 1})]
    line = describe(View("r", "w.main", ActionPhase.TIMED_OUT, seconds, branches))
    assert line == f"Run r: timed_out, {words} (1 timed out)"
    assert describe(View("r")) == "Run r: starting, 0.0 s"


class Odd:
    def _repr_html_(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (HOSTILE, f"<pre>{SAFE}</pre>"),
        ([HOSTILE], f"<pre>[&#x27;{SAFE}&#x27;]</pre>"),
        (3, "<pre>3</pre>"),
        (Odd(), "<pre>Odd, whose HTML fails: RuntimeError: no</pre>"),
    ],
)
def test_a_value_without_html_of_its_own_is_text(value: Any, shown: str) -> None:
    assert show_value(value) == shown


def test_a_long_text_is_cut() -> None:
    assert show_value("x" * (CUT + 5)).endswith("x ... 5 more characters</pre>")


def test_tables_and_figures_are_shown_as_they_show_themselves() -> None:
    import plotly.graph_objects as go

    assert "<table" in show_value(pd.DataFrame({"a": [1]}))
    figure = Figure()
    figure.subplots().plot([1, 2])
    assert show_value(figure).startswith('<img style="max-width:100%" src="data:image/png;base64,')
    plotly = show_value(go.Figure(go.Bar(y=[1])))
    assert plotly.startswith("<iframe srcdoc=") and "cdn.plot.ly" in plotly


def test_a_report_stands_in_a_frame_that_has_no_rights() -> None:
    shown = Page(f"<html>{HOSTILE}</html>")._repr_html_()
    assert shown.startswith('<iframe sandbox="allow-scripts" srcdoc="&lt;html&gt;') and "<script" not in shown


def test_a_file_shows_where_it_lies() -> None:
    assert show_value(File.from_existing_remote("s3://b/<x>.csv")).endswith("<code>s3://b/&lt;x&gt;.csv</code>")
    assert show_value(Dir.from_existing_remote("https://h/d")).endswith(
        '<a href="https://h/d" rel="noopener">https://h/d</a>'
    )


env = flyte.TaskEnvironment("large")


@env.task
def rows(count: int) -> pd.DataFrame:
    return pd.DataFrame({"a": range(count)})


@env.task
def among_others(count: int) -> tuple[pd.DataFrame, str]:
    return pd.DataFrame({"a": range(count)}), "o" * 50


@env.task
def in_a_list(count: int) -> list[pd.DataFrame]:
    return [pd.DataFrame({"a": range(count)}) for _ in range(2)]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[None]:
    flyte.init(root=tmp_path)
    yield
    flyte.init()


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("task", [rows, among_others, in_a_list])
def test_rows_that_take_long_are_counted_and_not_loaded(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown_values, "MOST_ROWS", 5)
    # A column is named in a table and in the text of one.
    assert " a\n" in (shown := run_local(task, 2)._repr_html_()) or "<th>a</th>" in shown
    assert " rows, which <code>outputs()</code> loads" in run_local(task, 6)._repr_html_()
