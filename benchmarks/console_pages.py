"""What a browser takes to show a large run: its page opened with nothing in a cache, and its tree scrolled."""

from __future__ import annotations

import time
from collections.abc import Iterator

from playwright.sync_api import Browser, Page

from benchmarks.figures import Figure
from tests.browser import open_browser

SECONDS = 5
"""For so long the tree is scrolled from its first line to its last and back."""
SCROLL = """async (seconds) => {
  const tree = document.querySelector("[role=tree]");
  const frames = [];
  let most = 0;
  const begin = performance.now();
  let last = await new Promise(requestAnimationFrame);
  for (let now = last; now - begin < seconds * 1000; ) {
    const share = (now - begin) / (seconds * 500);
    tree.scrollTop = (tree.scrollHeight - tree.clientHeight) * (share < 1 ? share : 2 - share);
    now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
    most = Math.max(most, document.querySelectorAll("[role=treeitem]").length);
  }
  return [frames, most, tree.getAttribute("aria-label"), tree.scrollHeight];
}"""


def measure_pages(url: str, run: str, repeat: int) -> Iterator[Figure]:
    """Open the page of a run and scroll its tree; the server is one that has just been started."""
    with open_browser() as browser:
        yield Figure("run page, first time, until its tree is shown", "ms", [_opened(browser, url, run)])
        opened = [_opened(browser, url, run) for _ in range(repeat)]
        yield Figure("run page, by a browser without a cache", "ms", opened, at_most=1000)
        page = _open(browser, url, run)
        page.get_by_role("button", name="Unfold all").click()
        page.wait_for_timeout(500)
        frames, most, _, height = page.evaluate(SCROLL, SECONDS)
        late = 100 * sum(each >= 33 for each in frames) / len(frames)
        note = f"{len(frames)} frames over {height / 26:,.0f} lines, the longest {max(frames):.0f} ms"
        yield Figure("frames of 33 ms and more while scrolling", "%", [late], at_most=5, note=note)
        yield Figure("lines in the page while scrolling, at most", "", [most], at_most=300)


def _open(browser: Browser, url: str, run: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(f"{url}/runs/{run}")
    page.get_by_role("treeitem").first.wait_for(timeout=120_000)
    return page


def _opened(browser: Browser, url: str, run: str) -> float:
    begin = time.perf_counter()
    page = _open(browser, url, run)
    took = (time.perf_counter() - begin) * 1e3
    page.context.close()
    return took
