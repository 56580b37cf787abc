"""The console in a real browser, over a root with local runs: what people see and do there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

import flyte_ray as flyte
from benchmarks.console import make_run
from flyte_ray.api.settings import current_store
from flyte_ray.console.building import build_console
from flyte_ray.ledger.tokens import create_token
from flyte_ray.storage import open_store
from tests import console_runs
from tests.browser import browser, watched_page
from tests.console_server import served

__all__ = ["browser"]  # a fixture
ROWS_AT_MOST = 300

UNNAMED = """[...document.querySelectorAll("a[href], button, input, select, textarea, iframe, [tabindex='0']")]
  .filter((each) => each.checkVisibility() && !each.textContent.trim() && !each.ariaLabel && !each.labels?.length)
  .map((each) => each.outerHTML)"""
HIDDEN_FROM_KEYS = """[...document.querySelectorAll("button, a[href], input, select")]
  .filter((each) => each.checkVisibility() && each.tabIndex < 0 && each.role !== "tab")
  .map((each) => each.outerHTML)"""
"""Tabs are reached by the arrow keys from the chosen one."""


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a console over a root with runs of each kind, served by this process."""
    root = tmp_path_factory.mktemp("root")
    flyte.init(root=root)
    console_runs.local(console_runs.main, "nightly", {"team": "forecast"})
    make_run(open_store(root), "large", 20_000, 1_700_000_000_000_000, fails=True)
    with served(build_console()) as address:
        yield address
    flyte.init()


@pytest.fixture
def page(browser: Browser, console: str) -> Iterator[Page]:
    with watched_page(browser, console) as page:
        yield page


@contextmanager
def started(console: str, task: object, name: str, **inputs: object) -> Iterator[str]:
    """Have a run go on in this process; it has to end in the block."""
    thread = threading.Thread(target=console_runs.local, args=(task, name), kwargs=inputs)
    thread.start()
    while httpx.get(f"{console}/api/runs/{name}", trust_env=False).status_code == 404:
        assert thread.is_alive()
        thread.join(0.05)
    yield f"/runs/{name}"
    thread.join()


def test_a_run_shows_its_tree_with_groups_folded_and_traces_under_their_action(page: Page) -> None:
    page.goto("/runs/nightly")
    expect(page.get_by_role("heading", name="nightly")).to_be_visible()
    expect(page.get_by_role("treeitem", name="group clean, 12 actions, 12 succeeded")).to_be_visible()
    expect(page.get_by_role("treeitem")).to_have_count(6)
    page.get_by_role("button", name="Unfold all").click()
    expect(page.get_by_role("treeitem", name="trace ask")).to_have_count(8)
    expect(page.get_by_role("treeitem", name="2 attempts")).to_have_count(1)
    page.get_by_role("button", name="Fold all", exact=True).click()
    expect(page.get_by_role("treeitem")).to_have_count(6)


def test_a_tree_is_moved_in_by_keys_and_its_address_can_be_shared(page: Page) -> None:
    page.goto("/runs/nightly")
    tree = page.get_by_role("tree", name="Actions of nightly")
    tree.focus()
    tree.press("ArrowDown")
    expect(page.get_by_role("treeitem", name="group clean", selected=True)).to_be_visible()
    tree.press("ArrowRight")
    tree.press("ArrowRight")
    expect(page.get_by_role("treeitem", selected=True, name="nightly.clean")).to_be_visible()
    expect(page.locator(".path")).to_have_text("main / clean")
    tree.press("ArrowLeft")
    tree.press("ArrowLeft")
    expect(page.get_by_role("treeitem")).to_have_count(6)
    tree.press("f")
    expect(page.get_by_role("treeitem", selected=True, name="nightly.publish")).to_be_visible()
    for show in ("Failed", "All"):  # who stands on a line that is still shown stays on it
        page.get_by_role("button", name=show, exact=True).click()
        expect(page.get_by_role("treeitem", selected=True, name="nightly.publish")).to_be_in_viewport()
    page.reload()
    expect(page.get_by_role("treeitem", selected=True, name="nightly.publish")).to_be_visible()
    page.get_by_role("tree").press("Enter")
    expect(page.get_by_role("heading", name="nightly.publish")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("treeitem", selected=True, name="nightly.publish")).to_be_visible()


def test_what_is_searched_stands_in_the_address(page: Page) -> None:
    page.goto("/runs/nightly")
    expect(page.get_by_role("heading", name="nightly")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("figu")
    expect(page.get_by_role("treeitem")).to_have_count(2)
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("figu")
    expect(page.get_by_role("treeitem")).to_have_count(2)
    page.get_by_role("searchbox").fill("")
    page.get_by_role("button", name="Failed").click()
    expect(page.get_by_role("treeitem")).to_have_count(2)
    page.get_by_role("button", name="Critical path").click()
    expect(page.get_by_role("treeitem", name="on the critical path")).not_to_have_count(0)


def test_a_large_tree_is_scrolled_in_few_elements(page: Page) -> None:
    page.goto("/runs/large")
    page.get_by_role("button", name="Unfold all").click()
    expect(page.get_by_text("20,000")).not_to_have_count(0)
    tree = page.get_by_role("tree")
    tree.press("End")
    expect(page.get_by_role("treeitem", selected=True)).to_be_in_viewport()
    most = page.evaluate(
        """async () => {
          const tree = document.querySelector("[role=tree]");
          let most = 0;
          for (let step = 0; step < 40; step += 1) {
            tree.scrollTop = (tree.scrollHeight * ((step * 7) % 40)) / 40;
            await new Promise(requestAnimationFrame);
            most = Math.max(most, document.querySelectorAll("[role=treeitem]").length);
          }
          return most;
        }"""
    )
    assert 20 < most <= ROWS_AT_MOST
    page.get_by_role("button", name="First failure").click()
    expect(page.get_by_role("treeitem", selected=True, name="failed")).to_be_in_viewport()


def test_a_run_is_followed_while_it_goes_on_and_its_log_while_it_grows(
    page: Page, console: str, tmp_path: Path
) -> None:
    end = tmp_path / "end"
    with started(console, console_runs.follow, "followed", path=str(end)) as address:
        page.goto(address)
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        waiting = page.get_by_role("treeitem", name="nightly.wait_for")
        expect(waiting).to_contain_text("wait_for")
        page.get_by_role("tree").focus()
        page.keyboard.press("End")
        page.keyboard.press("Enter")
        page.get_by_role("tab", name="Logs").click()
        expect(page.get_by_role("log")).to_contain_text("round 3")
        expect(page.get_by_role("log")).to_contain_text("round 20")
        page.get_by_role("searchbox").fill("round 2")
        expect(page.locator("mark").first).to_have_text("round 2")
        end.touch()
        expect(page.locator(".run-head")).to_contain_text("succeeded")
        page.go_back()
        expect(page.locator(".run-head")).to_contain_text("succeeded")
        expect(page.get_by_role("treeitem", name="nightly.wait_for")).to_contain_text("wait_for")


def test_an_open_page_shows_how_a_run_ends(page: Page, console: str, tmp_path: Path) -> None:
    end = tmp_path / "end"
    with started(console, console_runs.follow, "watched", path=str(end)) as address:
        page.goto(address)
        expect(page.get_by_role("treeitem", name="nightly.wait_for, ")).to_have_count(1)
        page.evaluate("window.stayed = true")
        end.touch()
        expect(page.locator(".run-head")).to_contain_text("succeeded")
        expect(page.get_by_role("treeitem", name="nightly.follow, a0, succeeded")).to_be_visible()
        expect(page.get_by_role("button", name="Recover")).to_be_visible()
        assert page.evaluate("window.stayed")


def test_a_stream_that_is_refused_for_good_is_not_asked_for_again(browser: Browser, console: str) -> None:
    page = browser.new_page()
    page.clock.install()
    page.goto(f"{console}/cache")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/changes" in request.url else None)
    told = page.evaluate(
        """async () => {
          const { follow } = await import("/static/api.js");
          const { signal } = new AbortController();
          return new Promise((say) => follow("/api/runs/no-such-run/changes", {}, signal, (_, why) => why && say(why)));
        }"""
    )
    assert "should hold a run 'no-such-run'" in told
    page.clock.run_for(60_000)  # who lost the connection tries again after one second
    assert len(asked) == 2
    page.close()


CHANGES = """async () => {
    const { Table } = await import("/static/table.js");
    const two = { parent: [-1, 0], attempts: [1, 1], queued: [0, 1], started: [0, 1], ended: [-1, -1], phase: [0, 0] };
    const names = { task: [0, 1], group: [-1, 0], tasks: ["e.main", "e.work"], groups: ["g"] };
    const sent = { ...two, ...names, id: ["a0", "a"], cached: [0, 1] };
    const table = new Table({ ...sent, phases: ["running"], position: 1, critical: [] });
    const new_ones = { ...two, id: ["a", "b"], task: [0, 1], group: [1, 0], tasks: ["e.work", "e.last"] };
    table.apply({ ...new_ones, row: [1, 2], groups: ["h", "g"], position: 2, cached: [2] });
    return [0, 1, 2].map((row) => [table.taskOf(row), table.groupOf(row), table.cached.has(row)]);
}"""


def test_rows_keep_their_names_and_take_what_is_new_when_changes_number_names_anew(page: Page) -> None:
    page.goto("/")
    assert page.evaluate(CHANGES) == [["e.main", None, True], ["e.work", "g", False], ["e.last", "h", True]]


def test_a_question_is_answered_on_the_run_s_page(page: Page, console: str) -> None:
    with started(console, console_runs.review, "asking") as address:
        page.goto(address)
        question = page.get_by_role("form", name="Question approval")
        expect(question.get_by_role("heading", name="Write to production?")).to_be_visible()
        expect(question.get_by_role("listitem")).to_have_count(2)
        expect(question.get_by_role("link", name="the handbook")).to_have_attribute(
            "href", "https://example.com/handbook"
        )
        question.get_by_role("button", name="Yes").click()
        expect(page.locator(".run-head")).to_contain_text("succeeded")
        page.get_by_text("Inputs and outputs").click()
        expect(page.get_by_role("region", name="Output o0")).to_contain_text("true")


def test_a_question_that_follows_another_one_is_shown_at_once(page: Page, console: str) -> None:
    with started(console, console_runs.ask_twice, "asking-twice") as address:
        page.goto(address)
        for name in ("new", "good"):
            page.get_by_role("form", name=f"Question {name}").get_by_role("button", name="Yes").click()
        expect(page.locator(".run-head")).to_contain_text("succeeded")


def test_a_tree_that_was_read_before_the_run_s_end_is_brought_up_to_date(
    page: Page, console: str, tmp_path: Path
) -> None:
    end = tmp_path / "end"
    with started(console, console_runs.follow, "read-before", path=str(end)) as address:
        before = httpx.get(f"{console}/api{address}/table", trust_env=False).text
        end.touch()
    page.route("**/table", lambda route: route.fulfill(body=before, content_type="application/json"))
    page.goto(address)
    expect(page.get_by_role("treeitem", name="nightly.follow, a0, succeeded")).to_be_visible()


def test_what_tasks_say_is_shown_and_none_of_it_runs(page: Page, console: str) -> None:
    with started(console, console_runs.hostile, "hostile") as address:
        page.goto(address)
        question = page.get_by_role("form", name="Question asked")
        expect(question).to_contain_text(console_runs.HOSTILE)
        expect(question.get_by_role("link")).to_have_count(0)
        expect(page.get_by_role("treeitem", name=console_runs.HOSTILE)).to_contain_text(console_runs.HOSTILE)
        assert page.evaluate("window.hurt") is None
        question.get_by_role("button", name="Yes").click()
        expect(page.get_by_role("region", name="Why it ended so")).to_contain_text(console_runs.HOSTILE)
        page.get_by_role("tree").press("Home")
        page.get_by_role("tree").press("Enter")
        expect(page.get_by_role("region", name="Input text")).to_contain_text("onerror")
        page.get_by_role("tab", name="Logs").click()
        expect(page.get_by_role("log")).to_contain_text(console_runs.HOSTILE)
        page.get_by_role("searchbox").fill("<script>")
        expect(page.locator("mark")).to_have_text("<script>")
        page.get_by_role("tab", name="Report").click()
        report = page.frame_locator("iframe")
        expect(report.get_by_role("heading", name="hostile report")).to_be_visible()
        page.get_by_role("tab", name="Events").click()
        expect(page.get_by_role("cell", name="called", exact=True)).to_be_visible()
        assert page.evaluate("window.hurt") is None and page.title() != "hurt"


@pytest.mark.parametrize("width", [1280, 390])
def test_every_control_has_a_name_and_is_reached_by_keyboard(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for address in ("/", "/runs/nightly", "/runs/nightly/actions/a0", "/apps", "/cache", "/login"):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate(UNNAMED) == [] and page.evaluate(HIDDEN_FROM_KEYS) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_runs_are_filtered_by_what_the_address_says(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("link", name="large")).to_be_visible()
    page.get_by_label("Search names, tasks, labels").fill("night")
    expect(page.get_by_role("link", name="large")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Search names, tasks, labels")).to_have_value("night")
    expect(page.get_by_role("row", name="nightly nightly.main")).to_contain_text("failed")
    page.goto("/?phase=succeeded&task=nightly.main")
    expect(page.get_by_text("No run matches.")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("link", name="nightly", exact=True)).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    name = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")


def test_a_failure_leads_to_its_cause_and_a_value_is_shown_by_what_it_is(page: Page) -> None:
    page.goto("/runs/nightly")
    page.get_by_role("link", name="action").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("nightly.publish")
    expect(page.locator(".traceback")).to_contain_text("raise ValueError")
    table = page.get_by_role("region", name="Input table")
    expect(table).to_contain_text("1 to 50 of 1,200 rows")
    table.get_by_role("button", name="Last rows of table").click()
    expect(table).to_contain_text("1,151 to 1,200 of 1,200 rows")
    expect(page.get_by_role("region", name="Input where")).to_contain_text("append")
    page.get_by_role("tab", name="Code").click()
    expect(page.get_by_role("tabpanel")).to_contain_text("async def publish")
    expect(page.locator(".failing")).to_contain_text("raise ValueError")
    page.get_by_role("link", name="nightly", exact=True).click()
    page.get_by_role("treeitem", name="nightly.figure").locator(".name").click()
    picture = page.get_by_role("img", name="o0, an image")
    expect(picture).to_be_visible()
    assert picture.evaluate("async (image) => (await image.decode(), image.naturalWidth)") == 500


def test_a_run_is_started_anew_with_other_inputs(page: Page) -> None:
    page.goto("/runs/nightly")
    page.get_by_role("button", name="Rerun").click()
    page.get_by_label("parts").fill("two")
    page.get_by_role("dialog").get_by_role("button", name="Rerun").click()
    expect(page.get_by_role("alert")).to_contain_text("Expected a whole number for parts, got 'two'.")
    page.get_by_label("parts").fill("2")
    page.get_by_role("dialog").get_by_role("button", name="Rerun").click()
    expect(page.locator(".facts-line")).to_contain_text("reruns nightly")
    expect(page.locator(".run-head")).to_contain_text("failed")
    expect(page.get_by_role("treeitem", name="group clean, 2 actions")).to_be_visible()


def test_a_run_is_resumed_and_recovered(page: Page) -> None:
    console_runs.local(console_runs.main, "to-resume", parts=1)
    page.goto("/runs/to-resume")
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Recover").click()
    page.get_by_role("dialog").get_by_role("button", name="Recover").click()
    expect(page.locator(".facts-line")).to_contain_text("recovers to-resume")
    expect(page.locator(".run-head")).to_contain_text("failed")
    expect(page.locator(".run-head")).to_contain_text("recovered")


def test_a_token_is_asked_for_once_and_taken_back(browser: Browser, console: str) -> None:
    token, _ = create_token(current_store(), "ann", ("api:read",), random=os.urandom, at_us=1, by="test")
    context = browser.new_context()
    with served(build_console(ask_token=True)) as address:
        page = context.new_page()
        page.goto(f"{address}/runs/nightly")
        page.get_by_role("textbox", name="Token").fill("frt_wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("does not know this token")
        page.get_by_role("textbox", name="Token").fill(token)
        page.keyboard.press("Enter")
        expect(page.get_by_role("treeitem", name="nightly.main")).to_be_visible()
        page.reload()
        expect(page.get_by_role("treeitem", name="nightly.main")).to_be_visible()
        page.get_by_role("button", name="Rerun").click()
        page.get_by_role("dialog").get_by_role("button", name="Rerun").click()
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("api:write")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.goto(f"{address}/")
        expect(page.get_by_role("heading", name="A token is needed")).to_be_visible()
        context.close()
