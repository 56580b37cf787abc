"""Copies on a machine of what its actions stored elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flyte_ray.storage import nearby
from flyte_ray.storage.nearby import Nearby, sweep


def keep(near: Nearby, name: str, size: int = 10) -> list[bytes]:
    sent: list[bytes] = []
    near.keep(name, lambda file: file.write(b"x" * size), lambda path: sent.append(Path(path).read_bytes()))
    return sent


@contextmanager
def holder(top: Path, place: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has a run's copies open."""
    code = f"from flyte_ray.storage.nearby import Nearby; from pathlib import Path\nnear = Nearby({place!r},"
    code += f" Path({str(top)!r}))\nnear.keep('b', lambda file: file.write(b'y'), lambda _: 0)\nprint(1, flush=True)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "1\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_what_was_sent_is_found_by_every_process_of_the_run(tmp_path: Path) -> None:
    near, other = Nearby("s3://b/run", tmp_path), Nearby("s3://b/other", tmp_path)
    assert near.find("a") is None
    assert keep(near, "a") == [b"x" * 10]
    with holder(tmp_path, "s3://b/run"):
        for name, data in (("a", b"x" * 10), ("b", b"y")):
            path = near.find(name)
            assert path and Path(path).read_bytes() == data
    assert other.find("a") is None


def test_what_the_store_did_not_take_is_no_copy(tmp_path: Path) -> None:
    near = Nearby("s3://b/run", tmp_path)

    def refuse(path: str) -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        near.keep("a", lambda file: file.write(b"x"), refuse)
    assert near.find("a") is None
    (folder,) = tmp_path.iterdir()
    assert [path.name for path in folder.iterdir()] == [".held"]


def test_copies_go_with_the_last_process_that_has_them_open(tmp_path: Path) -> None:
    near = Nearby("s3://b/run", tmp_path)
    with holder(tmp_path, "s3://b/run"):
        keep(near, "a")
        near.close()
        assert len(list(tmp_path.glob("*/[ab]"))) == 2
    assert list(tmp_path.glob("*/[ab]")), "a killed process cannot clean up"
    command = [sys.executable, "-I", "-S", nearby.__file__, str(tmp_path)]
    subprocess.run(command, check=True)  # as the node's reaper does
    assert not list(tmp_path.iterdir())


def test_copies_of_a_killed_process_go_when_the_next_one_begins(tmp_path: Path) -> None:
    with holder(tmp_path, "s3://b/killed") as process:
        os.kill(process.pid, signal.SIGKILL)
    near = Nearby("s3://b/run", tmp_path)
    assert [path.name for path in tmp_path.glob("*/*")] == [".held"]
    near.close()
    assert not list(tmp_path.iterdir())


def test_the_copies_that_were_not_used_for_long_make_room(tmp_path: Path) -> None:
    near, other = Nearby("s3://b/run", tmp_path, most=35), Nearby("s3://b/other", tmp_path)
    for number, (each, name) in enumerate([(near, "a"), (other, "b"), (near, "c")]):
        keep(each, name)
        os.utime(str(each.find(name)), (number, number))
    assert near.find("a")
    keep(near, "d")
    assert [bool(each.find(name)) for each, name in ((near, "a"), (other, "b"), (near, "c"))] == [True, False, True]
    keep(near, "too large", 36)
    assert not list(tmp_path.glob("*/[a-z]*"))


def test_a_mapped_copy_stays_readable_when_it_makes_room(tmp_path: Path) -> None:
    import pyarrow as pa

    near = Nearby("s3://b/run", tmp_path, most=10)
    keep(near, "a")
    mapped = pa.memory_map(str(near.find("a")))
    keep(near, "b")
    assert near.find("a") is None
    assert mapped.read_buffer().to_pybytes() == b"x" * 10


def test_a_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(PermissionError, match="should belong to the user"):
        Nearby("s3://b/run", tmp_path)


def test_sweeping_leaves_what_is_open(tmp_path: Path) -> None:
    near = Nearby("s3://b/run", tmp_path)
    keep(near, "a")
    sweep(tmp_path)
    assert near.find("a")
    near.close()
    sweep(tmp_path / "not there")
