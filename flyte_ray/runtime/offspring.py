"""Know which processes an action has started, and end them with it.

Python tells nobody who started a process, but announces each start to audit hooks: what is new since the last
announcement was started by whom that one came from. So nothing is done until an action starts a process.
Only where there is `/proc`. What starts processes without a word (`multiprocessing` by `spawn`, libraries in C) counts
for who announced the last one; on Ray the slot ends what is left (`cluster/guard.py`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, NamedTuple

from flyte_ray.runtime.context import current_action

TERM_S: Final = 1.0
"""How long a process may take to end when it is asked to; then it is killed."""
KILL_S: Final = 1.0
"""How long a killed process may take to go."""
_LOOK_S: Final = 0.01
_STARTS: Final = frozenset(
    ("subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "pty.spawn")
)


Attempt = tuple[str, str, int]
"""Run, action, and number of the attempt."""


class Process(NamedTuple):
    """A process that lived when it was seen."""

    id: int
    began: int
    """Clock ticks since the machine was started: tells it from a later one with the same id."""

    def lives(self) -> bool:
        """Whether it has not ended; one that nobody has waited for yet has."""
        stat = _read_stat(self.id)
        return stat is not None and stat.began == self.began and stat.lives


def process_at(process: int) -> Process | None:
    """Return the process that has this id now; None if there is none, or no `/proc`."""
    stat = _read_stat(process)
    return Process(process, stat.began) if stat else None


def family(process: int) -> list[int]:
    """Return the ids of a process and of all below it; of the process alone where there is no `/proc`.

    It is quick and may miss some while threads end: their children go over to others of their process.
    """
    found = [process]
    for each in found:
        try:
            threads = os.listdir(f"/proc/{each}/task")
        except OSError:
            continue
        for thread in threads:
            text = _read(f"/proc/{each}/task/{thread}/children")
            found += [int(word) for word in text.split()]
    return found


def below(process: int) -> list[Process]:
    """Return the processes below one, nearest first, but for the one in which Python keeps track of shared memory.

    That one ends by itself with the process that started it, and is of use to others until then. It misses none, for
    which it reads of all processes of the machine.
    """
    children: dict[int, list[Process]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        stat = _read_stat(int(name)) if name.isdigit() else None
        if stat:
            children.setdefault(stat.parent, []).append(Process(int(name), stat.began))
    found = list(children.get(process, ()))
    for each in found:
        found += children.get(each.id, ())
    return [each for each in found if not _is_tracker(each.id)]


def has_children() -> bool:
    """Whether this process has any, those too that have ended and that nobody has waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def end(processes: Collection[Process], term_s: float = TERM_S) -> None:
    """End processes: ask them to, and kill what has not ended after `term_s`."""
    left = [each for each in processes if each.lives()]
    for number, patience_s in ((signal.SIGTERM, term_s), (signal.SIGKILL, KILL_S)):
        for each in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(each.id, number)
        until = time.monotonic() + patience_s
        while (left := [each for each in left if each.lives()]) and time.monotonic() < until:
            time.sleep(_LOOK_S)
    for each in processes:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(each.id, os.WNOHANG)  # nobody is left who would


class Offspring:
    """The processes that were started by actions in this process."""

    def __init__(self) -> None:
        """Know of none; `watch` looks from then on."""
        self._owners: dict[Process, Attempt | None] = {}
        self._last: Attempt | None = None
        self._looking = threading.Lock()
        self._watching = 0
        self._active: Callable[[], Attempt | None] = _nobody

    def watch(self, active: Callable[[], Attempt | None] | None = None) -> None:
        """Listen to what starts processes, from now on as long as this process lives.

        Args:
            active: Says which attempt a thread works for that the user's code has started; None where that may be none.

        """
        with self._looking:
            self._active = active or _nobody
            if self._watching != os.getpid():
                self._watching = os.getpid()
                sys.addaudithook(self._hear)

    def has(self, attempt: Attempt) -> bool:
        """Whether an attempt may have started processes."""
        return attempt == self._last or attempt in self._owners.values()

    def end_of(self, attempt: Attempt) -> None:
        """End what an attempt has started, and all below that; returns when it has ended."""
        with self._looking:
            self._look(below(os.getpid()))
            found = [process for process, owner in self._owners.items() if owner == attempt]
        end(found)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in _STARTS or os.getpid() != self._watching:
            return
        action = current_action.get()
        owner = action.attempt if action else self._active()
        with self._looking:
            stats = ((each, _read_stat(each)) for each in family(os.getpid())[1:])
            self._look([Process(each, stat.began) for each, stat in stats if stat])
            self._last = owner

    def _look(self, found: Collection[Process]) -> None:
        # What lost its parent is below this process no more, unless that is on Ray.
        known = {process: owner for process, owner in self._owners.items() if process.lives()}
        self._owners = {process: known.get(process, self._last) for process in (*known, *found)}


def _nobody() -> None:
    return None


offspring: Final = Offspring()


def _is_tracker(process: int) -> bool:
    return "resource_tracker" in _read(f"/proc/{process}/cmdline")


class _Stat(NamedTuple):
    parent: int
    began: int
    lives: bool


def _read_stat(process: int) -> _Stat | None:
    # The name before the last bracket may hold anything.
    fields = _read(f"/proc/{process}/stat").rpartition(")")[2].split()
    return _Stat(int(fields[1]), int(fields[19]), fields[0] not in "ZX") if fields else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""  # it has ended
