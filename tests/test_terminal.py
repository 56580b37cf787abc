"""`submit` on a terminal: a live view while the run goes on, and Ctrl-C as a terminal sends it."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flyte_ray.ledger.query import load_state
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from tests.ray_cluster import ray_environ

PROGRAM = """
    import time
    import flyte_ray as flyte
    env = flyte.TaskEnvironment("long")

    @env.task
    def slow() -> int:
        print("a word of the task", flush=True)
        time.sleep(600)
        return 1

    @env.task
    def quick() -> int:
        time.sleep(1)
        return 7
"""
# The terminal becomes that of the new session: its Ctrl-C reaches the whole foreground group, Ray's processes too.
ON_TERMINAL = """
import fcntl, os, struct, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
os.execv(sys.executable, [sys.executable, "-m", "flyte_ray.cli.main", *sys.argv[1:]])
"""


class Terminal:
    """A command and what its terminal has shown."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self._process, self._master, self._raw = process, master, b""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, pattern: str) -> None:
        deadline = time.monotonic() + 120
        while not re.search(pattern, self.shown):
            assert time.monotonic() < deadline and self._read(), f"{pattern!r} was never shown: {self.shown}"

    def end(self) -> int:
        while self._read():
            pass
        return self._process.wait(60)

    @property
    def shown(self) -> str:
        """All that was written, without what moves the cursor."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._raw.decode(errors="replace"))

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 1.0)[0]:
            return self._process.poll() is None
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the last process that had the terminal is gone
            return False
        self._raw += data
        return bool(data)


@contextmanager
def submitted(folder: Path, *words: str) -> Iterator[Terminal]:
    program = folder / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    master, slave = pty.openpty()
    command = [sys.executable, "-c", ON_TERMINAL, "submit", "--root", str(folder / "root"), "--name", "x"]
    command += [*words[:-1], str(program), words[-1]]
    environ = {**ray_environ(), "TERM": "xterm-256color"}
    streams = {"stdin": slave, "stdout": slave, "stderr": slave}
    process = subprocess.Popen(command, env=environ, start_new_session=True, **streams)  # type: ignore[call-overload]
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
        os.close(master)


def test_ctrl_c_aborts_a_run_on_a_ray_of_its_own_which_the_view_shows_running(tmp_path: Path) -> None:
    with submitted(tmp_path, "slow") as terminal:
        terminal.wait_for(r"x  \d+\.\d s\r\n  1 running\r\n  runs: long\.slow x1")
        terminal.wait_for("a word of the task")
        terminal.type("\x03")
        assert terminal.end() == 130, terminal.shown
    assert "Interrupted: run x was aborted. Continue it: flyte-ray resume" in terminal.shown
    assert "Traceback" not in terminal.shown
    assert load_state(open_store(tmp_path / "root"), RunId("x")).phase.value == "aborted"


def test_the_view_goes_when_the_run_has_ended_and_the_result_stays(tmp_path: Path) -> None:
    with submitted(tmp_path, "--local", "quick") as terminal:
        terminal.wait_for(r"runs: long\.quick x1")
        assert terminal.end() == 0
    last = terminal.shown.splitlines()[-3:]
    assert last[0].endswith(f"Run x: succeeded  file://{tmp_path}/root/runs/x")
    assert last[1:] == ["o0 = 7", f"Look at it: flyte-ray get action x --root {tmp_path}/root"]
