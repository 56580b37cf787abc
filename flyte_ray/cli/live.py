"""Show a run while it goes on: a live view on a terminal, plain lines elsewhere, both on stderr.

Invariant: a view only looks; whatever it meets, the run goes on and its result stays the same.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Final

from flyte_ray.api.run import Run
from flyte_ray.api.sight import Sight, Watcher
from flyte_ray.cli import job_side

TERMINAL_S: Final = 0.25
"""Time between two pictures on a terminal."""
PLAIN_S: Final = 5.0
"""Time between two plain lines."""
BEGIN_S: Final = 0.5
"""Time between two looks at a run that has not begun, if the view's own is longer."""


@contextmanager
def shown(run: Run, watcher: Watcher) -> Iterator[None]:
    """Show a run on stderr while this is open; the watcher knows afterwards whether it was seen."""
    # Opened here, not on the thread: whoever keeps what tasks print must find the streams replaced already.
    with view(run.name) as (show, interval_s):
        stop = threading.Event()
        thread = threading.Thread(target=_keep_showing, args=(run, watcher, stop, show, interval_s), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(1)


Show = Callable[[Sight], None]


@contextmanager
def view(name: str) -> Iterator[tuple[Show, float]]:
    """Yield what shows a sight of a run, on a terminal, in lines, or to who gave this process the order."""
    if job_side.current is not None:
        with job_side.current.shown(name) as tell:
            yield lambda sight: tell(asdict(sight)), job_side.current.order.interval_s
    else:
        with _on_terminal(name) if sys.stderr.isatty() else _as_lines(name) as here:
            yield here


def _keep_showing(run: Run, watcher: Watcher, stop: threading.Event, show: Show, interval_s: float) -> None:
    while not stop.wait(interval_s if watcher.has_begun else min(interval_s, BEGIN_S)):
        try:
            live = run.look()
        except Exception:
            # The module's invariant; a ledger that restarts is seen again next time.
            continue
        if not stop.is_set():
            show(watcher.describe(live))


@contextmanager
def _on_terminal(name: str) -> Iterator[tuple[Show, float]]:
    from rich.console import Console  # slow to import; where nobody looks it is not needed
    from rich.live import Live
    from rich.text import Text

    # What tasks print goes above the picture; but a stdout that leads elsewhere is left alone.
    aside = sys.stdout.isatty()
    with Live(console=Console(stderr=True), transient=True, auto_refresh=False, redirect_stdout=aside) as view:

        def show(sight: Sight) -> None:
            lines = [
                f"{name}  {'' if sight.has_begun else 'starting  '}{sight.pace}",
                *(f"  {line}" for line in sight.lines()),
            ]
            view.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)

        yield show, TERMINAL_S


@contextmanager
def _as_lines(name: str) -> Iterator[tuple[Show, float]]:
    def show(sight: Sight) -> None:
        if sight.counts or sight.waits:
            print(f"{name}  {sight.line()}", file=sys.stderr, flush=True)

    yield show, PLAIN_S
