"""What one holds of an app that was served, wherever it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class AppHandle(Protocol):
    """An app that was served. Mirrors `flyte.AppHandle`."""

    @property
    def name(self) -> str:
        """The app's name."""

    @property
    def url(self) -> str:
        """Where people look at it."""

    @property
    def endpoint(self) -> str:
        """The URL below which it answers requests, without a slash at its end."""

    def is_active(self) -> bool:
        """Whether it takes requests."""

    def is_deactivated(self) -> bool:
        """Whether it was switched off."""

    @property
    def activate(self) -> Any:
        """`activate(wait=False)` switches it on; with `wait` it returns when the app answers. `.aio` can be awaited."""

    @property
    def deactivate(self) -> Any:
        """`deactivate(wait=False)` switches it off; it can be switched on again. `.aio` can be awaited."""

    def ephemeral_ctx(self) -> AbstractAsyncContextManager[None]:
        """Have it switched on in an `async with` block, and off behind it."""

    def ephemeral_ctx_sync(self) -> AbstractContextManager[None]:
        """Have it switched on in a `with` block, and off behind it."""


class Switched:
    """What can be switched on and off, wherever it runs, can be on for a while."""

    activate: Any
    deactivate: Any

    @asynccontextmanager
    async def ephemeral_ctx(self) -> AsyncIterator[None]:
        """Have it switched on in an `async with` block, and off behind it."""
        await self.activate.aio(wait=True)
        try:
            yield
        finally:
            await asyncio.shield(self.deactivate.aio(wait=True))

    @contextmanager
    def ephemeral_ctx_sync(self) -> Iterator[None]:
        """Have it switched on in a `with` block, and off behind it."""
        self.activate(wait=True)
        try:
            yield
        finally:
            self.deactivate(wait=True)
