"""What tasks report to people, with real figures and data frames."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import flyte_ray as flyte
from flyte_ray.cli.main import main
from flyte_ray.errors import ObjectMissing, RuntimeUserError
from flyte_ray.runtime.rendering import render
from flyte_ray.types import Renderable

env = flyte.TaskEnvironment("reporting")


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Iterator[Path]:
    flyte.init(root=tmp_path)
    yield tmp_path


def run(task: Any, *args: object) -> flyte.Run:
    return flyte.with_runcontext("local").run(task, *args)


@env.task(report=True)
def inner() -> None:
    flyte.report.log("<p>from inside</p>")


@env.task(report=True)
def reports(n: int) -> int:
    flyte.report.log("<h1>Losses</h1>")
    flyte.report.get_tab("a <b> tab").log("first")
    flyte.report.get_tab("a <b> tab").replace(f"<p>second {n}</p>")
    inner()
    assert flyte.ctx().report is flyte.report.current_report()
    return n


def test_a_report_is_a_page_with_its_tabs(root: Path) -> None:
    done = run(reports, 3)
    page = done.get_report()
    assert page.startswith("<!DOCTYPE html>") and "<h1>Losses</h1>" in page and "<p>second 3</p>" in page
    assert "a &lt;b&gt; tab" in page and "first" not in page and "from inside" not in page
    (_, child) = flyte.remote.Action.listall(for_run_name=done.name)
    assert "<p>from inside</p>" in child.get_report()
    told = CliRunner().invoke(main, ["get", "report", "--root", str(root), done.name])
    assert told.exit_code == 0 and told.output.rstrip() == page.rstrip()


@env.task
def has_reporting_children(n: int) -> None:
    for number in range(n):
        inner.override(short_name=f"inner{number}")()


def test_the_only_report_of_a_run_is_shown_and_several_are_named(root: Path) -> None:
    one, two, none = (run(has_reporting_children, n).name for n in (1, 2, 0))
    told, several, nothing = (
        CliRunner().invoke(main, ["get", "report", "--root", str(root), name]) for name in (one, two, none)
    )
    (child,) = (action.name for action in flyte.remote.Action.listall(for_run_name=one, parent_name="a0"))
    assert told.exit_code == 0 and "<p>from inside</p>" in told.stdout and child in told.stderr
    children = sorted(action.name for action in flyte.remote.Action.listall(for_run_name=two, parent_name="a0"))
    assert f"There is no report of action a0. These actions have one: {', '.join(children)}." in several.stderr
    assert "is declared with report=True" in nothing.stderr


@env.task(report=True)
async def reports_later() -> None:
    await flyte.report.log.aio("<p>one</p>", do_flush=True)
    stored = await asyncio.to_thread(flyte.Run.get(flyte.ctx().run_name).get_report)
    assert "<p>one</p>" in stored
    await flyte.report.replace.aio("<p>two</p>")
    assert await asyncio.to_thread(flyte.Run.get(flyte.ctx().run_name).get_report) == stored


def test_async_code_reports_and_stores_it_while_it_runs() -> None:
    page = run(reports_later).get_report()
    assert "<p>two</p>" in page and "<p>one</p>" not in page


@env.task(report=True, retries=1)
def fails() -> None:
    flyte.report.log(f"<p>attempt {flyte.ctx().attempt_number}</p>")
    raise ValueError("broken")


def test_each_attempt_has_a_report_of_its_own_also_if_it_fails() -> None:
    done = run(fails)
    with pytest.raises(RuntimeUserError, match="broken"):
        done.outputs()
    assert "<p>attempt 0</p>" in done.get_report(attempt=0)
    assert "<p>attempt 1</p>" in done.get_report()
    with pytest.raises(ObjectMissing, match="There is no report of attempt 2 of action a0. A task reports with"):
        done.get_report(attempt=2)


@env.task
def reports_in_vain() -> None:
    flyte.report.log("<p>lost</p>")


@env.task
def stores_it_itself() -> None:
    flyte.report.log("<p>kept</p>", do_flush=True)


def test_who_reports_without_being_declared_to_is_told(caplog: pytest.LogCaptureFixture) -> None:
    done = run(reports_in_vain)
    assert "task reporting.reports_in_vain has reported, which is not kept: declare it with report=True" in caplog.text
    with pytest.raises(ObjectMissing):
        done.get_report()
    told = CliRunner().invoke(main, ["get", "report", "--root", str(done.store.uri), done.name])
    assert told.exit_code == 2 and "There is no report of action a0." in told.output
    assert "<p>kept</p>" in run(stores_it_itself).get_report()


def test_outside_of_a_task_a_report_goes_nowhere() -> None:
    flyte.report.log("<p>nowhere</p>", do_flush=True)
    assert not flyte.report.current_report().has_content()


def test_a_tab_that_is_missing_is_made_only_if_that_is_meant() -> None:
    with pytest.raises(ValueError, match="The report has the tabs 'main', got 'x'"):
        flyte.report.get_tab("x", create_if_missing=False)


@env.task(report=True)
def plots() -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import pandas as pd
    import plotly.graph_objects as go

    figure, axes = plt.subplots()
    axes.plot([1, 2, 3])
    flyte.report.log(figure)
    flyte.report.get_tab("interactive").log(go.Figure(go.Scatter(y=[1, 2])))
    flyte.report.get_tab("rows").log(pd.DataFrame({"loss": [0.5, 0.25]}))
    plt.close(figure)


def test_figures_and_data_frames_are_shown_as_they_are_given() -> None:
    page = run(plots).get_report()
    head, _, body = page.rpartition("<body>")
    assert body.count('src="data:image/png;base64,iVBOR') == 1
    assert "plotly-graph-div" in body and "src=" not in body.replace('src="data:', "") and len(head) > 1_000_000
    assert "<th>loss</th>" in body and "<td>0.25</td>" in body


def test_tables_of_other_libraries_are_shown_by_their_first_rows() -> None:
    import pandas as pd
    import pyarrow as pa

    table = render(pa.table({"<a>": list(range(1000)), "b": ["x"] * 1000}))
    assert table.count("<tr>") == 101 and "&lt;a&gt;" in table and "1,000 rows x 2 columns" in table
    assert "1000 rows" in render(pd.Series(range(1000), name="s").to_frame())
    assert "<th>s</th>" in render(pd.Series([1], name="s"))


def test_what_a_notebook_can_show_is_shown_and_all_else_refused() -> None:
    class Shown:
        def _repr_html_(self) -> str:
            return "<b>shown</b>"

    class Page:
        def to_html(self) -> str:
            return '<!DOCTYPE html><html>"whole"</html>'

    assert render(Shown()) == "<b>shown</b>"
    assert render(Page()).startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    with pytest.raises(TypeError, match="A report takes HTML text, a figure, a data frame .*, got int 3. Write its"):
        render(3)


def test_a_timeline_writes_escaped_rows() -> None:
    @env.task(report=True)
    def timed() -> None:
        line = flyte.report.Timeline("steps")
        line.heading("<run>")
        line.row(
            label="a<b", meta=flyte.report.duration_ms("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"), error="bad"
        )
        line.row(detail=flyte.report.abbreviate("x" * 400))

    page = run(timed).get_report()
    assert "&lt;run&gt;" in page and "a&lt;b" in page and "1000 ms" in page and "bad" in page and "(+100)" in page


def test_reports_need_no_library_that_is_not_used() -> None:
    assert render("<p>text</p>") == "<p>text</p>"
    for module in ("flyte_ray.runtime.report", "flyte_ray.runtime.rendering"):
        assert not {"matplotlib", "plotly", "pandas"} & set(vars(sys.modules[module]))


class Stars:
    def to_html(self, python_value: int) -> str:
        return "*" * python_value


@env.task(report=True)
def rated() -> None:
    stars = Stars()
    assert isinstance(stars, Renderable)
    flyte.report.log(stars.to_html(5))


def test_what_makes_html_of_values_is_known_by_flytes_name() -> None:
    assert "*****" in run(rated).get_report()
