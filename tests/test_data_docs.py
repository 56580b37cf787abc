"""Each program of docs/data.md runs, and prints what stands behind its `print`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", (TOP / "docs" / "data.md").read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_a_program_of_the_docs_prints_what_it_says(program: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(TOP), "FLYTE_RAY_ROOT": str(tmp_path / "root")}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said = re.findall(r"print\(.*\)  # (.+)", program)
    assert said, "a program says what it prints"
    assert [line for line in said if line not in done.stdout] == []
