"""Run a slot's async actions on one event loop, on a thread that is started when the first of them comes."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context
from typing import Any, Final

_log = logging.getLogger("flyte_ray.runtime")
STOP_S: Final = 5.0
"""How long cancelled actions may take to clean up when the slot ends."""


def announce_starts(loop: asyncio.AbstractEventLoop) -> None:
    """Have a loop announce the processes that it starts to audit hooks: uvloop, which Ray installs, does not."""
    for name in ("subprocess_exec", "subprocess_shell"):
        setattr(loop, name, _announced(getattr(loop, name)))


def _announced(start: Callable[..., Any]) -> Callable[..., Any]:
    def announce(*args: Any, **options: Any) -> Any:
        sys.audit("subprocess.Popen", None, args, None, None)
        return start(*args, **options)

    return announce


class LoopThread:
    """An event loop with a thread of its own."""

    def __init__(self) -> None:
        """Prepare; nothing is started yet."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Call a function on the loop, soon."""
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            announce_starts(self.loop)
            self._thread = threading.Thread(target=self.loop.run_forever, name="flyte-ray-loop", daemon=True)
            self._thread.start()
        if self._thread is not None and threading.get_ident() == self._thread.ident:
            self.loop.call_soon(function, *args)  # waking the loop through its pipe costs more than a short action
        else:
            self.loop.call_soon_threadsafe(function, *args)

    def wake(self, futures: Iterable[asyncio.Future[None]]) -> None:
        """End the wait for some futures, of this loop or of others; from any thread."""
        by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for future in futures:
            by_loop.setdefault(future.get_loop(), []).append(future)
        for loop, waited in by_loop.items():
            if loop is self.loop:
                self.call(_end, waited)
            else:
                loop.call_soon_threadsafe(_end, waited)

    def create_task(self, coroutine: Coroutine[Any, Any, None], context: Context) -> asyncio.Task[None]:
        """Make a task in a context; only on the loop's thread."""
        assert self.loop is not None
        return context.run(self.loop.create_task, coroutine)

    def stop(self) -> None:
        """Cancel what runs, wait for it to clean up, and end the thread."""
        if self.loop is None or self._thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(_cancel_all(), self.loop).result(STOP_S + 1)
        except TimeoutError:
            # Code that never yields holds the loop; in a slot's own process the ledger ends it.
            _log.warning("thread %s is abandoned: its code does not yield", self._thread.name)
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(STOP_S)
        if not self._thread.is_alive():
            self.loop.close()


def _end(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=STOP_S)
