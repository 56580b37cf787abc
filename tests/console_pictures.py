"""Take the pictures of the console that the documentation shows: `python -m tests.console_pictures [FOLDER]`."""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, Page, ViewportSize

import flyte_ray as flyte
from flyte_ray.console.building import build_console
from tests import console_deployed, console_runs
from tests.browser import open_browser
from tests.console_server import served

HERE: Final = Path(__file__).parent.parent / "docs" / "images"
WIDE: Final = (1280, 720)
NARROW: Final = (390, 760)
Scheme = Literal["light", "dark"]


def main() -> None:
    """Make runs, and a picture of each page."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as root:
        flyte.init(root=root)
        for night in (9, 10, 11):
            console_runs.local(console_runs.score, f"score-{night}", {"team": "forecast"}, model="forest", depth=night)
        console_runs.local(console_runs.main, "nightly-11", {"team": "forecast"}, parts=4)
        console_runs.local(console_runs.main, "nightly-12", {"team": "forecast", "region": "north"}, parts=10)
        console_deployed.deploy(Path(root) / "project")
        asking = threading.Thread(target=console_runs.local, args=(console_runs.review, "release-12"))
        asking.start()
        with served(build_console()) as address, open_browser() as browser:
            _take_all(browser, address, folder)
        condition = flyte.remote.Condition.get("approval", run_name="release-12")
        assert condition is not None
        condition.signal(True)
        asking.join()


def _take_all(browser: Browser, address: str, folder: Path) -> None:
    run = f"{address}/runs/nightly-12"
    schemes: tuple[Scheme, Scheme] = ("light", "dark")
    for scheme in schemes:
        with _page(browser, WIDE, scheme) as page:
            page.goto(f"{address}/runs/release-12")
            page.get_by_role("button", name="Yes").wait_for()
            _save(page, folder, f"question-{scheme}")
            page.goto(address)
            page.get_by_role("link", name="score-9").wait_for()
            _save(page, folder, f"runs-{scheme}")
            page.goto(run)
            page.get_by_role("treeitem", name="group clean").wait_for()
            page.get_by_role("treeitem", name="group clean").locator(".twisty").click()
            page.get_by_role("treeitem", name="2 attempts").wait_for()
            page.get_by_role("button", name="failure").click()
            _save(page, folder, f"run-{scheme}")
            page.get_by_role("link", name="action").click()
            page.get_by_text("1 to 50 of").wait_for()
            _save(page, folder, f"action-{scheme}")
            page.goto(f"{address}/tasks/reports.report")
            page.get_by_role("switch").first.wait_for()
            _save(page, folder, f"task-{scheme}")
    for name, size in (("train", WIDE), ("clean", NARROW)):
        with _page(browser, size, "light") as page:
            page.goto(f"{run}?q={name}")
            page.get_by_role("treeitem", name=f"nightly.{name}").first.locator(".name").click()
            page.get_by_role("tab", name="Report" if name == "train" else "Logs").click()
            page.wait_for_load_state("networkidle")
            _save(page, folder, {"train": "report-light", "clean": "log-narrow"}[name])
    with _page(browser, NARROW, "dark") as page:
        page.goto(run)
        page.get_by_role("treeitem", name="group clean").wait_for()
        _save(page, folder, "run-narrow")


@contextmanager
def _page(browser: Browser, size: tuple[int, int], scheme: Scheme) -> Iterator[Page]:
    viewport = ViewportSize(width=size[0], height=size[1])
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    yield context.new_page()
    context.close()


def _save(page: Page, folder: Path, name: str) -> None:
    page.screenshot(path=folder / f"{name}.png")


if __name__ == "__main__":
    main()
