"""Each program of docs/files.md runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_readme import TOP, run_python

PROGRAMS = re.findall(r"^```python\n(.*?)^```$", (TOP / "docs" / "files.md").read_text(), flags=re.M | re.DOTALL)
SAID = ["THIS IS A.TXT\n{'a.txt': 14, 'b.txt': 19}\n", "True\n"]


@pytest.mark.parametrize(("program", "said"), list(zip(PROGRAMS, SAID, strict=True)), ids=["files", "reports"])
def test_a_program_of_the_docs_runs(program: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(program)
    assert run_python(["program.py"], tmp_path) == said
