"""Carry out a command of the command line as a job on the head, for who reaches its dashboard alone.

What the command prints, and what its live view sees, is told in lines that `dashboard.py` shows on the caller's side;
other lines are of Ray or of C code.

Invariant: paths on record and in tracebacks are those of the caller's machine, where its user can open them.
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from flyte_ray.api.settings import settings
from flyte_ray.cluster.names import PROJECT

MARK: Final = "@flyte-ray "
"""Begins each line of ours; JSON follows."""


@dataclass(frozen=True)
class Order:
    """What the caller wants."""

    words: list[str]
    """Those of the command."""
    address: str
    """The dashboard as the caller calls it, for commands that are shown."""
    root: str | None
    """The root, if the caller's variables or files name one."""
    home: str | None = None
    """The project's folder on the caller's machine, if files came along."""
    interval_s: float = 1.0
    """Time between two pictures of a run."""

    def dump(self) -> str:
        """Write it as an argument."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Side:
    """The process that carries out an order."""

    order: Order
    project: Path
    out: TextIO
    lock: threading.Lock

    def tell(self, message: dict[str, Any]) -> None:
        """Write one line."""
        line = f"{MARK}{json.dumps(message)}\n"
        with self.lock:
            self.out.write(line)
            self.out.flush()

    def home_of(self, path: str) -> str:
        """Return the path that a file of the project has on the caller's machine."""
        here = Path(path).resolve()
        if self.order.home is None or not here.is_relative_to(self.project):
            return path
        return str(Path(self.order.home, here.relative_to(self.project)))

    @contextmanager
    def shown(self, run: str) -> Iterator[Any]:
        """Yield a function that shows what a look at a run shows, as fields, to the caller."""
        self.tell({"begin": run})
        try:
            yield lambda fields: self.tell({"sight": fields})
        finally:
            self.tell({"end": run})


current: Side | None = None
"""None where the command line runs in its user's own process."""


class _Told(io.TextIOBase):
    """A stream whose text is told in whole lines; also what a thread or Ray prints."""

    encoding = "utf-8"

    def __init__(self, side: Side, name: str) -> None:
        self._side, self._name, self._rest = side, name, ""
        self._lock = threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            whole, newline, self._rest = (self._rest + text).rpartition("\n")
        if newline:
            self._side.tell({"to": self._name, "text": whole + newline})
        return len(text)

    def flush(self) -> None:
        with self._lock:
            text, self._rest = self._rest, ""
        if text:
            self._side.tell({"to": self._name, "text": text})


def carry_out(order: Order) -> None:
    """Run the command, and end this process as it ends."""
    global current  # the one process that carries out an order
    folder = Path.cwd() / PROJECT
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    side = current = Side(order, folder.resolve(), sys.stdout, threading.Lock())
    side.tell({"begun": True})
    sys.stdout, sys.stderr = _Told(side, "out"), _Told(side, "err")
    settings.repeated, settings.is_elsewhere = ("--address", order.address), True
    if order.root is not None:
        os.environ["FLYTE_RAY_ROOT"] = order.root
    from flyte_ray.cli.main import main  # after the streams: what it imports may keep them

    try:
        main(args=order.words, prog_name="flyte-ray")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    # Under its own name: `current` is the module's, not this program's.
    from flyte_ray.cli import job_side

    job_side.carry_out(job_side.Order(**json.loads(sys.argv[1])))
