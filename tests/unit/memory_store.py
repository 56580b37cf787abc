"""A store in memory: fast, and a base for stores that err in one way."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, ClassVar

from flyte_ray.errors import ObjectMissing
from flyte_ray.storage.providers import Options


class MemoryStore:
    uri = "memory://test"
    options: ClassVar[Options] = {}

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.lock = threading.Lock()

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    def put_file(self, key: str, path: str) -> None:
        self.put(key, Path(path).read_bytes())

    def put_files(self, files: Mapping[str, str]) -> None:
        for key, path in files.items():
            self.put_file(key, path)

    def put_written(self, key: str, write: Callable[[IO[bytes]], object]) -> None:
        buffer = io.BytesIO()
        write(buffer)
        self.put(key, buffer.getvalue())

    def put_named(self, prefix: str, write: Callable[[IO[bytes]], object], name: Callable[[], str]) -> str:
        buffer = io.BytesIO()
        write(buffer)
        found = name()
        self.put(f"{prefix}/{found}", buffer.getvalue())
        return found

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with self.lock:
            return self.objects.setdefault(key, data) is data

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise ObjectMissing(key)
        return self.objects[key]

    def exists(self, key: str) -> bool:
        return key in self.objects

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in list(self.objects) if key.startswith(prefix))

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)
