"""A slot's process that is told to end says so first; what the user's code has forked just ends."""

from __future__ import annotations

import os
import subprocess
import sys

CODE = """
import os, signal, sys, time
from flyte_ray.runtime.interrupt import Termination

def tell():
    print("told", flush=True)

with Termination(tell):
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writes, b"1")  # a signal that comes before its code runs is forgotten by Python
        time.sleep(60)
    os.read(reads, 1)
    os.kill(child if sys.argv[1] == "child" else os.getpid(), signal.SIGTERM)
    if sys.argv[1] == "child":
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    else:
        os.kill(child, signal.SIGKILL)
        time.sleep(60)
"""


def ran(who: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, who],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


def test_a_slot_that_is_asked_to_end_says_so_and_ends() -> None:
    assert ran("slot") == (143, "told\n")


def test_a_fork_of_a_slot_that_is_asked_to_end_ends_as_any_process() -> None:
    assert ran("child") == (0, "-15\n")
