"""Fire the triggers of a root on behalf of its ledger, on a thread of its own.

Nothing of a user's is imported for that: a run is started with what is on record of its task, and with inputs in their
stored form.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from flyte_ray.cluster.shaping import shaping_of
from flyte_ray.errors import RunAlreadyExistsError, StoreError
from flyte_ray.ledger.firing import Firing
from flyte_ray.ledger.paths import lease_key, segment_key, spec_key
from flyte_ray.ledger.requests import Start
from flyte_ray.ledger.service import Ledger
from flyte_ray.ledger.tasks import load_deployed
from flyte_ray.ledger.triggers import TriggerRecord, inputs_at, run_name
from flyte_ray.runtime.caching import Caching
from flyte_ray.runtime.catalog import Catalog
from flyte_ray.runtime.deployed import spec_of
from flyte_ray.runtime.logs import levels
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store
from flyte_ray.types import encoded_of
from flyte_ray.types.signing import Pickling

TICK_S: Final = 0.25
LOOK_S: Final = 5.0
"""Time between two looks at which triggers there are."""
_log: Final = logging.getLogger("flyte_ray.ledger")


class TriggerLedger:
    """The triggers of a root."""

    def __init__(self, store: Store, ledger: Ledger, keys: Callable[[], Mapping[str, Pickling]]) -> None:
        """Fire those of a store; `keys` gives those that its ledger has been lent, by id."""
        self._store, self._ledger, self._keys = store, ledger, keys
        self.is_starting = False
        """It starts a run at this moment."""
        self._firing = Firing(store, start=self._begin, is_active=self._is_active, now_us=_now_us)

    def keep_firing(self, may_start: Callable[[], bool]) -> None:
        """Go on for ever; nothing is fired while this ledger must not start runs."""
        looked, told = 0.0, ""
        while True:
            if may_start():
                try:
                    if time.monotonic() - looked > LOOK_S:
                        self._firing.look()
                        looked = time.monotonic()
                    self._firing.tick()
                    told = ""
                except StoreError as error:  # it may be away for hours, and is asked every few seconds
                    told = _warn_once(told, str(error))
                    time.sleep(LOOK_S)
                except Exception:
                    _log.exception("the triggers' clock met an error and goes on")
                    time.sleep(LOOK_S)
            time.sleep(TICK_S)

    def _begin(self, record: TriggerRecord, fire_us: int) -> None:
        self.is_starting = True
        try:
            start = start_of(self._store, record, fire_us, self._keys())
            if self._has_begun(start.run):
                raise RunAlreadyExistsError(f"Run {start.run!r} has begun already.")
            self._ledger.start(start)
        finally:
            self.is_starting = False

    def _has_begun(self, run: RunId) -> bool:
        """Tell a run that others continue, if need be, from one of which only the start is there."""
        begun = segment_key(run, 0), lease_key(run)
        return self._store.exists(spec_key(run)) and any(map(self._store.exists, begun))

    def _is_active(self, run: RunId) -> bool:
        return run in self._ledger.runs or self._store.exists(lease_key(run))


def start_of(store: Store, record: TriggerRecord, fire_us: int, keys: Mapping[str, Pickling]) -> Start:
    """Describe the run of a fire.

    Args:
        store: The root.
        record: The trigger.
        fire_us: When it fires, in microseconds since the epoch.
        keys: Those that pickles can be signed with here, by id.

    Raises:
        RemoteTaskNotFoundError: Its task was deleted, or that version of it.

    """
    task, run = load_deployed(store, record.task, record.version), run_name(record, fire_us)
    spec = spec_of(task, interface=False)
    about = _about(record, fire_us, keys, task.about["source"], task.code)
    about["task_version"] = task.version
    if images := task.environment.get("images"):
        about["images"] = images
    encoded = encoded_of(inputs_at(record, fire_us))
    cache = Caching(about).use(spec, task.identity, encoded)
    ref = Catalog(shaping_of(task.code, about), Pickling()).refer(spec)
    context = json.dumps(record.about["custom_context"], sort_keys=True) if record.about["custom_context"] else None
    return Start(run, f"{record.id}@{fire_us}", ref, encoded.text, context, cache, about)


def _about(
    record: TriggerRecord, fire_us: int, keys: Mapping[str, Pickling], source: str, code: str | None
) -> dict[str, Any]:
    given, key = record.about, record.about.get("key")
    return {
        "mode": "remote",
        "by": record.by,
        "source": source,
        "interactive": False,
        "log_levels": levels(),
        "labels": given["labels"],
        "env_vars": given["env_vars"],
        "raw_data_path": None,
        "copy_style": "loaded_modules",
        "include": (),
        "cache": "overwrite" if given["overwrite_cache"] else "on",
        "strict_replay": False,
        "notifications": given["notifications"],
        # Without the key of who deployed it nothing can be signed for him.
        "pickles": "sign" if key in keys else "refuse",
        "key": key if key in keys else None,
        "queue": given.get("queue"),
        "max_action_concurrency": given.get("max_action_concurrency"),
        "code": code,
        "trigger": {"task": record.task, "name": record.name, "fire_us": fire_us},
    }


def _warn_once(told: str, text: str) -> str:
    if text != told:
        _log.warning("triggers cannot be fired, which is tried again: %s", text)
    return text


def _now_us() -> int:
    return time.time_ns() // 1000
