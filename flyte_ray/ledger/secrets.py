"""Keep secrets in the root, encrypted with a key that is not there.

Invariants: the store holds ciphertext alone (AES-256-GCM, a fresh nonce each, the name as associated data, so that one
cannot be put in another's place); a name says nothing of its value, not even how long it is beyond a rounding.
Where the key comes from is not known here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flyte_ray.errors import InvalidDeclaration, ObjectMissing
from flyte_ray.ledger.paths import SECRETS, secret_key
from flyte_ray.spec.nearest import did_you_mean
from flyte_ray.spec.secret import named
from flyte_ray.storage import Store

MAX_BYTES: Final = 64 * 1024
"""Of one secret, and of all of a run: Ray keeps larger messages in its object store, which may be on disk."""
_NAME: Final = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_NONCE_BYTES: Final = 12
_PAD: Final = 64


@dataclass(frozen=True)
class SecretRecord:
    """What is known of a secret that the root keeps."""

    name: str
    """`key`, or `group/key`."""
    at_us: int
    by: str


def put_secret(
    store: Store, name: str, value: bytes, key: bytes, *, random: Callable[[int], bytes], at_us: int, by: str
) -> None:
    """Keep a secret, in the place of an earlier one of its name.

    Args:
        store: Where.
        name: `key`, or `group/key`.
        value: What nobody else may read.
        key: Encrypts it; any bytes that cannot be guessed.
        random: Gives bytes that never come twice.
        at_us: Now.
        by: Who.

    Raises:
        InvalidDeclaration: The name cannot be one, or the value is empty or too large.

    """
    if not _NAME.fullmatch(name):
        raise InvalidDeclaration(
            f"The name of a secret must be KEY or GROUP/KEY of letters, digits, '.', '_' and '-', got {name!r}."
            f" Correct it."
        )
    named(name)
    if not 0 < len(value) <= MAX_BYTES:
        raise InvalidDeclaration(
            f"A secret must have 1 to {MAX_BYTES} bytes, got {len(value)} for {name!r}. Keep what is larger in a file"
            f" of your own, and its key as the secret."
        )
    nonce = random(_NONCE_BYTES)
    padded = len(value).to_bytes(4, "big") + value
    padded += bytes(-len(padded) % _PAD)
    sealed = nonce + _cipher(key).encrypt(nonce, padded, name.encode())
    body = {"name": name, "sealed": base64.b64encode(sealed).decode(), "key": key_id(key), "at_us": at_us, "by": by}
    store.put(secret_key(name), json.dumps(body).encode())


def read_secret(store: Store, name: str, key: bytes | None) -> bytes | None:
    """Return a secret; None if the root keeps none of this name.

    Raises:
        InvalidDeclaration: It is kept under another key, or was changed.

    """
    from cryptography.exceptions import InvalidTag  # half a tenth of a second; few processes need it

    body = _load(store, secret_key(name))
    if body is None:
        return None
    if key is None or body["key"] != key_id(key):
        has = f"has key {key_id(key)}" if key else "has none"
        raise InvalidDeclaration(
            f"Secret {name!r} of {store.uri} must be read with the key {body['key']} that it was kept with, and this"
            f" process {has}. Set FLYTE_RAY_SECRETS_KEY, or FLYTE_RAY_SECRETS_KEY_FILE, to that of {body['by']}."
        )
    sealed = base64.b64decode(body["sealed"])
    try:
        padded: bytes = _cipher(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
    except InvalidTag:
        raise InvalidDeclaration(
            f"Secret {name!r} of {store.uri} was changed since it was kept. Create it again, and find out who can write"
            f" to the root."
        ) from None
    return padded[4 : 4 + int.from_bytes(padded[:4], "big")]


def list_secrets(store: Store) -> list[SecretRecord]:
    """Return what the root keeps, by name; never values."""
    bodies = (_load(store, key) for key in store.keys(SECRETS))
    return sorted(
        (SecretRecord(body["name"], body["at_us"], body["by"]) for body in bodies if body is not None),
        key=lambda each: each.name,
    )


def delete_secret(store: Store, name: str) -> SecretRecord:
    """Delete a secret.

    Raises:
        ObjectMissing: There is none of this name.

    """
    known = {each.name: each for each in list_secrets(store)}
    if name not in known:
        hint = did_you_mean(name, known, "'flyte-ray get secret' lists them.")
        raise ObjectMissing(f"{store.uri}/{SECRETS}", f"Expected the name of a kept secret, got {name!r}. {hint}")
    store.delete([secret_key(name)])
    return known[name]


def key_id(key: bytes) -> str:
    """Name a key without telling anything of it."""
    return hashlib.sha256(b"flyte-ray secrets key id\0" + key).hexdigest()[:16]


def _cipher(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # see read_secret

    return AESGCM(hashlib.sha256(b"flyte-ray secrets\0" + key).digest())


def _load(store: Store, key: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(store.get(key))
    except ObjectMissing:
        return None
    return found
