"""Give an app its secrets, from where it runs: nobody who deployed it is there when a replica is started again.

Looked at are the variables of the process, a `.env` file, a folder and the root, see `runtime/secret_sources.py`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from flyte_ray.apps.environment import AppEnvironment
from flyte_ray.errors import DeploymentError
from flyte_ray.runtime import redaction
from flyte_ray.runtime.given_secrets import given
from flyte_ray.runtime.pump import stand_before
from flyte_ray.runtime.secret_sources import find_secrets, why_missing
from flyte_ray.spec.secret import SECRETS_VAR, Secret, load_secrets, secrets_from
from flyte_ray.storage import Store

_given = contextlib.ExitStack()


def give_replica(app: str, store: Store) -> None:
    """Give this process, for as long as it lives, the secrets that its app's environment names.

    Raises:
        DeploymentError: One is missing on this node.

    """
    secrets = load_secrets(os.environ.get(SECRETS_VAR))
    if not secrets:
        return
    values = _find(app, secrets, store)
    redaction.hold(values)
    stand_before((1, 2))
    _redact_records()
    _given.enter_context(given(secrets, values))


@contextlib.contextmanager
def confidentially() -> Iterator[None]:
    """Raise nothing in which a secret of this process shows: Serve keeps and tells why a replica fails.

    Raises:
        DeploymentError: In the place of such an error.

    """
    try:
        yield
    except Exception as error:  # of the user's code
        text = "".join(traceback.format_exception(error))
        if redaction.redact_cut(text) == text:
            raise
        raise DeploymentError(redaction.redact_cut(f"{type(error).__name__}: {error}")) from None


def _redact_records() -> None:
    """Have what is logged hold no secret: Serve writes to files of its own, of what a request met, too."""
    make, formatter = logging.getLogRecordFactory(), logging.Formatter()

    def make_redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            said = record.getMessage()
        except Exception:  # of its arguments; who writes it says so
            return record
        if (told := redaction.redact_cut(said)) != said:
            record.msg, record.args = told, ()
        if record.exc_info and record.exc_info[0]:
            record.exc_text = redaction.redact_cut(formatter.formatException(record.exc_info))
        return record

    logging.setLogRecordFactory(make_redacted)


def own_variables(env: AppEnvironment, store: Store) -> Mapping[str, str]:
    """Return the variables that hold the secrets of an app that this process serves.

    Raises:
        DeploymentError: One is missing here.

    """
    secrets = secrets_from(env.secrets)
    values = _find(env.name, secrets, store) if secrets else {}
    return {
        secret.as_env_var: values[secret.name].decode("utf-8", "surrogateescape").removesuffix("\n")
        for secret in secrets
        if secret.as_env_var
    }


def _find(app: str, secrets: tuple[Secret, ...], store: Store) -> dict[str, bytes]:
    values, missing = find_secrets(secrets, store)
    if missing:
        raise DeploymentError(f"{why_missing(f'App {app!r}', missing[0])}, where it runs")
    return values
