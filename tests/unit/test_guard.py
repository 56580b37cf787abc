"""Whatever a slot's process starts ends with it, also when it is killed. Ray is not needed for that."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from flyte_ray.cluster.reaper import MARK
from tests.cancelled import lives, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who started what")

SLOT = """
import multiprocessing, os, subprocess, sys, time
from flyte_ray.cluster.guard import guarded

def speak(process):
    print(process, flush=True)

while "orphaned" in sys.argv and os.getppid() == int(os.environ["RAY_RAYLET_PID"]):
    time.sleep(0.01)
with guarded("slot", sys.argv[1]):
    # One that loses its parent, one in a session of its own, one that has no variables of ours, one by fork alone.
    subprocess.run(["sh", "-c", "sleep 600 >/dev/null & echo $!"])
    speak(subprocess.Popen(["sleep", "600"], start_new_session=True).pid)
    speak(subprocess.Popen(["sleep", "600"], env={"PATH": os.environ["PATH"]}).pid)
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
    forked.start()
    speak(forked.pid)
    input()
speak("ended")
os._exit(0)
"""


RAYLET = """
import os, subprocess, sys

subprocess.run([sys.executable, "-c", *sys.argv[1:]], env={**os.environ, "RAY_RAYLET_PID": str(os.getpid())})
"""


@pytest.fixture
def raylet(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """What starts the slot's process, and keeps the reaper as long as it lives."""
    command = [sys.executable, "-c", RAYLET, SLOT, uuid.uuid4().hex, *getattr(request, "param", ())]
    variables = {**os.environ, "PYTHONPATH": os.getcwd()}
    process = subprocess.Popen(
        command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        yield process
        os.killpg(process.pid, signal.SIGKILL)


def started(raylet: subprocess.Popen[str]) -> list[int]:
    assert raylet.stdout is not None
    return [int(raylet.stdout.readline()) for _ in range(4)]


def reaper_of(raylet: subprocess.Popen[str]) -> list[int]:
    """The process that serves this raylet's node."""
    node = cast("list[str]", raylet.args)[4]
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"reaper.py" in b"".join(words) and any(word.endswith(node.encode()) for word in words):
            found.append(int(path.parent.name))
    return found


def slot_of(process: int) -> int:
    """The slot's process, which the mark of one of its processes names."""
    variables = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    (mark,) = [each for each in variables if each.startswith(f"{MARK}=".encode())]
    return int(mark.rpartition(b"@")[2])


def test_whatever_a_slot_has_started_ends_when_its_process_is_killed(raylet: subprocess.Popen[str]) -> None:
    processes = started(raylet)
    assert all(lives(process) for process in processes)
    os.kill(slot_of(processes[0]), signal.SIGKILL)
    wait_until(lambda: not any(lives(process) for process in processes), "a process goes on")


def test_whatever_a_slot_has_started_ends_when_it_ends(raylet: subprocess.Popen[str]) -> None:
    processes = started(raylet)
    assert raylet.stdin is not None and raylet.stdout is not None
    raylet.stdin.write("\n")
    raylet.stdin.flush()
    assert raylet.stdout.readline() == "ended\n"
    assert not any(lives(process) for process in processes)


def test_the_nodes_reaper_leaves_with_its_raylet(raylet: subprocess.Popen[str]) -> None:
    processes = started(raylet)
    assert len(reaper_of(raylet)) == 1
    os.killpg(raylet.pid, signal.SIGKILL)
    os.kill(slot_of(processes[0]), signal.SIGKILL)
    wait_until(lambda: not any(lives(process) for process in processes), "a process goes on")
    wait_until(lambda: not reaper_of(raylet), "it stays")


@pytest.mark.parametrize("raylet", [["orphaned"]], indirect=True)
def test_a_slot_that_begins_when_its_raylet_has_ended_leaves_no_reaper(raylet: subprocess.Popen[str]) -> None:
    wait_until(Path(f"/proc/{raylet.pid}/task/{raylet.pid}/children").read_text, "it starts no process")
    os.kill(raylet.pid, signal.SIGKILL)
    processes = started(raylet)
    assert len(reaper_of(raylet)) == 1
    os.kill(slot_of(processes[0]), signal.SIGKILL)
    wait_until(lambda: not any(lives(process) for process in processes), "a process goes on")
    wait_until(lambda: not reaper_of(raylet), "it stays")


def test_the_nodes_reaper_outlives_who_says_nonsense(raylet: subprocess.Popen[str]) -> None:
    processes = started(raylet)
    (reaper,) = reaper_of(raylet)
    address = Path(f"/proc/{reaper}/cmdline").read_bytes().split(b"\0")[-6]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
        stranger.connect(b"\0" + address)
        stranger.sendall(b"\xff")
        assert stranger.recv(1) == b"1"
    os.kill(slot_of(processes[0]), signal.SIGKILL)
    wait_until(lambda: not any(lives(process) for process in processes), "a process goes on")
