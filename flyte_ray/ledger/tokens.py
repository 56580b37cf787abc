"""Keep the tokens that apps and the HTTP API ask for.

Invariants: the store holds the digest of a token, never the token; to compare takes the same time whatever is compared.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from flyte_ray.errors import InvalidDeclaration, ObjectMissing
from flyte_ray.ledger.paths import TOKENS, token_key
from flyte_ray.spec.nearest import did_you_mean
from flyte_ray.storage import Store

_PREFIX: Final = "frt"
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_SCOPE: Final = re.compile(r"api:(read|write)|app:(\*|[a-z0-9]+(-[a-z0-9]+)*)")


@dataclass(frozen=True)
class Token:
    """What is known of a token."""

    id: str
    name: str
    """For people."""
    scopes: tuple[str, ...]
    """`app:<name>` (`app:*` for all), `api:read`, `api:write`."""
    digest: str
    """SHA-256 of the secret part: it is long and random, so that nothing slower is needed."""
    at_us: int
    by: str

    def allows(self, scope: str) -> bool:
        """Whether it has a scope; who may write may read, too."""
        wider = {"api:read": "api:write"}.get(scope, f"{scope.partition(':')[0]}:*")
        return scope in self.scopes or wider in self.scopes


def create_token(
    store: Store, name: str, scopes: Collection[str], *, random: Callable[[int], bytes], at_us: int, by: str
) -> tuple[str, Token]:
    """Make a token and put it on record.

    Args:
        store: Where.
        name: For people.
        scopes: What it allows.
        random: Gives bytes that nobody can guess.
        at_us: Now.
        by: Who makes it.

    Returns:
        Its text, which nobody can find out later, and what is known of it.

    Raises:
        InvalidDeclaration: A scope that does not exist, or none.

    """
    if not scopes:
        raise InvalidDeclaration("A token must have a scope, got none. Give app:NAME, app:*, api:read or api:write.")
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise InvalidDeclaration(
                f"A scope must be app:NAME, app:*, api:read or api:write, got {scope!r}. Correct it."
            )
    key, secret = random(_ID_BYTES).hex(), random(_SECRET_BYTES).hex()
    token = Token(key, name, tuple(sorted(set(scopes))), _digest(secret), at_us, by)
    body = {"name": token.name, "scopes": token.scopes, "digest": token.digest, "at_us": at_us, "by": by}
    store.put_if_absent(token_key(key), json.dumps(body).encode())
    return f"{_PREFIX}_{key}_{secret}", token


def find_token(store: Store, text: str) -> Token | None:
    """Return the token that a text is; None if it is none."""
    key, secret = _split(text)
    token = _load(store, key) if key else None
    # Compared in any case, so that the time does not tell whether there is a token with this id.
    same = hmac.compare_digest(token.digest if token else _digest(""), _digest(secret))
    return token if same and token is not None else None


def list_tokens(store: Store) -> list[Token]:
    """Return all tokens, the newest first."""
    found = (_load(store, key.rpartition("/")[2].removesuffix(".json")) for key in store.keys(TOKENS))
    return sorted((token for token in found if token is not None), key=lambda token: -token.at_us)


def delete_token(store: Store, wanted: str) -> Token:
    """Delete the token with this id, or this name; its text is of no use from then on.

    Raises:
        ObjectMissing: There is none, or several have this name.

    """
    tokens = list_tokens(store)
    found = [token for token in tokens if token.id == wanted] or [token for token in tokens if token.name == wanted]
    if len(found) != 1:
        hint = did_you_mean(wanted, [token.name for token in tokens], "'flyte-ray get token' lists them.")
        raise ObjectMissing(
            f"{store.uri}/{TOKENS}",
            f"Expected the id or the name of one token, got {wanted!r}, which {len(found) or 'none'} of"
            f" {len(tokens)} have. {hint}",
        )
    store.delete([token_key(found[0].id)])
    return found[0]


def _load(store: Store, key: str) -> Token | None:
    try:
        body = json.loads(store.get(token_key(key)))
    except ObjectMissing:
        return None
    return Token(key, body["name"], tuple(body["scopes"]), body["digest"], body["at_us"], body["by"])


def _split(text: str) -> tuple[str, str]:
    prefix, _, rest = text.partition("_")
    key, _, secret = rest.partition("_")
    known = prefix == _PREFIX and re.fullmatch(rf"[0-9a-f]{{{2 * _ID_BYTES}}}", key)
    return (key, secret) if known else ("", secret)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
