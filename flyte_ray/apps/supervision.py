"""Keep a command alive: start it, wait until it answers, start it again when it has ended.

Invariant: there is one process at a time, and it ends with this supervisor.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from flyte_ray.apps.process import Command
from flyte_ray.apps.readiness import HOST, answers
from flyte_ray.errors import DeploymentError

LOOK_S: Final = 0.05
MOST_FAILURES: Final = 3
"""How often in a row a process may end before it has answered; then the replica is given up."""
STOP_S: Final = 5.0
"""How long a process may take to end when it is asked to."""
_log: Final = logging.getLogger("flyte_ray")


class Supervisor:
    """A command that is to answer on a port of this machine."""

    def __init__(
        self,
        app: str,
        words: Sequence[str],
        variables: Mapping[str, str],
        *,
        port: int | None,
        path: str,
        limit_s: float,
        check_s: float,
        start: Callable[[Sequence[str], int, Mapping[str, str]], Command] = Command,
    ) -> None:
        """Hold it; `run` starts it.

        Args:
            app: The app, for messages.
            words: The command.
            variables: Added to those of this process.
            port: Where it listens; None: on a free port that it is told.
            path: What is asked for to see whether it answers.
            limit_s: How long it may take until then.
            check_s: For one answer.
            start: Starts a process.

        """
        self._app, self._words, self._variables = app, words, variables
        self._fixed, self._path, self._limit_s, self._check_s = port, path, limit_s, check_s
        self._start = start
        self._command: Command | None = None
        self._ready = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.port = 0
        """Where it listens now."""
        self.restarts = 0
        self.hopeless = ""
        """Why it will not come back; empty while there is hope."""

    async def begin(self) -> None:
        """Start it; returns when it answers, and watches over it from then on.

        Raises:
            DeploymentError: It ended, or did not answer in time.

        """
        failed = await self._launch()
        if failed:
            await self.stop()
            raise DeploymentError(failed)
        self._watching = asyncio.ensure_future(self._watch())

    async def stop(self) -> None:
        """End it."""
        if self._watching is not None:
            self._watching.cancel()
        self._ready.clear()
        command, self._command = self._command, None
        if command is not None:
            await asyncio.to_thread(command.stop, STOP_S)

    async def answering(self, limit_s: float) -> bool:
        """Wait until it answers; False if it does not in time."""
        if self._ready.is_set():
            return True
        try:
            await asyncio.wait_for(self._ready.wait(), limit_s)
        except asyncio.TimeoutError:
            return False
        return True

    async def _watch(self) -> None:
        failures, failed = 0, ""
        while failures < MOST_FAILURES:
            command = self._command
            assert command is not None
            while not (ended := failed or command.failure()):
                await asyncio.sleep(LOOK_S)
            self._ready.clear()
            _log.warning("app '%s' is started again: %s", self._app, ended)
            self.restarts += 1
            await asyncio.to_thread(command.stop, STOP_S)  # it, or what it has left behind
            failed = await self._launch()
            failures = failures + 1 if failed else 0
        self.hopeless = failed

    async def _launch(self) -> str:
        """Start a process and wait until it answers; return why it does not, empty if it does."""
        self.port = self._fixed or _free_port()
        if self._fixed and not _is_free(self._fixed):
            return (
                f"its command should listen on port {self._fixed} of its node, but that is in use. Write {{port}} in"
                f" the command, or read PORT."
            )
        self._command = command = self._start(self._words, self.port, self._variables)
        until = time.monotonic() + self._limit_s
        while not (failed := command.failure()):
            if await asyncio.to_thread(answers, self.port, self._path, self._check_s):
                self._ready.set()
                return command.failure()
            if time.monotonic() > until:
                return (
                    f"the command {command.text!r} should answer on port {self.port}, but did not within"
                    f" {self._limit_s:g} s. Does it listen on the port that {{port}} and PORT say?"
                )
            await asyncio.sleep(LOOK_S)
        return failed


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
