"""Run an app's Python code on a thread of this process: an ASGI app under uvicorn, or the user's server function."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import ctypes
import logging
import socket
import threading
import traceback
from collections.abc import Mapping
from typing import Any, Final

from flyte_ray.apps.functions import Functions, Hooked, run_server
from flyte_ray.apps.readiness import HOST

_log: Final = logging.getLogger("flyte_ray")


class _OnThread:
    """A thread with an end that others can ask for."""

    def __init__(self, app: str) -> None:
        self._app = app
        self._error: BaseException | None = None
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._guarded,), name=f"flyte-ray-app-{app}", daemon=True
        )

    def failure(self) -> str:
        """Say why it ended, with the user's traceback; empty while it lives."""
        if self._thread.is_alive():
            return ""
        if self._error is None:
            return "its server returned"
        return f"its code failed:\n{''.join(traceback.format_exception(self._error))}".rstrip()

    def stop(self, patience_s: float) -> None:
        """Have it end, and wait for that."""
        self._ask_to_end()
        self._thread.join(patience_s)
        if self._thread.is_alive():
            _log.warning(
                "app '%s' should have ended within %.0f s, but its code goes on; it ends with this process. Write the"
                " server as 'async def', or have it look up now and then.",
                *(self._app, patience_s),
            )

    def _guarded(self) -> None:
        try:
            self._serve()
        except (asyncio.CancelledError, SystemExit):
            return  # it was asked to, or says so itself
        except BaseException as error:
            self._error = error

    def _serve(self) -> None:
        raise NotImplementedError

    def _ask_to_end(self) -> None:
        raise NotImplementedError


class AsgiThread(_OnThread):
    """An ASGI app under uvicorn."""

    def __init__(
        self,
        app: str,
        asgi: Any,
        functions: Functions,
        parameters: Mapping[str, str],
        listener: socket.socket,
        config: Any = None,
    ) -> None:
        """Serve it on a socket that listens, as a `uvicorn.Config` says if there is one."""
        super().__init__(app)
        import uvicorn  # a fifth of a second; only who serves pays it

        self._hooked = Hooked(asgi, functions, parameters)
        self._listener = listener
        config = copy.copy(config) or uvicorn.Config(self._hooked, log_config=None, timeout_graceful_shutdown=1)
        config.app, config.lifespan = self._hooked, "on"
        self._server = uvicorn.Server(config)
        self._thread.start()

    def _serve(self) -> None:
        try:
            with self._listener:
                asyncio.run(self._server.serve(sockets=[self._listener]))
        finally:
            self._error = self._hooked.error

    def _ask_to_end(self) -> None:
        self._server.should_exit = True


class FunctionThread(_OnThread):
    """The user's server function, between on_startup and on_shutdown."""

    def __init__(self, app: str, functions: Functions, parameters: Mapping[str, str], port: int) -> None:
        """Call it; it is to listen on this port."""
        super().__init__(app)
        self._port = port
        self._functions, self._parameters = functions, parameters
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread.start()

    def _serve(self) -> None:
        run_server(self._functions, self._parameters, self._begun)

    def _begun(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
        self._loop, self._task = loop, task

    def _ask_to_end(self) -> None:
        if self._loop is not None and self._task is not None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._task.cancel)
        elif self._thread.ident is not None and self._thread.is_alive():
            # Python's only way to reach a thread. It strikes when that runs Python code next, which a server that waits
            # does when somebody connects.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(SystemExit))
            with contextlib.suppress(OSError):
                socket.create_connection((HOST, self._port), 1.0).close()
