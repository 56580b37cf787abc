"""The console in a real browser, over a root with local runs: what people see and do there."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

import flyte_ray as flyte
from benchmarks.console import make_run
from flyte_ray.console.building import build_console
from flyte_ray.storage import open_store
from tests import console_runs
from tests.browser import open_browser
from tests.ray_cluster import free_port

PATIENT_MS = 60_000
ROWS_AT_MOST = 300


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENT_MS)
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a console over a root with runs of each kind, served by this process."""
    root = tmp_path_factory.mktemp("root")
    flyte.init(root=root)
    console_runs.local(console_runs.main, "nightly", {"team": "forecast"})
    make_run(open_store(root), "large", 20_000, 1_700_000_000_000_000, fails=True)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(build_console(), port=port, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()
    flyte.init()


@pytest.fixture
def page(browser: Browser, console: str) -> Iterator[Page]:
    """A page whose errors fail the test; addresses are those of the console."""
    context = browser.new_context(base_url=console, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENT_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    assert not errors


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
    tree.press("ArrowLeft")
    tree.press("ArrowLeft")
    expect(page.get_by_role("treeitem")).to_have_count(6)
    tree.press("f")
    expect(page.get_by_role("treeitem", selected=True, name="nightly.publish")).to_be_visible()
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
