"""Find the values of secrets in the process that starts or continues a run, or in what does so on its behalf.

Looked at are, in this order: this process's variables, a `.env` file, a folder with a file per secret, and the root,
which keeps them encrypted. Invariant: no value stands in anything that is logged or raised.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from flyte_ray.errors import InvalidDeclaration, StoreError
from flyte_ray.ledger.secrets import MAX_BYTES, read_secret
from flyte_ray.runtime.keys import secrets_key
from flyte_ray.spec.secret import MOUNT_PATH, Secret
from flyte_ray.storage import Store

ENV_FILE_VAR: Final = "FLYTE_RAY_ENV_FILE"
FOLDER_VAR: Final = "FLYTE_RAY_SECRETS_DIR"
_ASSIGNMENT: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


class Missing(NamedTuple):
    """A secret that was found nowhere."""

    secret: Secret
    looked: str
    """Where it was looked for."""


def find_secrets(wanted: Iterable[Secret], store: Store) -> tuple[dict[str, bytes], list[Missing]]:
    """Find secrets.

    Args:
        wanted: Which.
        store: The root.

    Returns:
        The values by `Secret.name`, and what is missing.

    Raises:
        InvalidDeclaration: A file cannot be read, or a kept secret not with the key that this process has.
        StoreError: The root cannot be read.

    """
    found: dict[str, bytes] = {}
    missing: list[Missing] = []
    file = _read_env_file()
    for secret in wanted:
        value = found.get(secret.name) or _find(secret, file, store)
        if value is None:
            missing.append(Missing(secret, _places(secret, store)))
        else:
            found[secret.name] = value
    total = sum(map(len, found.values()))
    if total > MAX_BYTES:
        raise InvalidDeclaration(
            f"The secrets of a run may have {MAX_BYTES} bytes together, got {total}. Keep what is large in a file of"
            f" your own, and its key as the secret."
        )
    return found, missing


def why_missing(whose: str, missing: Missing) -> str:
    """Say which secret was found nowhere, in one sentence."""
    secret = missing.secret
    return (
        f"{whose} asks for the secret '{secret.name}', which was not found in {missing.looked}."
        f" Set {secret.variables[0]}, or keep it: flyte-ray create secret {secret.name}"
    )


def _find(secret: Secret, file: dict[str, str], store: Store) -> bytes | None:
    for variables in (os.environ, file):
        for name in secret.variables:
            if variables.get(name):
                return variables[name].encode("utf-8", "surrogateescape")
    path = _folder() / secret.name
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        pass
    except OSError as error:
        raise InvalidDeclaration(
            f"Secret '{secret.name}' lies in {path}, which cannot be read ({error.strerror}). Correct its mode."
        ) from error
    try:
        return read_secret(store, secret.name, secrets_key())
    except StoreError as error:
        raise StoreError(f"Secret '{secret.name}' is looked for in the root: {error}") from error


def _places(secret: Secret, store: Store) -> str:
    variables = " and ".join(secret.variables)
    return (
        f"the variables {variables} of this process, in {_env_file()}, in {_folder() / secret.name}, nor among those"
        f" that {store.uri} keeps"
    )


def _folder() -> Path:
    return Path(os.environ.get(FOLDER_VAR) or MOUNT_PATH)


def _env_file() -> Path:
    return Path(os.path.expanduser(os.environ.get(ENV_FILE_VAR) or os.path.join(os.getcwd(), ".env")))


def _read_env_file() -> dict[str, str]:
    path = _env_file()
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        if os.environ.get(ENV_FILE_VAR):
            raise InvalidDeclaration(f"{ENV_FILE_VAR} must name a file, got {str(path)!r}. Correct it.") from error
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDeclaration(f"{path} holds secrets and cannot be read: {type(error).__name__}.") from error
    return parse_env(text, str(path))


def parse_env(text: str, name: str) -> dict[str, str]:
    r"""Read assignments, one a line: `NAME=value`, after `export` or not, the value between quotes or not.

    Between double quotes `\n`, `\"` and `\\` stand for what they do in most languages; a quoted value may have
    several lines. Nothing is expanded.

    Raises:
        InvalidDeclaration: A line is none; says its number, not what it holds.

    """
    found: dict[str, str] = {}
    lines = list(enumerate(text.splitlines(), 1))
    while lines:
        number, line = lines.pop(0)
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            raise InvalidDeclaration(f"Line {number} of {name} must be NAME=value, and is not. Correct it.")
        variable, value = match[1], match[2]
        quote = value[:1] if value[:1] in ("'", '"') else ""
        if not quote:
            found[variable] = re.sub(r"\s+#.*", "", value).strip()
            continue
        while (end := _closing(value, quote)) < 0:
            if not lines:
                raise InvalidDeclaration(f"Line {number} of {name} opens a {quote} that is not closed. Close it.")
            value += "\n" + lines.pop(0)[1]
        inner = value[1:end]
        found[variable] = _unescape(inner) if quote == '"' else inner
    return found


def _closing(value: str, quote: str) -> int:
    at = 1
    while at < len(value):
        if value[at] == "\\" and quote == '"':
            at += 1
        elif value[at] == quote:
            return at
        at += 1
    return -1


def _unescape(text: str) -> str:
    known = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}
    return re.sub(r"\\(.)", lambda match: known.get(match[1], match[0]), text)
