"""Call the functions of an app: on_startup, server, on_shutdown, with the parameters that each asks for."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Functions(Protocol):
    """What an app's environment holds."""

    server_function: Callable[..., Any] | None
    startup: Callable[..., Any] | None
    shutdown: Callable[..., Any] | None


def arguments(function: Callable[..., Any], parameters: Mapping[str, str]) -> dict[str, str]:
    """Choose the parameters that a function names."""
    wanted = inspect.signature(function).parameters.values()
    if any(item.kind is item.VAR_KEYWORD for item in wanted):
        return dict(parameters)
    return {item.name: parameters[item.name] for item in wanted if item.name in parameters}


async def call(function: Callable[..., Any] | None, parameters: Mapping[str, str]) -> None:
    """Call a function, sync or async; None does nothing."""
    if function is not None:
        result = function(**arguments(function, parameters))
        if inspect.isawaitable(result):
            await result


def run_server(
    functions: Functions,
    parameters: Mapping[str, str],
    begun: Callable[[asyncio.AbstractEventLoop, asyncio.Task[None]], None],
) -> None:
    """Call the server function between on_startup and on_shutdown, and return when it does.

    Args:
        functions: The app's.
        parameters: Its parameters.
        begun: Is told of the loop and the task that an async server runs on; to cancel it ends it.

    """
    function = functions.server_function
    assert function is not None

    async def on_loop() -> None:
        task: asyncio.Task[None] | None = asyncio.current_task()
        assert task is not None
        begun(asyncio.get_running_loop(), task)
        await call(functions.startup, parameters)
        try:
            await call(function, parameters)
        finally:
            await call(functions.shutdown, parameters)

    if inspect.iscoroutinefunction(function):
        asyncio.run(on_loop())
        return
    # A sync server may run a loop of its own: none may run here meanwhile.
    asyncio.run(call(functions.startup, parameters))
    try:
        function(**arguments(function, parameters))
    finally:
        asyncio.run(call(functions.shutdown, parameters))


class Hooked:
    """An ASGI app with functions called before it starts and after it has stopped.

    What a function raises is kept: servers only say that the start failed. An app that knows no lifespan gets along
    with one.
    """

    def __init__(self, app: Any, functions: Functions, parameters: Mapping[str, str]) -> None:
        """Wrap an app."""
        self._app, self._functions, self._parameters = app, functions, parameters
        self._answered = self._begun = False
        self.error: BaseException | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def hooked_receive() -> Any:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._start()
            return message

        async def hooked_send(message: Any) -> None:
            self._answered = True
            if message["type"] == "lifespan.startup.failed":
                self.error = self.error or RuntimeError(message.get("message") or "its lifespan failed")
            await self._pass_on(message, send)

        try:
            await self._app(scope, hooked_receive, hooked_send)
        except Exception as error:
            if self._answered:
                self.error = self.error or error
                raise
            await self._live_without(receive, send)

    async def _start(self) -> None:
        self._begun = True
        try:
            await call(self._functions.startup, self._parameters)
        except Exception as error:
            self.error = error
            raise

    async def _pass_on(self, message: Any, send: Any) -> None:
        if message["type"].startswith("lifespan.shutdown"):
            await call(self._functions.shutdown, self._parameters)
        await send(message)

    async def _live_without(self, receive: Any, send: Any) -> None:
        """Answer the server for an app that refused to."""
        if not self._begun:
            await receive()
            await self._start()
        if self.error is not None:
            await send({"type": "lifespan.startup.failed", "message": str(self.error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._pass_on({"type": "lifespan.shutdown.complete"}, send)
