"""Begin and end an ASGI app, as a server does, and say why it does not begin."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from flyte_ray.errors import DeploymentError

STOP_S: Final = 10.0
"""How long an app may take to end."""


class Lifespan:
    """The lifespan of an ASGI app, driven from outside of a server, which would not pass on what was raised."""

    def __init__(self, app: Any) -> None:
        """Hold an app; nothing is called yet."""
        self._app = app
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Future[None] | None = None
        self.state: dict[str, Any] = {}
        """What the app has given for its requests."""

    async def start(self) -> None:
        """Begin it.

        Raises:
            Exception: What its code raised.
            DeploymentError: It says no more than that it failed.

        """
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self._task = asyncio.ensure_future(self._app(scope, self._inbox.get, self._outbox.put))
        answer = await self._ask("lifespan.startup")
        if answer is None or answer["type"] == "lifespan.startup.failed":
            error = self._task.exception() if self._task.done() and not self._task.cancelled() else None
            raise error or DeploymentError(f"its lifespan failed: {(answer or {}).get('message') or 'it ended'}")

    async def stop(self) -> None:
        """End it."""
        task = self._task
        if task is None or task.done():
            return
        try:
            await asyncio.wait_for(self._ask("lifespan.shutdown"), STOP_S)
        finally:
            task.cancel()

    async def _ask(self, kind: str) -> dict[str, Any] | None:
        """Send a message, and return the answer; None if the app ended without one."""
        assert self._task is not None
        await self._inbox.put({"type": kind})
        answering = asyncio.ensure_future(self._outbox.get())
        await asyncio.wait((answering, self._task), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            answering.cancel()
            return None
        if answering.result()["type"].endswith("failed"):
            await asyncio.wait((self._task,), timeout=1.0)  # what it raised comes next
        return answering.result()
