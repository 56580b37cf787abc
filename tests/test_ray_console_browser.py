"""The console in a real browser, on runs of a real Ray: follow, abort, start anew, answer, and look at an app."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import flyte_ray as flyte
from flyte_ray.console.building import build_console
from tests import console_deployed, console_runs, served_apps
from tests.browser import PATIENT_MS, open_browser
from tests.console_server import served
from tests.test_ray_apps import serving

__all__ = ["serving"]  # a fixture


@pytest.fixture(scope="module")
def page(connected: Path) -> Iterator[Page]:
    """A page of a console that reaches the cluster."""
    expect.set_options(timeout=PATIENT_MS)
    with served(build_console()) as address, open_browser() as browser:
        page = browser.new_context(base_url=address, viewport={"width": 1280, "height": 800}).new_page()
        page.set_default_timeout(PATIENT_MS)
        yield page


def test_a_run_on_ray_is_followed_from_queued_to_its_end(page: Page, tmp_path: Path) -> None:
    end = tmp_path / "end"
    flyte.with_runcontext(name="on-ray").run(console_runs.follow, path=str(end), width=2)
    page.goto("/runs/on-ray")
    expect(page.get_by_role("treeitem", name="group before, 2 actions, 2 succeeded")).to_be_visible()
    # One row, of which what changed meanwhile tells: the others keep their names.
    page.get_by_role("treeitem", name="nightly.wait_for").locator(".name").click()
    page.get_by_role("tab", name="Logs").click()
    expect(page.get_by_role("log")).to_contain_text("round 5")
    end.touch()
    expect(page.locator(".run-head")).to_contain_text("succeeded")
    page.get_by_role("tab", name="Summary").click()
    expect(page.get_by_text("STAGE")).to_be_visible()
    page.get_by_role("link", name="on-ray", exact=True).click()
    expect(page.locator(".run-head")).to_contain_text("succeeded")


def test_a_run_on_ray_is_aborted_and_started_anew_with_other_inputs(page: Page, tmp_path: Path) -> None:
    flyte.with_runcontext(name="to-abort").run(console_runs.wait_for, path=str(tmp_path / "never"))
    page.goto("/runs/to-abort")
    page.get_by_role("button", name="Abort").click()
    page.get_by_label("Reason").fill("it was the wrong file")
    page.get_by_role("dialog").get_by_role("button", name="Abort").click()
    expect(page.locator(".run-head")).to_contain_text("aborted")
    expect(page.get_by_role("region", name="Why it ended so")).to_contain_text("it was the wrong file")
    (tmp_path / "there").touch()
    page.get_by_role("button", name="Rerun").click()
    page.get_by_role("textbox", name="path").fill(str(tmp_path / "there"))
    page.get_by_role("dialog").get_by_role("button", name="Rerun").click()
    expect(page.locator(".facts-line")).to_contain_text("reruns to-abort")
    expect(page.locator(".run-head")).to_contain_text("succeeded")


def test_a_question_of_a_run_on_ray_is_answered(page: Page) -> None:
    flyte.with_runcontext(name="asking-on-ray").run(console_runs.review)
    page.goto("/runs/asking-on-ray")
    page.get_by_role("form", name="Question approval").get_by_role("button", name="No").click()
    expect(page.locator(".run-head")).to_contain_text("succeeded")
    page.goto("/")
    expect(page.get_by_role("row", name="asking-on-ray")).to_contain_text("succeeded")
    expect(page.get_by_text("CPU", exact=True)).to_be_visible()


def test_a_deployed_task_is_launched_on_ray(page: Page, tmp_path: Path) -> None:
    console_deployed.deploy(tmp_path)
    page.goto("/tasks/reports.total")
    page.get_by_role("button", name="Launch", exact=True).click()
    page.get_by_label("rows").fill("7")
    page.get_by_role("dialog").get_by_role("button", name="Launch").click()
    expect(page.locator(".run-head")).to_contain_text("succeeded")
    expect(page.locator(".facts-line")).to_contain_text("remote")


def test_an_app_on_ray_is_looked_at_and_switched_off(page: Page, serving: Path) -> None:
    flyte.serve(served_apps.shop)
    page.goto("/apps")
    page.get_by_role("link", name="shop", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("shop")
    expect(page.get_by_role("button", name="Roll over")).to_be_visible()
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_role("button", name="Activate")).to_be_visible()
