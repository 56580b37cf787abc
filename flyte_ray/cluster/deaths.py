"""Read from Ray's errors how a slot was lost, and which one a lack of memory is due to.

Ray's memory monitor ends several workers at once, innocent ones too, and gives each of them the same error; its text
lists all that it considered with what they used. Ray tells of a dead node before it knows whether that was preempted.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from typing import Any, Final

from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayTaskError,
    RuntimeEnvSetupError,
    WorkerCrashedError,
)

from flyte_ray.cluster.installing import last_lines, missing_package
from flyte_ray.errors import BaseRuntimeError
from flyte_ray.ledger.losses import ENDED, MEMORY, NODE, PREEMPTED, SETUP, Loss

SLOT_TASK: Final = "flyte-ray slot "
"""Begins the name of a slot's Ray task."""
HEAVY: Final = 0.05
"""Part of its node's memory from which on a worker without a limit of its own is to blame, if none used more."""
_DRAIN_PREEMPTED: Final = 3
"""Ray's `NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED`."""
_WORKER: Final = re.compile(r"task name=([^\n]*?), required resources=[^\n]*?actual memory used=([\d.]+)GB")
_NODE: Final = re.compile(r"([\d.]+)GB used / ([\d.]+)GB limit")
_GB: Final = 1024**3


def read_death(slot: str, error: Exception, nodes: Callable[[], list[dict[str, Any]]]) -> tuple[Loss, bool]:
    """Say how a slot was lost whose Ray task ended with an error.

    Args:
        slot: Its id.
        error: Ray's.
        nodes: Lists the cluster's nodes as `ray.nodes` does.

    Returns:
        The loss, and whether another slot of its shape would end in the same way.

    """
    match error:
        case OutOfMemoryError():
            return _read_memory(slot, str(error)), False
        case NodeDiedError():
            return _read_node(str(error), nodes), False
        case WorkerCrashedError():
            return Loss("its process ended unexpectedly (killed, exited or crashed)"), False
        case RuntimeEnvSetupError():
            return Loss(_read_setup(str(error)), SETUP), True
        case RayTaskError():
            # Of our own entry: the next slot would meet it too. What we or the arrival raise is meant to be read; the
            # rest needs Ray's traceback.
            told = isinstance(error.cause, (BaseRuntimeError, ImportError))
            return Loss(str(error.cause) if told else f"{type(error).__name__}: {error}"), True
        case _:
            return Loss(f"{type(error).__name__}: {error}", ENDED), False


def _read_setup(text: str) -> str:
    missing = missing_package(text)
    what = f"no index has a package '{missing}' that fits" if missing else "its environment could not be set up"
    return f"{what}; the last that was said:\n{textwrap.indent(last_lines(text), '  ')}"


def _read_memory(slot: str, text: str) -> Loss:
    used = {name: float(amount) for name, amount in _WORKER.findall(text)}
    node = _NODE.search(text)
    own = used.get(f"{SLOT_TASK}{slot}")
    if own is None or node is None:
        return Loss(f"Ray ended it for lack of memory: {text[:300]}", MEMORY)
    reason = f"Ray ended it for lack of memory: {node[1]} of {node[2]} GB were used on its node, {own:g} GB by it"
    heavy = own >= max(used.values()) and own >= HEAVY * float(node[2])
    return Loss(reason, MEMORY, used=round(own * _GB), heavy=heavy)


def _read_node(text: str, nodes: Callable[[], list[dict[str, Any]]]) -> Loss:
    dead = next((node for node in nodes() if str(node.get("NodeID")) in text), {})
    address = dead.get("NodeManagerAddress", "unknown")
    if dead.get("DeathReason") == _DRAIN_PREEMPTED:
        return Loss(f"its node ({address}) was preempted", PREEMPTED)
    return Loss(f"its node ({address}) is gone", NODE)
