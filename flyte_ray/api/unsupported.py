"""Say, in a sentence, what Flyte 2 has and we do not: nothing that is written is silently without effect."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any, Final

from flyte_ray.errors import InvalidDeclaration, UnsupportedError

_log = logging.getLogger("flyte_ray")
_told: set[tuple[str, str]] = set()

_REMEDIES: Final = {
    "pod_template": "Ray places processes, not pods: say what is needed with resources, image and env_vars",
    "service_account": "A process has the rights of the cluster's nodes: give them to the node type of cluster.yaml",
    "plugin_config": "Plug-ins change how Flyte runs a task; here every task runs on Ray: leave it out",
    "cluster": "An app is served by the Ray cluster that flyte.init(address=...) names: leave it out",
    "task_resolver": "Tasks are found by module and name: leave it out",
    "produces_artifacts": "There is no registry of artifacts: return the value, and find it by its run's name",
    "dry_run": "'flyte-ray submit --dry-run' shows what would be run",
    "copy_bundle_to": "'flyte-ray submit --dry-run' lists the files of the bundle",
    "debug": "Run the task with mode='local': its first slot is the calling thread, where debuggers work",
    "tracked": "Every run is on record, local ones too: leave it out",
    "tracked_strict": "Every run is on record, local ones too: leave it out",
    "triggers": "Give them to @env.task, or make one for a deployed task: 'flyte-ray create trigger'",
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


def ignore_foreign(owner: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    """Accept settings that steer Flyte's control plane, with one warning for each in this process.

    Args:
        owner: Who was given them, as the sentence begins: `flyte.init`.
        given: Settings by name; those that are None or False pass without a word.
        known: Names that Flyte has there.

    Raises:
        TypeError: One is not known.

    """
    for name, value in given.items():
        if name not in known:
            raise TypeError(f"{owner} has no setting '{name}'. 'help({owner})' lists those it has.")
        if value is not None and value is not False and (owner, name) not in _told:
            _told.add((owner, name))
            _log.warning("%s: '%s' has no effect here. Leave it out.", owner, name)


def check_concurrency(count: Any) -> None:
    """Refuse a `max_action_concurrency` that Flyte refuses: there, parents would wait for children for ever."""
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0 or count == 1):
        raise InvalidDeclaration(
            f"max_action_concurrency must be 0 (no limit) or at least 2, got {count!r}. Bound a fan-out with"
            f" flyte.map(..., concurrency={count!r})."
        )


def check_texts(name: str, value: Any) -> None:
    """Refuse what is no dict of text by text; `name` is the setting's."""
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be a dict of str to str, got {type(value).__name__}. Write {name}={{'a': 'b'}}.")
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"{name} must map str to str, got {key!r}: {text!r:.80}. Write the value as text.")
