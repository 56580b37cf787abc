"""Say which kept outcome a call may be answered with.

A key depends on the task's name, interface and version and on the inputs that count; not on the environment, the
context or the run.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from typing import Any

from flyte_ray.ledger.cache import CacheUse
from flyte_ray.spec.body import read_body
from flyte_ray.spec.caching import FunctionBodyPolicy, VersionParameters
from flyte_ray.spec.task import TaskSpec
from flyte_ray.types import Encoded
from flyte_ray.types.digest import digest_of, is_comparable


class Caching:
    """The cache as one run uses it."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        """Read from the run's spec whether it looks up outcomes (`on`), only keeps them (`overwrite`), or neither."""
        self._mode = spec.get("cache") or "on"
        self._versions: dict[int, tuple[TaskSpec, str, tuple[str, ...]]] = {}

    def use(self, task: TaskSpec, identity: str, inputs: Encoded) -> str | None:
        """Return how a call uses the cache in its recorded form; None if it does not."""
        cache = task.cache
        if not cache.is_enabled or self._mode == "off":
            return None
        raw = {name: value for name, value in json.loads(inputs.text).items() if name not in cache.ignored_inputs}
        if not is_comparable(json.dumps(raw, separators=(",", ":"))):
            warnings.warn(
                f"Task '{task.name}' is not cached: an input has no typed form and is pickled, and equal values may"
                f" have different pickles. Annotate it, or name it in Cache(ignored_inputs=...).",
                stacklevel=2,
            )
            return None
        try:
            version, follows = self._version(task)
        except Exception as error:  # a policy of the user's, or code that cannot be read
            warnings.warn(f"Task '{task.name}' is not cached: its version cannot be computed: {error}.", stacklevel=2)
            return None
        digest = inputs.digest if not cache.ignored_inputs else digest_of(raw)
        text = "\n".join((task.name, identity, version, digest))
        key = hashlib.sha256(text.encode()).hexdigest()[:40]
        return CacheUse(key, version, cache.max_age_s, cache.serialize, self._mode == "on", follows).dump()

    def _version(self, task: TaskSpec) -> tuple[str, tuple[str, ...]]:
        known = self._versions.get(id(task))
        if known is None:
            version = task.cache.get_version(VersionParameters(task.func, task.environment.image)) or ""
            is_auto = not task.cache.version_override and FunctionBodyPolicy() in task.cache.policies
            # The task is kept, so that its id is not given to another one.
            known = self._versions[id(task)] = task, version, read_body(task.func).follows if is_auto else ()
        return known[1], known[2]
