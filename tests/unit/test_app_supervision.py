"""A command is watched over: it is waited for, started again when it has ended, and given up when it cannot start."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from flyte_ray.apps.supervision import Supervisor
from flyte_ray.errors import DeploymentError
from flyte_ray.runtime.offspring import process_at
from tests.ray_cluster import free_port

FILES = [sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1"]


def supervisor(words: list[str] = FILES, **settings: Any) -> Supervisor:
    given = {"port": None, "path": "/health", "limit_s": 30.0, "check_s": 1.0, **settings}
    return Supervisor("files", words, {}, **given)


async def until(claim: Any) -> None:
    async def look() -> None:
        while not claim():
            await asyncio.sleep(0.02)

    await asyncio.wait_for(look(), 60)


def test_a_command_that_ends_is_started_again_and_ended_in_the_end() -> None:
    async def main() -> None:
        made = supervisor()
        await made.begin()
        assert made._command is not None
        first = made._command.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: made.restarts == 1)
        assert await made.answering(60)
        second = process_at(made._command.pid)
        assert second is not None and second.id != first and second.lives()
        assert made.hopeless == ""
        await made.stop()
        assert not second.lives()
        assert not await made.answering(0)

    asyncio.run(main())


def test_a_command_that_cannot_start_again_is_given_up_with_its_last_lines(tmp_path: Path) -> None:
    once = f"test -e {tmp_path}/once && echo no more && exit 3; touch {tmp_path}/once; exec {' '.join(FILES)}"

    async def main() -> None:
        made = supervisor(["sh", "-c", once])
        await made.begin()
        assert made._command is not None
        os.kill(made._command.pid, signal.SIGKILL)
        await until(lambda: made.hopeless)
        assert made.hopeless.endswith("ended with exit code 3; its last lines:\n    no more")
        await made.stop()

    asyncio.run(main())


def test_what_never_answers_or_ends_at_once_does_not_begin() -> None:
    async def main() -> None:
        with pytest.raises(DeploymentError, match=r"should answer on port \d+, but did not within 0.2 s. Does it"):
            await supervisor(["sleep", "1000"], limit_s=0.2).begin()
        with pytest.raises(DeploymentError, match="ended with exit code 1"):
            await supervisor(["false"]).begin()

    asyncio.run(main())


def test_a_port_that_a_command_names_must_be_free() -> None:
    port = free_port()

    async def main() -> None:
        made = supervisor([word.replace("{port}", str(port)) for word in FILES], port=port)
        taken = pytest.raises(DeploymentError, match=f"should listen on port {port} of its node, but that is in use")
        with socket.create_server(("127.0.0.1", port)), taken:
            await made.begin()
        await made.begin()
        assert made.port == port
        await made.stop()

    asyncio.run(main())
