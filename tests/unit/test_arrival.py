"""The package finds its way into a process that may lack it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flyte_ray.cluster import arrival
from flyte_ray.cluster.package import own_digest
from tests.ray_cluster import TOP

ON_CLIENTS_ALONE = {"ray", "click", "rich", "PyYAML", "jinja2", "uv"}


def test_what_a_node_needs_is_what_the_project_requires() -> None:
    text = Path(TOP, "pyproject.toml").read_text()
    block = text.split("\ndependencies = [")[1].split("\n]")[0]
    required = {line.strip().strip('",') for line in block.splitlines() if line.strip()}
    for_clients = {each for each in required if each.split("[")[0].split(">")[0] in ON_CLIENTS_ALONE}
    assert set(arrival.NEEDED.values()) == required - for_clients


def test_a_node_with_the_same_content_uses_its_own_and_asks_nobody() -> None:
    program = f"{Path(arrival.__file__).read_text()}\nbefore = list(sys.path)\narrive({own_digest()!r})\n"
    program += "print(sys.path == before, 'ray' in sys.modules, NAME in sys.modules)"
    said = subprocess.check_output([sys.executable, "-c", program], cwd=TOP, text=True)
    assert said.split() == ["True", "False", "False"]


def test_a_process_that_has_another_version_in_use_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "_node", lambda: "a")
    arrival.arrive(own_digest())
    with pytest.raises(ImportError, match="this one on node a has imported .*package.py already"):
        arrival.arrive("0" * 64)


def test_a_digest_depends_on_paths_and_contents_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Path(tmp_path, name, "inner").mkdir(parents=True)
        Path(tmp_path, name, "__init__.py").write_text("x = 1\n")
        Path(tmp_path, name, "inner", "one.py").write_text("")
    assert arrival.digest_of(tmp_path / "a") == arrival.digest_of(tmp_path / "b")
    Path(tmp_path, "b", "inner", "one.py").rename(Path(tmp_path, "b", "inner", "two.py"))
    assert arrival.digest_of(tmp_path / "a") != arrival.digest_of(tmp_path / "b")
