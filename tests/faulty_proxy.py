"""A proxy before an S3 server that answers some requests late, some with an error, and some not at all.

A request may be lost before it reached the server, or its answer after the server has done what it was asked for:
who asks again must be right in both cases.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import ClientSession, web
from yarl import URL

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_OWN = ("content-length", "transfer-encoding", "connection", "keep-alive", "expect")


class FaultyProxy:
    """Passes requests on; a part of them meets a fault."""

    def __init__(self, upstream: str, rate: float, seed: int) -> None:
        """Prepare.

        Args:
            upstream: URL of the server.
            rate: Part of all requests that meets a fault, 0 to 1.
            seed: Of the faults.

        """
        self.rate = rate
        self.planned: list[str] = []
        """Faults of the next requests, before chance decides: `error`, `delay`, `no answer`, or none."""
        self.faults: Counter[str] = Counter()
        self._upstream, self._random = upstream.rstrip("/"), random.Random(seed)
        self._client: ClientSession | None = None

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        fault = self.planned.pop(0) if self.planned else self._draw()
        self.faults[fault or "none"] += 1
        body = await request.read()
        if fault == "error":
            return web.Response(status=503, body=SLOW_DOWN, content_type="application/xml")
        if fault == "delay":
            await asyncio.sleep(self._random.uniform(0.2, 2.0))
        assert self._client is not None
        headers = {name: text for name, text in request.headers.items() if name.lower() not in _OWN}
        url = URL(self._upstream + request.raw_path, encoded=True)
        async with self._client.request(request.method, url, headers=headers, data=body) as answer:
            data = await answer.read()
            kept = {name: text for name, text in answer.headers.items() if name.lower() not in _OWN}
            if request.method == "HEAD" and "Content-Length" in answer.headers:
                kept["Content-Length"] = answer.headers["Content-Length"]
        if fault == "no answer" and request.transport is not None:
            request.transport.close()
        return web.Response(status=answer.status, headers=kept, body=None if request.method == "HEAD" else data)

    def _draw(self) -> str:
        return self._random.choice(("error", "delay", "no answer")) if self._random.random() < self.rate else ""

    async def _serve(self, started: threading.Event, stop: asyncio.Event, port: list[int]) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._pass)
        runner = web.AppRunner(app, access_log=None)
        async with ClientSession(auto_decompress=False) as self._client:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port.append(runner.addresses[0][1])
            started.set()
            await stop.wait()
            await runner.cleanup()

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve on a thread; yields the URL."""
        loop, started, stop, port = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), list[int]()
        thread = threading.Thread(target=loop.run_until_complete, args=(self._serve(started, stop, port),))
        thread.start()
        started.wait()
        try:
            yield f"http://127.0.0.1:{port[0]}"
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()
