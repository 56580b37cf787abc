"""A headless browser for tests: Debian's Chromium, driven by Playwright, which brings none itself here."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

PATIENT_MS: Final = 60_000
"""How long a browser waits for what is expected."""
_INSTALL: Final = [
    "apt-get",
    "-o",
    "DPkg::Lock::Timeout=600",
    "install",
    "-y",
    "-q",
    "--no-install-recommends",
    "chromium",
    "fonts-liberation",
]
LOCK: Final = Path("/var/lock/flyte-ray-chromium")


def find_chromium() -> str:
    """Return the installed Chromium; installed here where the user may, else the test is skipped."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
        found = shutil.which("chromium")
    if found is None and not os.environ.get("CI"):
        pytest.skip("no Chromium: 'apt-get install chromium' as root, or put one on the PATH")
    assert found is not None, "no Chromium, and nobody here may install it"
    return found


def _install() -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two files of tests may come here at once
        done = subprocess.run(_INSTALL, env=quiet, capture_output=True, text=True)
        if done.returncode:  # the list of packages is missing, or old
            subprocess.run(["apt-get", "update", "-q"], env=quiet, capture_output=True, check=False)
            done = subprocess.run(_INSTALL, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, f"Chromium could not be installed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


@contextmanager
def open_browser(executable: str | None = None) -> Iterator[Browser]:
    """Start a browser that reaches this machine alone."""
    # Root may have no sandbox of Chromium's; /dev/shm is small in containers.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable or find_chromium(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all tests of a file, with patience."""
    expect.set_options(timeout=PATIENT_MS)
    with open_browser() as browser:
        yield browser


@contextmanager
def watched_page(browser: Browser, address: str, *, refusals: bool = False) -> Iterator[Page]:
    """Open a page; its errors and what it asks of other places fail the test, unless `refusals` belong to it."""
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENT_MS)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(address) else wrong.append(asked.url))
    if not refusals:  # a browser tells each as an error
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    assert not wrong
