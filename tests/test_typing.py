"""A type checker knows what a task takes and gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parent.parent


def test_mypy_knows_the_types_of_tasks() -> None:
    # With the cache that `make types` fills: without it mypy reads the whole package, for some ten seconds.
    command = [sys.executable, "-m", "mypy", "tests/typed_tasks.py"]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
