"""Secrets that a task asks for, by name; their values are never part of a declaration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flyte_ray.errors import InvalidDeclaration

MOUNT_PATH: Final = Path("/etc/flyte/secrets")
"""The only place where a secret may be mounted as a file."""
_ENV_VAR: Final = re.compile(r"[A-Z_][A-Z0-9_]*")


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
