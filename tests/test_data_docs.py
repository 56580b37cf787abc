"""Each program of docs/data.md runs, and prints what stands behind its `print`.

Those of torch and DuckDB run where these are installed, which is too much for one program each; that of Ray's datasets
in `tests/test_type_matrix.py`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
ALL = re.findall(r"^```python\n(.*?)^```$", (TOP / "docs" / "data.md").read_text(), flags=re.MULTILINE | re.DOTALL)
WITH_RAY = [program for program in ALL if "import ray.data" in program]
ABSENT = [name for name in ("torch", "duckdb") if not importlib.util.find_spec(name)]
PROGRAMS = {
    re.findall(r"TaskEnvironment\(\"(\w+)\"\)", program)[0]: program
    for program in ALL
    if program not in WITH_RAY and not any(f"import {name}" in program for name in ABSENT)
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_the_docs_prints_what_it_says(name: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    run_program(PROGRAMS[name], tmp_path, environment)


def run_program(program: str, tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "program.py").write_text(program)
    path = os.pathsep.join([str(TOP), os.environ.get("PYTHONPATH", "")])
    environment = {**environment, "PYTHONPATH": path, "FLYTE_RAY_ROOT": str(tmp_path / "root")}
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said = re.findall(r"print\(.*\)  # (.+)", program)
    assert said, "a program says what it prints"
    assert [line for line in said if line not in done.stdout] == []


def test_each_type_that_the_tables_of_the_docs_name_stands_in_a_program() -> None:
    tables = re.findall(r"^\| Annotation \|.*?\n\n", (TOP / "docs" / "data.md").read_text(), flags=re.M | re.DOTALL)
    firsts = [line.replace("\\|", "").split("|")[1] for table in tables for line in table.splitlines() if line]
    codes = [code for cell in firsts for code in re.findall(r"`([^`]+)`", cell)]
    types = {name for code in codes for name in re.findall(r"[\w.]{2,}", code)}
    assert len(types) > 40
    programs = "\n".join(ALL)
    assert [name for name in types if not re.search(rf"\b{name.strip('.').rpartition('.')[2]}\b", programs)] == []
