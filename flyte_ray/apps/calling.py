"""Ask an ASGI app without a server between: what a handle of Serve does inside the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote


async def ask(app: Any, method: str, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Ask an app once, and collect its answer.

    Args:
        app: The ASGI app.
        method: Such as `GET`.
        path: Below the app's own URL, with a query if there is one: `/about?x=1`.
        headers: Of the request.
        body: Of the request.

    Returns:
        `status`, `headers` as a list of pairs of text, and `body` as bytes.

    """
    raw, _, query = path.partition("?")
    sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    if body:
        sent.append((b"content-length", str(len(body)).encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method.upper(),
        "scheme": "http",
        "path": unquote(raw),
        "raw_path": raw.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": sent,
        "client": None,
        "server": None,
    }
    asked = asyncio.Event()
    answer: dict[str, Any] = {"status": 0, "headers": [], "body": b""}
    parts: list[bytes] = []

    async def receive() -> dict[str, Any]:
        if asked.is_set():
            await asyncio.Event().wait()  # who asks by a handle waits for the whole answer, and never hangs up
        asked.set()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())]
            answer.update(status=message["status"], headers=pairs)
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return {**answer, "body": b"".join(parts)}
