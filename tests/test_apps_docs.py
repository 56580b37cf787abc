"""Each program of docs/apps.md runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.ray_cluster import free_port
from tests.test_readme import TOP, run_python

PROGRAMS = re.findall(r"^```python\n(.*?)^```$", (TOP / "docs" / "apps.md").read_text(), flags=re.M | re.DOTALL)
SAID = [
    "ready to greet world\n{'hello': 'world'}\n",
    "GET /x HTTP/1.1\n",
    r"Serving HTTP on 127.0.0.1 port (.|\n)*\n200\n(.|\n)*",  # its log comes when it likes
    "the newest model\n",
]


@pytest.mark.parametrize(
    ("program", "said"), list(zip(PROGRAMS, SAID, strict=True)), ids=["asgi", "function", "command", "output"]
)
def test_a_program_of_the_docs_runs(program: str, said: str, tmp_path: Path) -> None:
    # The declared port may be taken on this machine.
    (tmp_path / "program.py").write_text(re.sub(r"port=\d+", f"port={free_port()}", program))
    assert re.fullmatch(said, run_python(["program.py"], tmp_path))
