"""Say where in a root each part of the record lies; the layout is described in docs/ledger.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flyte_ray.spec.ids import RunId

ACTIVE: Final = "active"
"""Claims on runs that go on lie below this prefix."""
RUNS: Final = "runs"
"""Everything of runs lies below this prefix."""
INDEX: Final = "index"
ENDED: Final = "ended"
LISTED: Final = "listed"
"""Below these prefixes lies the list of runs: starts, ends, and many of them in one object."""
LOG_ENDING: Final = ".arrow"
"""Ends the names of what a log is made of."""
CACHE: Final = "cache"
"""Kept outcomes lie below this prefix."""

APPS: Final = "apps"
"""Apps lie below this prefix."""
TASKS: Final = "tasks"
"""Deployed tasks lie below this prefix."""
TRIGGERS: Final = "triggers"
"""Triggers lie below this prefix."""
QUEUES: Final = "queues"
"""Queues lie below this prefix."""
TOKENS: Final = "tokens"
"""Tokens lie below this prefix."""
SECRETS: Final = "secrets"
"""Secrets, encrypted, lie below this prefix."""


def run_prefix(run: RunId) -> str:
    """Everything of a run lies below this prefix, so that it can be copied or deleted as one."""
    return f"runs/{run}"


def spec_key(run: RunId) -> str:
    """The run's start: task, code, context, labels, owner, nonce (JSON)."""
    return f"runs/{run}/spec.json"


def log_prefix(run: RunId) -> str:
    """A run's log."""
    return f"runs/{run}/log"


def segment_key(run: RunId, position: int) -> str:
    """The log's segment at a position, from 0."""
    return f"{log_prefix(run)}/{position:08d}{LOG_ENDING}"


def block_key(run: RunId, first: int, last: int) -> str:
    """The log's segments from one position to another, in one object."""
    return f"{log_prefix(run)}/{first:08d}-{last:08d}{LOG_ENDING}"


def snapshot_key(run: RunId) -> str:
    """The folded log of a run that has ended: one Arrow file in the log's schema."""
    return f"runs/{run}/actions.arrow"


def data_place(run: RunId, spec: Mapping[str, Any]) -> str:
    """Values that do not lie inline in the log: a prefix of the root, or a URL if the run's spec names a place."""
    elsewhere = spec.get("raw_data_path")
    return f"{elsewhere.rstrip('/')}/{run}" if elsewhere else f"runs/{run}/data"


PLACE: Final = ".place"
"""Name of what lies in a run's place for values elsewhere, from its start on."""


def witness_of(spec: Mapping[str, Any]) -> str | None:
    """Return what is known to lie where a run has its values, if that is elsewhere; earlier versions left nothing."""
    return PLACE if spec.get("raw_data_marked") else None


def signals_prefix(run: RunId) -> str:
    """What conditions were signalled with."""
    return f"runs/{run}/signals"


def signal_key(run: RunId, action: str, number: int) -> str:
    """What decides the wait of a condition; `number` counts from 0: above 0 if its time was over and it waits anew."""
    return f"{signals_prefix(run)}/{action}-{number}.json"


def called_key(run: RunId, action: str, number: int) -> str:
    """That a condition's webhook was called; `number` as above."""
    return f"{signals_prefix(run)}/{action}-{number}-webhook.json"


def cache_key(key: str) -> str:
    """A kept outcome, by the digest of what it depends on."""
    return f"{CACHE}/{key[:2]}/{key}.json"


def notified_key(run: RunId, number: int, place: int) -> str:
    """That a notification was sent: of the run's end `number`, the one at this place of those declared."""
    return f"runs/{run}/notified/{number}-{place}.json"


def place_in_list(run: str, started_us: int) -> str:
    """By what runs are ordered; the inverse time makes the newest come first in a plain listing."""
    return f"{10**16 - started_us:016d}-{run}"


def index_key(run: RunId, started_us: int) -> str:
    """What a list of runs shows of a start."""
    return f"{INDEX}/{place_in_list(run, started_us)}.json"


def ended_key(run: RunId, started_us: int, number: int) -> str:
    """What a list of runs shows of an end; `number` counts continuations."""
    return f"{ENDED}/{place_in_list(run, started_us)}-{number}.json"


def listed_key(newest: str, digest: str) -> str:
    """What a list shows of many runs that have ended; named by the place of the newest, and a digest of all."""
    return f"{LISTED}/{newest}-{digest}.json"


def place_of_key(key: str) -> str:
    """Return the place in the list of the run that an `index_key` or `ended_key` belongs to."""
    prefix, _, name = key.partition("/")
    place = name.removesuffix(".json")
    return place.rpartition("-")[0] if prefix == ENDED else place


def lease_key(run: RunId) -> str:
    """Who holds an active run."""
    return f"{ACTIVE}/{run}"


def code_key(digest: str) -> str:
    """A code bundle, by the digest of its content."""
    return f"code/{digest}.zip"


def app_prefix(name: str) -> str:
    """The revisions of an app."""
    return f"{APPS}/{name}"


def app_key(name: str, revision: int) -> str:
    """One revision of an app, counted from 1."""
    return f"{app_prefix(name)}/{revision:08d}.json"


def address_key(name: str) -> str:
    """Where an app answers."""
    return f"served/{name}.json"


def task_prefix(name: str) -> str:
    """The versions of a deployed task."""
    return f"{TASKS}/{name}"


def task_key(name: str, revision: int) -> str:
    """One deployment of a task, counted from 1."""
    return f"{task_prefix(name)}/{revision:08d}.json"


def trigger_prefix(task: str, name: str) -> str:
    """The revisions of a task's trigger."""
    return f"{TRIGGERS}/{task}/{name}"


def trigger_key(task: str, name: str, revision: int) -> str:
    """One revision of a trigger, counted from 1."""
    return f"{trigger_prefix(task, name)}/{revision:08d}.json"


def fired_key(task: str, name: str) -> str:
    """Up to when a trigger has fired."""
    return f"fired/{task}/{name}.json"


def trigger_data_place(task: str, name: str) -> str:
    """Large values among the inputs of a trigger."""
    return f"trigger-data/{task}/{name}"


def queue_key(name: str) -> str:
    """The limits of a queue."""
    return f"{QUEUES}/{name}.json"


def token_key(key: str) -> str:
    """What is known of a token, by its public part."""
    return f"{TOKENS}/{key}.json"


def secret_key(name: str) -> str:
    """A secret, encrypted."""
    return f"{SECRETS}/{name}.json"


def app_data_key(digest: str, name: str) -> str:
    """A file or folder that an app was given, by the digest of its content."""
    return f"app-data/{digest}/{name}"
