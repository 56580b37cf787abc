"""Keep a run's values that do not lie inline in its log."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from flyte_ray.ledger.paths import data_prefix
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store


@dataclass(frozen=True)
class RunBlobs:
    """Objects below a run's `data/`; URIs are relative to it, so that a run can be copied as one prefix."""

    store: Store
    run: RunId

    def put(self, data: bytes, suffix: str) -> str:
        """Store bytes under a fresh name."""
        uri = f"{uuid.uuid4().hex}{suffix}"
        self.store.put(f"{data_prefix(self.run)}/{uri}", data)
        return uri

    def get(self, uri: str) -> bytes:
        """Read bytes."""
        return self.store.get(f"{data_prefix(self.run)}/{uri}")
