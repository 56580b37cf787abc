"""Say what clients and clusters bring to the ledger: how a run starts and ends, and who launches slots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from flyte_ray.ledger.messages import Pool, TaskRef, read_ref
from flyte_ray.spec.ids import RunId


class Launcher(Protocol):
    """Starts and ends slots."""

    def launch(
        self, slot: str, run: RunId, shape: str, options: str, pool: Pool | None = None, own: bool = False
    ) -> None:
        """Start a slot; returns at once.

        Args:
            slot: Its id.
            run: Whose it is.
            shape: Its shape.
            options: JSON of the Ray options.
            pool: The pool that it belongs to; None for none.
            own: Start a process of its own, and not one of the pool's.

        """

    def recall(self, slot: str) -> None:
        """Do without a slot that was asked for; one that begins meanwhile ends by itself, or is ended."""

    def retire(self, run: RunId) -> None:
        """Let go of what belongs alone to a run that has ended: its pools, and its secrets."""

    def spare(self, names: frozenset[str]) -> None:
        """End processes of pools that do nothing and hold any of these resources."""

    def kill(self, slot: str) -> None:
        """End a slot's process, running or not yet started."""

    def capacity(self, options: str) -> int:
        """How many slots with these options the cluster can hold at a time."""

    def scarce(self, options: str) -> frozenset[str]:
        """Names of the resources of which too little is free at the moment for such a slot."""

    def may_grow(self, options: str) -> bool:
        """Whether the cluster may get more room for such slots by itself."""


@dataclass(frozen=True)
class Start:
    """What starts a run."""

    run: RunId
    nonce: str
    """Made by the client: a repeated start finds its own run."""
    task: TaskRef
    inputs: str
    context: str | None = None
    cache: str | None = None
    """How the root action uses the cache."""
    about: dict[str, Any] = field(default_factory=dict)
    """More for the run's specification: labels, source, code."""

    def spec(self, started_us: int) -> dict[str, Any]:
        """Describe the run for the record, with all that is needed to begin it."""
        return {
            **self.about,
            "name": self.run,
            "nonce": self.nonce,
            "task": self.task.name,
            "inputs": self.inputs,
            "started_us": started_us,
            "call": {"task": self.task, "context": self.context, "cache": self.cache},
        }


def read_start(run: RunId, spec: Mapping[str, Any]) -> Start | None:
    """Read what begins a run from its specification; None where a version wrote it that did not say."""
    call = spec.get("call")
    if call is None:
        return None
    task = read_ref(json.dumps(call["task"]))
    return Start(run, spec["nonce"], task, spec["inputs"], call["context"], call["cache"])


class Terms(NamedTuple):
    """On which terms a run runs."""

    strict_replay: bool = False
    """A replay that diverges fails."""
    key: str | None = None
    """Id of the key that its pickles are signed with."""
    most: int = 0
    """How many of its actions run at a time, those left out that wait for actions of their own; 0 for any number."""
    owner: str = ""
    """On whose behalf."""

    @staticmethod
    def read(spec: Mapping[str, Any]) -> Terms:
        """Read them from a run's specification."""
        most = int(spec.get("max_action_concurrency") or 0)
        return Terms(bool(spec.get("strict_replay")), spec.get("key"), most, str(spec.get("by") or ""))


FREE: Final = Terms()
"""Those of a run without any."""


@dataclass(frozen=True)
class Ended:
    """How a run ended; stored when this is handed out."""

    phase: str
    body: str
    diverged: bool = True
    """Whether a replay called something else than is on record; a ledger of an earlier version does not say."""
