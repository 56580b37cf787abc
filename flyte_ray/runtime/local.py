"""Run one run inside the user's process: the same recorder and controller, with threads instead of Ray.

Slot 0 is the calling thread, so that debuggers, Ctrl-C and main-thread libraries work.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from flyte_ray.errors import BaseRuntimeError, RunAlreadyExistsError
from flyte_ray.ledger.log import FaultPoint, RunLog, no_fault
from flyte_ray.ledger.paths import data_prefix, index_key, spec_key
from flyte_ray.ledger.recorder import RunRecorder, now_us
from flyte_ray.runtime.controller import Controller
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.spec.task import TaskSpec
from flyte_ray.storage import Store

MAX_THREADS: Final = 1000
"""Bound on sync actions that wait at the same time."""


@dataclass(frozen=True)
class RunBlobs:
    """A run's values that are not JSON."""

    store: Store
    run: RunId

    def put(self, data: bytes, suffix: str) -> str:
        """Store bytes under a fresh name."""
        uri = f"{uuid.uuid4().hex}{suffix}"
        self.store.put(f"{data_prefix(self.run)}/{uri}", data)
        return uri

    def get(self, uri: str) -> bytes:
        """Read bytes."""
        return self.store.get(f"{data_prefix(self.run)}/{uri}")


def create_run(store: Store, run: RunId, spec: Mapping[str, Any]) -> None:
    """Put a run's start on record.

    Raises:
        RunAlreadyExistsError: The root holds a run of this name.

    """
    started = now_us()
    body = json.dumps({**spec, "name": run, "started_us": started}).encode()
    if not store.put_if_absent(spec_key(run), body):
        raise RunAlreadyExistsError(
            f"A new run needs a name of its own, but {store.uri} holds a run {run!r} already. Choose another name, or"
            f" continue that one with 'flyte-ray resume {run}'."
        )
    store.put(index_key(run, started), body)


def execute_run(
    store: Store, run: RunId, task: TaskSpec, values: Mapping[str, Any], fault: FaultPoint = no_fault
) -> tuple[ActionPhase, BaseRuntimeError | None]:
    """Run or continue a recorded run to its end in this process.

    Returns:
        The root action's phase, and its error if it did not succeed; both are stored by then.

    """
    holder = f"{socket.gethostname()}:{os.getpid()}"
    recorder = RunRecorder(run, RunLog(store, run, uuid.uuid4().hex, fault), holder)
    controller = Controller(recorder, RunBlobs(store, run), holder)
    error: BaseRuntimeError | None = None
    try:
        with _event_loop() as loop:
            controller.loop = loop
            try:
                controller.call(task, values)
            except BaseRuntimeError as failure:
                error = failure
    finally:
        # A thread cannot be stopped: what it runs is recorded as aborted, and what it still returns is dropped.
        controller.abort_open("the run's root action ended")
        recorder.close()
    return recorder.state.phase, error


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="flyte-ray-action"))
    thread = threading.Thread(target=loop.run_forever, name="flyte-ray-loop", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_others() -> None:
    """Abort what the root left running, and wait until it has cleaned up."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
