"""A node looks for the packages and containers that it has, in a folder such as Ray makes, and with a `podman`."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyte_ray.cli.lasting import cached_row
from flyte_ray.cluster.cached import looking

NAMES = "ray_runtime_env_internal_pip_requirements.txt"
IMAGES = """[{"Names": ["localhost/some:1"], "Size": 3, "Created": 900}, {"Names": null, "Size": 5, "Created": 1}]"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where a node finds programs."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def give_podman(path: Path, text: str) -> None:
    (path / "podman").write_text(f"#!/bin/sh\n{text}\n")
    (path / "podman").chmod(0o755)


def test_packages_are_found_with_their_size_and_age(tmp_path: Path, path: Path) -> None:
    for by in ("uv", "pip"):
        (tmp_path / by / "abc" / "virtualenv").mkdir(parents=True)
        (tmp_path / by / "abc" / "virtualenv" / "data").write_text("12345")
    (tmp_path / "uv" / "abc" / NAMES).write_text("attrs\ncattrs==1\n")
    now = (tmp_path / "uv" / "abc").stat().st_mtime + 60
    rows, lacking = looking()(str(tmp_path), now)
    assert lacking == []
    assert rows[0] == {"by": "uv", "environment": "attrs, cattrs==1", "bytes": 5 + 16, "age_s": 60.0}
    assert (rows[1]["by"], rows[1]["environment"]) == ("pip", f"unknown packages in {tmp_path / 'pip' / 'abc'}")


def test_containers_are_those_that_podman_names(tmp_path: Path, path: Path) -> None:
    give_podman(path, f"echo '{IMAGES}'")
    assert looking()(str(tmp_path), 1000) == (
        [{"by": "podman", "environment": "localhost/some:1", "bytes": 3, "age_s": 100}],
        [],
    )


def test_a_podman_that_does_not_answer_is_told(tmp_path: Path, path: Path) -> None:
    give_podman(path, "exit 3")
    rows, [sentence] = looking()(str(tmp_path))
    assert rows == [] and sentence.startswith("podman does not say which containers it has:")


def test_what_cannot_be_known_is_said() -> None:
    row = {"node": "a", "by": "podman", "environment": "some:1", "bytes": None, "age_s": None}
    shown = {"node": "a", "by": "podman", "environment": "some:1", "size": "unknown", "age": "unknown"}
    assert cached_row(row) == shown
    known = cached_row({**row, "bytes": 3 * 2**20, "age_s": 90061.5})
    assert (known["size"], known["age"]) == ("3.0 MiB", "1 day, 1:01:01")
