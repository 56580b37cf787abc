"""Find a user's keys: the one that pickles are signed with, in a task that of its run; and the one of kept secrets.

Invariants: the key's file is its owner's alone, is made once however many processes ask at a time, and lies in the
user's home, whatever the root is; nothing that is logged or raised holds the secret.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.runtime.context import current_action
from flyte_ray.types.signing import Key, Pickling

KEY_VAR: Final = "FLYTE_RAY_KEY"
POLICY_VAR: Final = "FLYTE_RAY_PICKLES"
KEY_FILE: Final = "~/.flyte-ray/key"
SECRETS_KEY_VAR: Final = "FLYTE_RAY_SECRETS_KEY"
SECRETS_KEY_FILE_VAR: Final = "FLYTE_RAY_SECRETS_KEY_FILE"
SECRETS_KEY_FILE: Final = "~/.flyte-ray/secrets-key"
_POLICIES: Final = ("sign", "refuse", "accept_unsigned")


def own_pickling(policy: str | None = None, *, make: bool = False) -> Pickling:
    """Return how the code that runs here pickles.

    Args:
        policy: `sign`, `refuse` or `accept_unsigned`; None for `FLYTE_RAY_PICKLES`, else `sign`.
        make: Make a key if the user has none.

    Raises:
        InvalidDeclaration: There is no such policy, `FLYTE_RAY_KEY` is no key, or others can read the key's file.

    """
    chosen = policy or os.environ.get(POLICY_VAR) or "sign"
    if chosen not in _POLICIES:
        raise InvalidDeclaration(
            f"{'pickles' if policy else POLICY_VAR} must be one of {', '.join(map(repr, _POLICIES))}, got {chosen!r}."
            f" Leave it out to have pickles signed."
        )
    action = current_action.get()
    if action is not None:
        return action.controller.blobs.pickling.under(chosen)
    if chosen == "refuse":
        return Pickling(is_off=True)
    key, lacks = _find_key(make=make)
    return Pickling(key, lacks, accept_unsigned=chosen == "accept_unsigned")


def _find_key(*, make: bool) -> tuple[Key | None, str]:
    """Return the user's key, or None and why there is none."""
    text = os.environ.get(KEY_VAR)
    if text:
        return Key(text.strip().encode()), ""
    path = Path(os.path.expanduser(KEY_FILE))
    try:
        if make:
            with contextlib.suppress(FileExistsError):
                _make(path)
        return Key(_read(path)), ""
    except FileNotFoundError:
        return None, "has no key"
    except OSError as error:
        return None, f"has no key, because {path} cannot be {'made or ' if make else ''}read ({error.strerror})"


def secrets_key(*, make: bool = False) -> bytes | None:
    """Return the key of the secrets that a root keeps: another one than that of pickles, which every slot knows.

    Args:
        make: Make one if the user has none.

    Raises:
        InvalidDeclaration: It can be guessed, or others can read its file.

    """
    text = os.environ.get(SECRETS_KEY_VAR)
    if text:
        return Key(text.strip().encode(), "kept secrets are encrypted").secret
    path = Path(os.path.expanduser(os.environ.get(SECRETS_KEY_FILE_VAR) or SECRETS_KEY_FILE))
    try:
        if make:
            with contextlib.suppress(FileExistsError):
                _make(path)
        return Key(_read(path, "kept secrets are encrypted"), "kept secrets are encrypted").secret
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise InvalidDeclaration(f"The key of kept secrets cannot be read: {error}. Correct its owner.") from error


def _read(path: Path, use: str = "your pickles are signed") -> bytes:
    with path.open("rb") as file:
        about = os.fstat(file.fileno())
        if about.st_mode & 0o077 or about.st_uid != os.geteuid():
            raise InvalidDeclaration(
                f"{path} holds the key that {use} with, and should be yours alone, got owner"
                f" {about.st_uid} and mode {about.st_mode & 0o777:03o}. If nobody has read it: chmod 600 {path}; else"
                f" remove it, and a new one is made."
            )
        return file.read().strip()


def _make(path: Path) -> None:
    """Make the key's file; raises FileExistsError where another process was first."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, own = tempfile.mkstemp(dir=path.parent, prefix=".key-")  # of mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        os.link(own, path)  # who reads it finds a whole one
    finally:
        os.unlink(own)
