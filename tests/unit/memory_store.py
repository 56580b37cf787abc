"""A store in memory: fast, and a base for stores that err in one way."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from flyte_ray.errors import ObjectMissing


class MemoryStore:
    uri = "memory://test"
    options: ClassVar[dict[str, object]] = {}

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.lock = threading.Lock()

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    def put_file(self, key: str, path: str) -> None:
        self.put(key, Path(path).read_bytes())

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
