"""Find the secrets that a run asks for, in the process that starts or continues it, before anything is stored.

Asked for by the task's own environment, by those that it depends on, and by those of the tasks that its code names;
what else the project declares is found if it can be.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from flyte_ray.api.reachable import find_environments, needed_environments
from flyte_ray.cluster.options import secrets_in
from flyte_ray.errors import InvalidDeclaration
from flyte_ray.ledger.messages import TaskRef
from flyte_ray.runtime.deployed import DeployedTask
from flyte_ray.runtime.given_secrets import NOTHING_ASKED, Asked
from flyte_ray.runtime.redaction import holding, refuse, too_short
from flyte_ray.runtime.secret_sources import find_secrets, why_missing
from flyte_ray.spec.secret import Secret, load_secrets, secrets_from
from flyte_ray.spec.task import TaskSpec
from flyte_ray.storage import Store

_log: Final = logging.getLogger("flyte_ray")


def asked_by(task: TaskSpec, store: Store) -> Asked:
    """Find the secrets that a task and what it calls ask for.

    Raises:
        InvalidDeclaration: One is found nowhere; names the environment, the secret, and where it was looked for.

    """
    if isinstance(task, DeployedTask):
        options = json.loads(task.ref.options) if task.ref else {}
        needed = dict.fromkeys(secrets_in(options), task.environment.name)
        return _find(needed, needed, store)
    declared = {
        secret: environment.name
        for environment in find_environments(task)
        for secret in secrets_from(environment.secrets)
    }
    if not declared:
        return NOTHING_ASKED
    needed = {
        secret: environment.name
        for environment in needed_environments(task)
        for secret in secrets_from(environment.secrets)
    }
    return _find({**declared, **needed}, needed, store)


def asked_again(
    name: str, spec: Mapping[str, Any], refs: Iterable[TaskRef], store: Store, task: TaskSpec | None = None
) -> Asked:
    """Find the secrets of a run anew that goes on, or starts again, here.

    Args:
        name: The run's.
        spec: How it was started.
        refs: Tasks on its record.
        store: Its root.
        task: Its root's task as this process has imported it, if it has.

    Raises:
        InvalidDeclaration: One is found nowhere.

    """
    fresh = asked_by(task, store) if task is not None else NOTHING_ASKED
    recorded = {*load_secrets(spec.get("secrets"))}
    recorded |= {secret for ref in refs for secret in secrets_in(json.loads(ref.options or "{}"))}
    needed = dict.fromkeys(recorded - {*fresh.secrets}, name)
    more = _find(needed, needed, store, "Run")
    return Asked((*fresh.secrets, *more.secrets), {**fresh.values, **more.values})


def ensure_unseen(asked: Asked, **said: str | None) -> None:
    """Raise `InvalidDeclaration` if a secret stands in what is recorded of a run.

    Args:
        asked: The run's secrets.
        said: What is recorded, by what it is.

    """
    with holding(asked.values):
        for what, text in said.items():
            try:
                refuse(text, f"a run's {what.replace('_', ' ')}")
            except RuntimeError as error:
                raise InvalidDeclaration(str(error)) from None


def _find(
    wanted: Mapping[Secret, str], needed: Mapping[Secret, str], store: Store, whose: str = "Environment"
) -> Asked:
    if not wanted:
        return NOTHING_ASKED
    values, missing = find_secrets(wanted, store)
    for each in missing:
        if each.secret in needed:
            raise InvalidDeclaration(why_missing(f"{whose} '{needed[each.secret]}'", each))
    for name in too_short(values):
        _log.warning("secret '%s' is too short to be found in what is printed and recorded: it may show there", name)
    return Asked(tuple(secret for secret in wanted if secret.name in values), values)
