"""Give the code that runs here its secrets, as variables and files, for as long as it needs them.

Invariants: files have mode 0600 and are gone when the last who was given them has ended (one that is killed leaves
them to the next); a file that another holds with another value is not touched; what is given is looked for in all that
leaves this process (`redaction.py`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from flyte_ray.errors import RuntimeUserError
from flyte_ray.runtime.redaction import holding
from flyte_ray.runtime.variables import variables
from flyte_ray.spec.secret import MOUNT_PATH, Secret, dump_secrets

NOT_GIVEN: Final = "SecretNotGiven"
"""Code of the failure of what could not be given its secrets."""
_TRIES: Final = 20
_PAUSE_S: Final = 0.005


class Asked(NamedTuple):
    """What a run is given."""

    secrets: tuple[Secret, ...] = ()
    """How each is wanted."""
    values: dict[str, bytes] = {}  # noqa: RUF012  # never changed
    """By `Secret.name`."""

    @property
    def record(self) -> str | None:
        """What the run's specification says of it: names, and how each is wanted."""
        return dump_secrets(self.secrets) if self.secrets else None


NOTHING_ASKED: Final = Asked()


@contextmanager
def given(secrets: Sequence[Secret], values: Mapping[str, bytes]) -> Iterator[None]:
    """Set variables and write files while this is open.

    Args:
        secrets: How each is wanted; those that have no value here are left out.
        values: By `Secret.name`.

    Raises:
        RuntimeUserError: A value cannot be a variable, or a file cannot be written on this node.

    """
    here = [secret for secret in secrets if secret.name in values]
    texts = {secret.as_env_var: _text(secret, values[secret.name]) for secret in here if secret.as_env_var is not None}
    with contextlib.ExitStack() as stack:
        stack.enter_context(holding({secret.name: values[secret.name] for secret in here}))
        for secret in here:
            if secret.mount is not None:
                stack.enter_context(_file(secret, values[secret.name]))
        stack.enter_context(variables(texts))
        yield


def _text(secret: Secret, value: bytes) -> str:
    text = value.decode("utf-8", "surrogateescape").removesuffix("\n")
    if "\0" in text:
        raise RuntimeUserError(
            NOT_GIVEN,
            f"Secret '{secret.name}' must be text to be given as the variable {secret.as_env_var}, and holds a zero"
            f" byte. Ask for it as a file: Secret({secret.key!r}, mount={str(MOUNT_PATH)!r}).",
        )
    return text


@contextmanager
def _file(secret: Secret, value: bytes) -> Iterator[None]:
    path = MOUNT_PATH / secret.name
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock: int | None = _lock(path)
    except OSError as error:
        lock = None
        if _read(path) != value:
            raise RuntimeUserError(
                NOT_GIVEN,
                f"Secret '{secret.name}' must be written to {path} on this node, which does not work"
                f" ({error.strerror}). Make {MOUNT_PATH} a folder that Ray's user may write to, or ask for a variable:"
                f" as_env_var=...",
            ) from error
    if lock is None:  # the node's owner has put it there, for all of its processes
        yield
        return
    try:
        _fill(lock, secret, path, value)
        yield
    finally:
        with contextlib.suppress(BlockingIOError, FileNotFoundError):  # somebody else still has it
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        os.close(lock)


def _lock(path: Path) -> int:
    """Open what everybody locks who has the file from us; it says that the file is ours, and stays."""
    name = path.with_name(f".{path.name}.lock")
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    if path.exists() and not name.exists():
        raise FileExistsError(errno.EEXIST, "there is a file that is not ours", os.fspath(path))
    return os.open(name, flags | os.O_CREAT, 0o600)


def _fill(lock: int, secret: Secret, path: Path, value: bytes) -> None:
    """Write the value, or find it there; each who needs it holds a shared lock, which goes with its process."""
    found: bytes | None = None
    for number in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(value)
        fcntl.flock(lock, fcntl.LOCK_SH)  # who writes or removes it lets go in a moment
        found = _read(path)
        if found is not None:
            break
        time.sleep(number * _PAUSE_S)  # who was just leaving has removed it; others may have waited for that, too
    if found != value:
        raise RuntimeUserError(
            NOT_GIVEN,
            f"Secret '{secret.name}' must be written to {path} on this node, where another run has it with another"
            f" value at the moment. Try again later, or ask for a variable: as_env_var=...",
        )


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
