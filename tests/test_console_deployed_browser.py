"""Tasks and triggers in a real browser: versions, the launch form, switches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

import flyte_ray as flyte
from flyte_ray.console.building import build_console
from tests import console_deployed
from tests.browser import browser, watched_page
from tests.console_server import served
from tests.test_console_browser import HIDDEN_FROM_KEYS, UNNAMED

__all__ = ["browser"]  # a fixture


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a console over a root with deployed tasks."""
    flyte.init(root=tmp_path_factory.mktemp("root"))
    console_deployed.deploy(tmp_path_factory.mktemp("project"))
    with served(build_console()) as address:
        yield address
    flyte.init()


@pytest.fixture
def page(browser: Browser, console: str) -> Iterator[Page]:
    with watched_page(browser, console, refusals=True) as page:
        yield page


def test_a_task_is_found_and_launched_with_a_form_of_its_schema(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="Tasks", exact=True).click()
    search = page.get_by_label("Search tasks, people, images")
    search.fill("sold in a city")
    expect(page.get_by_text("1 task", exact=True)).to_be_visible()
    page.reload()
    expect(search).to_have_value("sold in a city")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("reports.report")
    versions = page.get_by_role("table", name="Versions, the newest first").get_by_role("row")
    expect(versions).to_have_count(3)
    expect(versions.nth(1)).to_contain_text("tags: list[str] = [] added")
    expect(versions.nth(2)).to_contain_text("(city: str, day: datetime, factor: float = 1.0) -> str")
    page.get_by_role("button", name="Launch", exact=True).click()
    form = page.get_by_role("dialog")
    expect(form.get_by_label("factor")).to_have_value("2")
    form.get_by_label("city").fill("Bern")
    form.get_by_role("button", name="Launch").click()
    expect(form.get_by_role("alert")).to_contain_text("Input day: ")
    form.get_by_label("day").fill("2026-01-02T03:04:05")
    form.get_by_label("form").select_option("long")
    form.get_by_label("limits").fill('{"low": 0.5, "high": 7}')
    form.get_by_label("Run's name").fill("launched")
    form.get_by_role("button", name="Launch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("launched")
    expect(page.locator(".run-head")).to_contain_text("succeeded")
    page.get_by_text("Inputs and outputs").click()
    expect(page.get_by_role("region", name="Output o0")).to_contain_text("Bern 2026-01-02 2.0 long 7.0 []")
    page.go_back()
    expect(page.get_by_role("table", name="Last runs")).to_contain_text("launched")


def test_a_trigger_is_switched_by_keyboard(page: Page) -> None:
    page.goto("/triggers")
    row = page.get_by_role("row", name="hourly")
    switch = page.get_by_role("switch", name="hourly of reports.report")
    expect(switch).not_to_be_checked()
    expect(row).to_contain_text("off")
    switch.focus()
    page.keyboard.press("Space")
    expect(switch).to_be_checked()
    expect(switch).to_be_focused()
    expect(row).to_contain_text("in ")
    page.reload()
    expect(switch).to_be_checked()
    row.get_by_role("link", name="hourly", exact=True).click()
    switch.click()
    expect(switch).not_to_be_checked()
    expect(page.get_by_role("switch")).to_have_count(2)  # what is run on demand alone has none


@pytest.mark.parametrize("width", [1280, 390])
def test_every_control_has_a_name_and_fits(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for address in ("/tasks", "/tasks/reports.report", "/triggers"):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_role("row").last).to_be_visible()
        assert page.evaluate(UNNAMED) == [] and page.evaluate(HIDDEN_FROM_KEYS) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
