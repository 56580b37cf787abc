"""What docs/quickstart.md shows happens as it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.ray_cluster import TOP

PAGE = Path(TOP, "docs", "quickstart.md").read_text()


def run_line(line: str, folder: Path) -> tuple[int, str]:
    command = line.removeprefix("$ ").replace("flyte-ray", f"{sys.executable} -m flyte_ray.cli.main", 1)
    environment = {**os.environ, "PYTHONPATH": TOP, "FLYTE_RAY_ROOT": str(folder / "root")}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_quickstart_fails_where_it_says_so_and_goes_on(tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "shop.py").write_text(program)
    consoles = re.findall(r"^```console\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    done = [run_line(line, tmp_path) for line in "".join(consoles).splitlines()]
    assert [status for status, _ in done] == [0, 0, 0, 1, 0, 0, 0, 0, 0]
    said = [text for _, text in done]
    assert "Say what all of them cost." in said[1] and "--items" in said[1]
    assert "o0 = 2.5" in said[2]
    assert "in price" in said[3] and "FileNotFoundError: " in said[3]
    assert "shop.price" in said[4] and "failed" in said[4]
    assert "o0 = 6.5" in said[7] and "looking for tea" not in said[7] and "looking for coffee" in said[7]
    assert "3 succeeded" in said[8] and "2 succeeded" in said[8]
