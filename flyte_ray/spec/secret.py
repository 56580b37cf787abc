"""Secrets that a task asks for, by name; their values are never part of a declaration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flyte_ray.errors import InvalidDeclaration

MOUNT_PATH: Final = Path("/etc/flyte/secrets")
"""The only place where a secret may be mounted as a file."""
SECRETS_VAR: Final = "FLYTE_RAY_SECRETS"
"""Variable that tells a slot's process which secrets its environment asks for: their names alone."""
_ENV_VAR: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
_UNFIT: Final = re.compile(r"[/\\\x00-\x1f\x7f]|\A\.{1,2}\Z")
"""What may not stand in a part of a name, which is a part of a path, too."""


@dataclass(frozen=True)
class Secret:
    """A secret by its key.

    Raises:
        InvalidDeclaration: `as_env_var` is not an upper-case name, or `mount` another path than `/etc/flyte/secrets`.

    Source: `flyte.Secret`.

    """

    key: str
    group: str | None = None
    mount: Path | None = None
    as_env_var: str | None = None
    """Variable that holds the value; by default `GROUP_KEY` or `KEY` in upper case with `_` for `-`."""

    def __post_init__(self) -> None:
        """Check names and fill in the variable."""
        if not isinstance(self.key, str) or not self.key:
            raise InvalidDeclaration(f"Secret.key must be a name, got {self.key!r}. Write Secret('key').")
        for field, part in (("key", self.key), ("group", self.group or "")):
            if _UNFIT.search(part):
                raise InvalidDeclaration(
                    f"Secret.{field} must be a name without slashes and control characters, got {part!r}. Correct it."
                )
        if self.mount is not None:
            object.__setattr__(self, "mount", Path(self.mount))
            if self.mount != MOUNT_PATH:
                raise InvalidDeclaration(
                    f"Secret.mount must be {str(MOUNT_PATH)!r}, got {str(self.mount)!r}. Use as_env_var in its place."
                )
        if self.as_env_var is None:
            if self.mount is None:
                parts = [self.group, self.key] if self.group else [self.key]
                name = "_".join(part.replace("-", "_").upper() for part in parts if part)
                object.__setattr__(self, "as_env_var", name)
        elif not _ENV_VAR.fullmatch(self.as_env_var):
            raise InvalidDeclaration(
                f"Secret.as_env_var must match [A-Z_][A-Z0-9_]*, got {self.as_env_var!r}. "
                f"Write it in upper case, such as 'API_KEY'."
            )

    @property
    def name(self) -> str:
        """How people call it: `key`, or `group/key`."""
        return f"{self.group}/{self.key}" if self.group else self.key

    @property
    def variables(self) -> list[str]:
        """The variables that may hold it where it comes from: its own, and the one of its name."""
        parts = [self.group, self.key] if self.group else [self.key]
        usual = re.sub(r"[^A-Z0-9_]", "_", "_".join(parts).upper())
        return list(dict.fromkeys([self.as_env_var or usual, usual]))


SecretRequest = str | Secret | list[str | Secret]


def secrets_from(request: SecretRequest | None) -> tuple[Secret, ...]:
    """Read a request in any of its forms.

    Args:
        request: A key, a `Secret`, a list of them, or `None`.

    Returns:
        The secrets in the order given.

    Raises:
        TypeError: An entry is neither a key nor a `Secret`.

    """
    if request is None:
        return ()
    entries = list(request) if isinstance(request, (list, tuple)) else [request]
    secrets = []
    for entry in entries:
        if isinstance(entry, str):
            secrets.append(Secret(entry))
        elif isinstance(entry, Secret):
            secrets.append(entry)
        else:
            raise TypeError(
                f"secrets must be a key, a Secret or a list of them, got {type(entry).__name__}. Write Secret('key')."
            )
    return tuple(secrets)


def named(text: str) -> Secret:
    """Return the secret that people call so: `key`, or `group/key`."""
    group, _, key = text.rpartition("/")
    return Secret(key, group or None)


def dump_secrets(secrets: Iterable[Secret]) -> str:
    """Write what `SECRETS_VAR` holds."""
    rows = sorted({(each.key, each.group or "", each.mount is not None, each.as_env_var or "") for each in secrets})
    return json.dumps(rows, separators=(",", ":"))


def load_secrets(text: str | None) -> tuple[Secret, ...]:
    """Read what `dump_secrets` has written; nothing is none."""
    rows: Sequence[tuple[str, str, bool, str]] = json.loads(text) if text else []
    return tuple(
        Secret(key, group or None, MOUNT_PATH if mounted else None, variable or None)
        for key, group, mounted, variable in rows
    )
