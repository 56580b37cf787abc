"""The tasks that `data.py` measures: they hand files and folders on, and time it.

Each returns seconds, so that the start of a run does not count into it. What is handed on is stored before the call
begins, as that of any user.
"""

from __future__ import annotations

import tempfile
import time

import flyte_ray as flyte
from flyte_ray.io import Dir, File

env = flyte.TaskEnvironment("data")


@env.task
def take_file(file: File) -> float:
    """Copy a file to this machine; seconds."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        file.download_sync(f"{folder}/copy")
        return time.perf_counter() - start


@env.task
def take_folder(folder: Dir) -> float:
    """Copy a folder to this machine; seconds."""
    with tempfile.TemporaryDirectory() as target:
        start = time.perf_counter()
        folder.download_sync(f"{target}/copy")
        return time.perf_counter() - start


@env.task
def pass_file(path: str) -> list[float]:
    """Hand a local file to an action; seconds until it is stored and the action has begun and ended, and its own."""
    start = time.perf_counter()
    inside = take_file(File.from_local_sync(path))
    return [time.perf_counter() - start - inside, inside]


@env.task
def pass_folder(path: str) -> list[float]:
    """Hand a local folder to an action; seconds as of `pass_file`."""
    start = time.perf_counter()
    inside = take_folder(Dir.from_local_sync(path))
    return [time.perf_counter() - start - inside, inside]


@env.task
def stream(path: str) -> list[float]:
    """Write a local file as a stream, and read it back as one; seconds of both."""
    file: File = File.new_remote()
    start = time.perf_counter()
    with open(path, "rb") as source, file.open_sync("wb") as target:
        while block := source.read(1 << 20):
            target.write(block)
    middle = time.perf_counter()
    with file.open_sync("rb") as opened:
        while opened.read(1 << 20):
            pass
    return [middle - start, time.perf_counter() - middle]
