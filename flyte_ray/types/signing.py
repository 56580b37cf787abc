"""Sign pickles with a secret key, because to load one is to execute what it says.

Invariants: nothing is handed to pickle before its digest was found to be right; a key's secret shows in no text, its id
may. Where keys come from is not known here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import Final, Literal

from flyte_ray.errors import InvalidDeclaration, PickleRefusedError
from flyte_ray.types.form import CannotStoreError

Policy = Literal["sign", "refuse", "accept_unsigned"]
"""What becomes of values that nothing but pickle stores."""
MIN_SECRET: Final = 16
"""Bytes of the shortest secret that is taken."""
_ID_DIGITS: Final = 16
_TEACH: Final = (
    "Register a transformer for it, TypeEngine.register(...) of flyte_ray.types (see docs/data.md, 'Types of your own')"
)


@dataclass(frozen=True)
class Key:
    """A secret that pickles are signed with."""

    secret: bytes = field(repr=False)
    use: InitVar[str] = "pickles are signed"
    """What else it is for, in the sentence that refuses it."""

    def __post_init__(self, use: str) -> None:
        """Refuse what can be guessed."""
        if len(self.secret) < MIN_SECRET:
            raise InvalidDeclaration(
                f"A key that {use} with should have at least {MIN_SECRET} bytes, got {len(self.secret)}."
                f" Make one, for example with 'openssl rand -hex 32'."
            )

    @cached_property
    def id(self) -> str:
        """A short digest that names the key and tells nothing of the secret."""
        return hashlib.sha256(b"flyte-ray key id\0" + self.secret).hexdigest()[:_ID_DIGITS]

    def digest(self, data: bytes) -> str:
        """Compute the keyed digest (HMAC-SHA256) of bytes."""
        return hmac.new(self.secret, data, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Pickling:
    """How a process pickles: with which key, or not at all."""

    key: Key | None = None
    lacks: str = "has no key"
    """Why there is no key; follows `this process`."""
    is_off: bool = False
    """Nothing is pickled, and no stored pickle is loaded."""
    accept_unsigned: bool = False
    """Pickles are loaded that versions of this package stored which did not sign them."""

    def under(self, policy: str | None) -> Pickling:
        """Return this as a run wants it, by its recorded policy."""
        return Pickling(self.key, self.lacks, self.is_off or policy == "refuse", self.accept_unsigned)

    @property
    def hindrance(self) -> str:
        """Why nothing can be pickled; empty if it can."""
        if self.is_off:
            return "pickles='refuse' turns that off"
        return "" if self.key else f"a pickle is signed, and this process {self.lacks}: set FLYTE_RAY_KEY"

    def require(self, kind: type, why: str = "") -> None:
        """Raise `CannotStoreError` unless a value can be pickled that has no other stored form, see `dump_pickle`."""
        if self.hindrance:
            which, advice = f"those of type {kind.__qualname__} can only be pickled", _TEACH
            if why:
                which, advice = f"this {kind.__qualname__} can only be pickled ({why})", "Make its columns plain"
            raise CannotStoreError(f"values must be storable, and {which}, but {self.hindrance}. {advice}.")

    def sign(self, data: bytes) -> str:
        """Return `<id of the key>:<keyed digest>`; there must be no `hindrance`."""
        assert self.key is not None, self.lacks
        return f"{self.key.id}:{self.key.digest(data)}"

    def pack(self, data: bytes) -> str:
        """Return a signed pickle as text."""
        return f"{self.sign(data)}:{base64.b64encode(data).decode()}"

    def unpack(self, text: str) -> bytes:
        """Return the pickle that `pack` was given.

        Raises:
            PickleRefusedError: It is not signed with this key.

        """
        signature, _, encoded = text.rpartition(":")
        self.ensure_loads(signature)
        try:
            data = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            data = b""  # which has another digest
        self.check(signature, data)
        return data

    def ensure_loads(self, signature: str) -> None:
        """Raise `PickleRefusedError` unless pickles are loaded that the owner of this signature's key has signed.

        Args:
            signature: What `sign` returned; empty for a pickle of a version that did not sign.

        """
        if self.is_off:
            raise PickleRefusedError(
                "A recorded value is a pickle, and pickles='refuse' (FLYTE_RAY_PICKLES) has none loaded. Leave that out"
                " to load those that were signed with your key."
            )
        signer = signature.partition(":")[0]
        if not signer:
            if not self.accept_unsigned:
                raise PickleRefusedError(
                    "A recorded value is a pickle without a signature, as earlier versions of flyte-ray wrote them, and"
                    " whoever can write to the root may have made it. If you trust all who can, load it with"
                    " pickles='accept_unsigned' (flyte.init) or FLYTE_RAY_PICKLES=accept_unsigned; else compute it"
                    " again."
                )
        elif self.key is None or signer != self.key.id:
            mine = f"has key {self.key.id}" if self.key else self.lacks
            raise PickleRefusedError(
                f"A recorded value is a pickle signed with key {signer}, and this process {mine}: to load it would"
                f" execute what another user has put there. If you trust that one, set FLYTE_RAY_KEY to that key (it is"
                f" the FLYTE_RAY_KEY, or in ~/.flyte-ray/key, of who started the run that made it); else compute it"
                f" again."
            )

    def check(self, signature: str, data: bytes) -> None:
        """Raise `PickleRefusedError` unless a pickle is what was signed; ask `ensure_loads` before."""
        signer, _, digest = signature.partition(":")
        if not signer:
            return
        assert self.key is not None, "asked before"
        if not hmac.compare_digest(self.key.digest(data).encode(), digest.encode()):
            raise PickleRefusedError(
                f"A recorded pickle that names your key {signer} is not what was signed with it: it was changed since."
                f" Compute the value again, and find out who can write to the root."
            )


def signer_of(held: object) -> str:
    """Return the id of the key that a stored pickle names; empty if it is not signed."""
    signature = str(held.get("signed", "")) if isinstance(held, dict) else str(held).rpartition(":")[0]
    return signature.partition(":")[0]
