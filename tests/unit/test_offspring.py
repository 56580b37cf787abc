"""Processes are known by who started them, and end when they are asked to, or are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flyte_ray.runtime import offspring as module
from flyte_ray.runtime.offspring import Attempt, Offspring, below, end

FIRST, SECOND = ("run", "a", 0), ("run", "b", 0)


class Births:
    """An `Offspring` whose active attempt is told."""

    def __init__(self) -> None:
        self.active: Attempt | None = None
        self.known = Offspring()
        self.known.watch(lambda: self.active)

    def start(self, owner: Attempt | None, *command: str) -> subprocess.Popen[bytes]:
        self.active = owner
        return subprocess.Popen(command or ("sleep", "600"), stdout=subprocess.PIPE)


@pytest.fixture
def births() -> Births:
    return Births()


@contextmanager
def ended(*processes: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def lives(process: subprocess.Popen[bytes]) -> bool:
    return process.pid in [each.id for each in below(os.getpid()) if each.lives()]


def test_only_what_an_attempt_has_started_ends_with_it(births: Births) -> None:
    first, second, users = births.start(FIRST), births.start(SECOND), births.start(None)
    later = births.start(FIRST)
    with ended(first, second, users, later):
        births.known.end_of(FIRST)
        assert [lives(each) for each in (first, second, users, later)] == [False, True, True, False]


def test_what_a_process_has_started_ends_with_it(births: Births) -> None:
    shell = births.start(FIRST, "sh", "-c", "sleep 600 & echo $!; wait")
    with ended(shell):
        assert shell.stdout is not None
        deeper = int(shell.stdout.readline())
        births.known.end_of(FIRST)
        assert deeper not in [each.id for each in below(os.getpid())]


def test_an_attempt_that_has_started_nothing_is_not_looked_for(births: Births) -> None:
    with ended(births.start(FIRST)):
        assert (births.known.has(FIRST), births.known.has(SECOND)) == (True, False)


def test_a_process_that_does_not_end_when_asked_to_is_killed(births: Births, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TERM_S", 0.1)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    deaf = births.start(FIRST, sys.executable, "-c", code)
    with ended(deaf):
        assert deaf.stdout is not None and deaf.stdout.readline() == b"1\n"
        births.known.end_of(FIRST)
        assert not lives(deaf)


def test_a_process_that_is_asked_to_end_may_clean_up(births: Births) -> None:
    shell = births.start(FIRST, "sh", "-c", "trap 'echo bye; exit' TERM; echo began; while :; do sleep 0.01; done")
    with ended(shell):
        assert shell.stdout is not None and shell.stdout.readline() == b"began\n"
        births.known.end_of(FIRST)
        assert shell.stdout.read() == b"bye\n"


def test_a_process_whose_number_was_given_again_is_left_alone(births: Births) -> None:
    process = births.start(None)
    with ended(process):
        (seen,) = [each for each in below(os.getpid()) if each.id == process.pid]
        end([seen._replace(began=seen.began - 1)])
        assert lives(process)
