"""Send what happens as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from fastapi.responses import StreamingResponse

BEAT_S: Final = 15.0
"""Time between two signs of life of a stream in which nothing happens, so that proxies keep it open."""
POLL_S: Final = 0.25
"""How often it is looked whether there is something new."""
HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Said(dict[str, Any]):
    """One event: `event`, `data` (JSON), and `id`, from which a client goes on that was cut off."""

    def text(self) -> str:
        """Write it as it is sent."""
        number = f"id: {self['id']}\n" if "id" in self else ""
        return f"{number}event: {self['event']}\ndata: {json.dumps(self['data'], separators=(',', ':'))}\n\n"


def said(event: str, data: Any, number: int | str | None = None) -> Said:
    """Make an event."""
    return Said(event=event, data=data) if number is None else Said(event=event, data=data, id=number)


async def tell(news: Callable[[], tuple[list[Said], bool]]) -> AsyncIterator[str]:
    """Yield what is new until that was the last.

    Args:
        news: Reads what is new since it was asked last, and says whether nothing follows; called on a thread.

    """
    beaten = time.monotonic()
    while True:
        found, is_over = await asyncio.to_thread(news)
        for each in found:
            yield each.text()
        if found:
            beaten = time.monotonic()
        elif time.monotonic() - beaten > BEAT_S:
            beaten = time.monotonic()
            yield ": still here\n\n"
        if is_over:
            return
        await asyncio.sleep(POLL_S)


def stream(news: Callable[[], tuple[list[Said], bool]]) -> StreamingResponse:
    """Answer with a stream of what `news` says."""
    return StreamingResponse(tell(news), media_type="text/event-stream", headers=HEADERS)
