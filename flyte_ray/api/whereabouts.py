"""Name an action and where its things lie: the plain types that `flyte.ctx()` gives, with Flyte's names."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass


@dataclass(frozen=True)
class ActionID:
    """Names an action. Mirrors `flyte.models.ActionID`."""

    name: str
    """Unique in its run; the root action's is `a0`."""
    run_name: str
    project: str | None = None
    """None, like the two below: there is no control plane that divides runs so."""
    domain: str | None = None
    org: str | None = None


@dataclass(frozen=True)
class RawDataPath:
    """Where a run's values lie that are not in its log. Mirrors `flyte.models.RawDataPath`."""

    path: str
    """A folder of this machine, or a URL."""

    def get_random_remote_path(self, file_name: str | None = None) -> str:
        """Return a path below that nobody uses: `<path>/<random>[/<file_name>]`; a folder that it needs is made."""
        folder = f"{self.path}/{uuid.uuid4().hex}" if file_name else self.path
        if "://" not in folder:
            os.makedirs(folder, exist_ok=True)
        return f"{folder}/{file_name or uuid.uuid4().hex}"


@dataclass(frozen=True)
class GroupData:
    """The innermost `flyte.group`. Mirrors `flyte.models.GroupData`."""

    name: str


@dataclass(frozen=True)
class CodeBundle:
    """The code that a run travels with; a zip in place of Flyte's `tgz`."""

    computed_version: str
    """Digest of its files."""
    zip: str
    """URI of the archive in the root."""


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those of one distributed computation, as `torchrun` and its like set it."""

    rank: int
    local_rank: int
    world_size: int
    local_world_size: int
    node_rank: int
    nnodes: int
    master_addr: str | None
    master_port: int | None
    restart_attempt: int


def read_ranks() -> Ranks:
    """Read this process's variables; a process on its own is the only one of one."""

    def number(default: int, *names: str) -> int:
        return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()), default)

    world = number(1, "WORLD_SIZE")
    local = number(1, "LOCAL_WORLD_SIZE")
    return Ranks(
        rank=number(0, "RANK"),
        local_rank=number(0, "LOCAL_RANK"),
        world_size=world,
        local_world_size=local,
        node_rank=number(0, "NODE_RANK", "GROUP_RANK"),
        nnodes=number(max(1, world // max(1, local)) if "LOCAL_WORLD_SIZE" in os.environ else 1, "NNODES"),
        master_addr=os.environ.get("MASTER_ADDR"),
        master_port=number(0, "MASTER_PORT") or None,
        restart_attempt=number(0, "TORCHELASTIC_RESTART_COUNT"),
    )
