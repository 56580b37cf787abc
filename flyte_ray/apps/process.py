"""Run a command that listens on a port, and keep the last of what it prints.

Invariant: what the command has started ends with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from flyte_ray.errors import DeploymentError
from flyte_ray.runtime.offspring import below, end, process_at
from flyte_ray.spec.app import PORT_MARK

LAST_LINES: Final = 20
"""How much is shown of what a process printed that ended."""


class Command:
    """A process that was started from words."""

    def __init__(
        self, words: Sequence[str], port: int, variables: Mapping[str, str], folder: str | None = None
    ) -> None:
        """Start it.

        Args:
            words: Program and arguments; `{port}` stands for the port.
            port: Where it is to listen; the variable `PORT` has it, too.
            variables: Added to those of this process.
            folder: Where it runs; None: where this process does.

        Raises:
            DeploymentError: There is no such program.

        """
        self.words = [word.replace(PORT_MARK, str(port)) for word in words]
        environ = {**os.environ, **variables, "PORT": str(port), "PYTHONUNBUFFERED": "1"}
        try:
            self._process = subprocess.Popen(
                self.words,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise DeploymentError(
                f"The command {self.text!r} should start, but: {error}. Check its first word and the PATH."
            ) from error
        self._seen = process_at(self._process.pid)
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._reader = threading.Thread(target=self._read, name="flyte-ray-command", daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """The command as one would type it."""
        return " ".join(self.words)

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    def failure(self) -> str:
        """Say how it ended, with its last lines; empty while it lives."""
        code = self._process.poll()
        if code is None:
            return ""
        self._reader.join(1.0)  # a grandchild may hold the pipe open
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        said = "".join(f"\n    {line}" for line in list(self._lines)) or "\n    (it printed nothing)"
        return f"the command {self.text!r} ended with {how}; its last lines:{said}"

    def stop(self, patience_s: float) -> None:
        """End it and all below it; what does not end when it is asked to is killed."""
        if self._process.poll() is None and self._seen is not None:
            end([self._seen, *below(self.pid)], patience_s)
        self._process.wait()
        self._reader.join(1.0)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for raw in output:
                line = raw.decode(errors="replace")
                self._lines.append(line.rstrip("\n"))
                sys.stdout.write(line)
                sys.stdout.flush()
