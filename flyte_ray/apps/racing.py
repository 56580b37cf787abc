"""Run the two directions of a conversation until one of them has ended."""

from __future__ import annotations

import asyncio
from typing import Any


async def until_either(*ways: Any) -> None:
    """Run both ways until one has ended; the other is cancelled, an error of either is raised."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
