"""Crash at a named point of a run, to see what becomes of it.

Points are `before` and `after` each step: a write to the store (`append` to the log, `put spec`, `put index`, `claim`
and `release` of the run, `put snapshot`, `put cache`, `put data`, `put code`, …), the `launch` of a slot, and to
`acknowledge` a slot's message.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final, TypeVar

from flyte_ray.storage import Store
from flyte_ray.storage.providers import Options

T = TypeVar("T")

_STEPS: Final = (
    (r"^runs/[^/]+/log/", "append"),
    (r"^active/", "claim"),
    (r"^runs/[^/]+/actions\.arrow$", "put snapshot"),
    (r"^runs/[^/]+/spec\.json$", "put spec"),
    (r"^runs/[^/]+/(\w+)", r"put \1"),
    (r"^(\w+)/", r"put \1"),
)


def kill_this_process() -> None:
    """End this process as a power cut would: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


class FaultPlan:
    """Crashes when a point is reached for the nth time.

    Give it to `Runner(mode="local", faults=plan)`. Without a point it only counts, which tells what points a run has.
    """

    def __init__(self, point: str | None = None, nth: int = 1, crash: Callable[[], None] = kill_this_process) -> None:
        """Plan one crash.

        Args:
            point: `before STEP` or `after STEP`; None for none.
            nth: At which time, from 1.
            crash: What happens there, on the thread that comes to the point; default: SIGKILL of this process.

        """
        self.seen: Counter[str] = Counter()
        """How often each point was reached."""
        self._point, self._nth, self._crash = point, nth, crash
        self._lock = threading.Lock()

    def at(self, point: str) -> None:
        """Take note of a point, and crash if it is the one."""
        with self._lock:
            self.seen[point] += 1
            is_due = point == self._point and self.seen[point] == self._nth
        if is_due:
            self._crash()

    def around(self, store: Store) -> Store:
        """Return the store with a point before and after each write."""
        return _WatchedStore(store, self)


@dataclass(frozen=True)
class _WatchedStore:
    """A store that comes to a point before and after each write."""

    inner: Store
    plan: FaultPlan

    @property
    def uri(self) -> str:
        return self.inner.uri

    @property
    def options(self) -> Options:
        return self.inner.options

    def put(self, key: str, data: bytes) -> None:
        self._write(_step(key), lambda: self.inner.put(key, data))

    def put_file(self, key: str, path: str) -> None:
        self._write(_step(key), lambda: self.inner.put_file(key, path))

    def put_files(self, files: Mapping[str, str]) -> None:
        self._write(_step(next(iter(files), "")), lambda: self.inner.put_files(files))

    def put_written(self, key: str, write: Callable[[IO[bytes]], object]) -> None:
        self._write(_step(key), lambda: self.inner.put_written(key, write))

    def put_named(self, prefix: str, write: Callable[[IO[bytes]], object], name: Callable[[], str]) -> str:
        return self._write(_step(f"{prefix}/"), lambda: self.inner.put_named(prefix, write, name))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self._write(_step(key), lambda: self.inner.put_if_absent(key, data))

    def get(self, key: str) -> bytes:
        return self.inner.get(key)

    def exists(self, key: str) -> bool:
        return self.inner.exists(key)

    def keys(self, prefix: str) -> list[str]:
        return self.inner.keys(prefix)

    def delete(self, keys: Sequence[str]) -> None:
        step = "release" if any(key.startswith("active/") for key in keys) else "delete"
        self._write(step, lambda: self.inner.delete(keys))

    def _write(self, step: str, write: Callable[[], T]) -> T:
        self.plan.at(f"before {step}")
        done = write()
        self.plan.at(f"after {step}")
        return done


def _step(key: str) -> str:
    for pattern, step in _STEPS:
        found = re.match(pattern, key)
        if found:
            return found.expand(step)
    return "put"
