"""Show a run while it goes on: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from flyte_ray.api.run import Run
from flyte_ray.errors import RunNotFoundError

TERMINAL_S: Final = 0.25
PLAIN_S: Final = 5.0
"""Time between two plain lines."""


def describe(live: dict[str, Any], elapsed_s: float) -> str:
    """Write what goes on in a few words: counts by phase, what runs, for what the rest waits, elapsed, rate."""
    counts = ", ".join(f"{count:,} {phase}" for phase, count in live["counts"].items())
    ended = sum(count for phase, count in live["counts"].items() if phase not in ("queued", "running"))
    running = Counter(live["running"]).most_common(3)
    parts = [counts or "starting", ", ".join(f"{task} x{count}" for task, count in running)]
    parts += [f"waits: {reason}" for reason in live["waits"]]
    parts += [f"{elapsed_s:.1f} s", f"{ended / elapsed_s:,.0f}/s" if ended and elapsed_s > 0 else ""]
    return "  |  ".join(part for part in parts if part)


@contextmanager
def shown(run: Run) -> Iterator[None]:
    """Show a run on stderr while this is open."""
    stop = threading.Event()
    view = _on_terminal if sys.stderr.isatty() else _as_lines
    thread = threading.Thread(target=view, args=(run, stop), name="flyte-ray-view", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(2)


def _states(run: Run, stop: threading.Event, interval_s: float) -> Iterator[str]:
    begun = time.monotonic()
    while not stop.wait(interval_s):
        try:
            live = run.look()
        except (RunNotFoundError, OSError):
            continue
        if live:
            yield describe(live, time.monotonic() - begun)


def _on_terminal(run: Run, stop: threading.Event) -> None:
    console = Console(stderr=True)
    with Live(console=console, transient=True, auto_refresh=False) as view:
        for text in _states(run, stop, TERMINAL_S):
            view.update(Text(f"{run.name}  {text}", no_wrap=True, overflow="ellipsis"), refresh=True)


def _as_lines(run: Run, stop: threading.Event) -> None:
    for text in _states(run, stop, PLAIN_S):
        print(f"{run.name}  {text}", file=sys.stderr, flush=True)
