"""Refuse, in a sentence, what Flyte 2 has and we do not: nothing that is written is silently without effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flyte_ray.errors import UnsupportedError

_REMEDIES: Final = {
    "pod_template": "Ray places processes, not pods: say what is needed with resources, image and env_vars",
    "service_account": "A process has the rights of the cluster's nodes: give them to the node type of cluster.yaml",
    "plugin_config": "Plug-ins change how Flyte runs a task; here every task runs on Ray: leave it out",
    "task_resolver": "Tasks are found by module and name: leave it out",
    "produces_artifacts": "There is no registry of artifacts: return the value, and find it by its run's name",
    "triggers": "Nothing starts runs by the clock yet: call 'flyte-ray submit' from cron",
}


def refuse_unsupported(owner: str, given: Mapping[str, Any]) -> None:
    """Raise for the first setting that has a value.

    Args:
        owner: Who was given it, as the sentence begins: `Task 'env.f'`.
        given: Settings by name; None, False and empty ones pass.

    Raises:
        UnsupportedError: One has a value.

    """
    for name, value in given.items():
        if value:
            raise UnsupportedError(f"{owner} cannot have '{name}', got {value!r:.80}. {_REMEDIES[name]}.")
