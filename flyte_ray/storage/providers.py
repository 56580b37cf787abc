"""Say how a kind of store is reached: `S3`, `GCS`, `ABFS`, or what all have in common.

Invariants: a value knows the fsspec arguments of its own kind of store and of no other; secrets show in no repr.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flyte_ray.errors import InvalidDeclaration

if TYPE_CHECKING:
    from typing_extensions import Self

_ALIASES: Final = {"s3a": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs", "": "file", "local": "file"}
_DEFAULT_BACKOFF: Final = timedelta(seconds=5)
STORES: Final = frozenset({"s3", "gs", "abfs"})
"""Protocols of object stores, as `protocol_of` names them."""
ELSEWHERE: Final = STORES | {"http", "https"}
"""Protocols that never lead to this machine's disk; fsspec knows many by which one may, such as `local`."""
DEBUG: Final = "flyte_ray_debug"
"""Among a client's arguments: it is to log its requests."""
_log: Final = logging.getLogger("flyte_ray.store")
Options = Mapping[str, Mapping[str, Any]]
"""fsspec arguments by protocol."""


def protocol_of(uri: str) -> str:
    """Return the protocol of a URL, one name for each kind of store; `file` for a path."""
    name = uri.partition("://")[0].lower() if "://" in uri else "file"
    return _ALIASES.get(name, name)


@dataclass(frozen=True)
class Storage:
    """What holds for every kind of store. Source: `flyte.storage.Storage`."""

    retries: int = 3
    """How often a request that failed is sent again by the client, before we wait for the store."""
    backoff: timedelta = _DEFAULT_BACKOFF
    """Accepted; each client spaces its retries by itself, with growing pauses."""
    enable_debug: bool = False
    """Have the client log each request, to the standard error of whatever process makes it."""
    attach_execution_metadata: bool = True
    """Accepted; nothing is attached."""

    protocol: ClassVar[str | None] = None
    """The kind of store; None for all."""
    _variables: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, and say what has no effect."""
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise InvalidDeclaration(
                f"{type(self).__name__}: retries must be a number from 0, got {self.retries!r}. Leave it out for 3."
            )
        if self.backoff != _DEFAULT_BACKOFF:
            _log.warning("%s: 'backoff' has no effect here. Leave it out.", type(self).__name__)

    @classmethod
    def auto(cls) -> Self:
        """Read `FLYTE_STORAGE_RETRIES`, `FLYTE_STORAGE_DEBUG`, and the variables of the kind of store."""
        return cls(**cls._from_environment())

    @classmethod
    def _from_environment(cls) -> dict[str, Any]:
        found: dict[str, Any] = {
            name: os.environ[variable] for name, variable in cls._variables.items() if os.environ.get(variable)
        }
        retries, debug = os.environ.get("FLYTE_STORAGE_RETRIES"), os.environ.get("FLYTE_STORAGE_DEBUG")
        if retries:
            if not retries.isdecimal():
                raise InvalidDeclaration(f"FLYTE_STORAGE_RETRIES must be a number from 0, got {retries!r}.")
            found["retries"] = int(retries)
        if debug:
            found["enable_debug"] = debug.lower() not in ("0", "false", "no")
        return found

    def get_fsspec_kwargs(self, anonymous: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Return arguments for the fsspec file system of this kind of store.

        Args:
            anonymous: Send no credentials.
            kwargs: More arguments; they win.

        """
        return self._common(kwargs)

    def _common(self, given: dict[str, Any]) -> dict[str, Any]:
        return {DEBUG: True, **given} if self.enable_debug else given

    def options(self) -> Options:
        """Return the fsspec arguments by protocol."""
        return {} if self.protocol is None else {self.protocol: self.get_fsspec_kwargs()}


@dataclass(frozen=True)
class S3(Storage):
    """S3 and what speaks its language. What is not given here comes from the usual AWS variables and files.

    Source: `flyte.storage.S3`.
    """

    endpoint: str | None = None
    """URL of the server; None for AWS."""
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    region: str | None = None
    addressing_style: str | None = None
    """`path` or `virtual`."""

    protocol = "s3"
    _variables = {  # noqa: RUF012 - declared by the base
        "endpoint": "FLYTE_AWS_ENDPOINT",
        "access_key_id": "FLYTE_AWS_ACCESS_KEY_ID",
        "secret_access_key": "FLYTE_AWS_SECRET_ACCESS_KEY",
        "addressing_style": "FLYTE_AWS_S3_ADDRESSING_STYLE",
    }

    def __post_init__(self) -> None:
        """Refuse half a credential and a style that does not exist."""
        super().__post_init__()
        if (self.access_key_id is None) != (self.secret_access_key is None):
            given = "access_key_id" if self.access_key_id else "secret_access_key"
            raise InvalidDeclaration(f"S3 needs access_key_id and secret_access_key, got {given} alone. Give both.")
        if self.addressing_style not in (None, "auto", "path", "virtual"):
            raise InvalidDeclaration(
                f"S3: addressing_style must be 'path', 'virtual' or 'auto', got {self.addressing_style!r}."
            )

    @classmethod
    def auto(cls, region: str | None = None) -> Self:
        """Read from the `FLYTE_AWS_` variables."""
        found = cls._from_environment()
        return cls(**found, region=region)

    @classmethod
    def for_sandbox(cls) -> Self:
        """Reach the server of Flyte's sandbox on this machine."""
        return cls(endpoint="http://localhost:4566", access_key_id="minio", secret_access_key="miniostorage")

    def get_fsspec_kwargs(self, anonymous: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Return arguments for `s3fs.S3FileSystem`."""
        # The region stands here and not in `client_kwargs`, which s3fs would send with every new bucket.
        config: dict[str, Any] = {"retries": {"mode": "standard", "total_max_attempts": self.retries + 1}}
        if self.region:
            config["region_name"] = self.region
        if self.addressing_style:
            config["s3"] = {"addressing_style": self.addressing_style}
        found: dict[str, Any] = {"config_kwargs": config}
        if self.endpoint:
            found["endpoint_url"] = self.endpoint
        if anonymous:
            found["anon"] = True
        elif self.access_key_id:
            found |= {"key": self.access_key_id, "secret": self.secret_access_key}
        return self._common({**found, **kwargs})


@dataclass(frozen=True)
class GCS(Storage):
    """Google Cloud Storage, with the credentials that gcsfs finds. Source: `flyte.storage.GCS`."""

    protocol = "gs"

    def get_fsspec_kwargs(self, anonymous: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Return arguments for `gcsfs.GCSFileSystem`."""
        return self._common({**({"token": "anon"} if anonymous else {}), **kwargs})


@dataclass(frozen=True)
class ABFS(Storage):
    """Azure Blob Storage. Source: `flyte.storage.ABFS`."""

    account_name: str | None = None
    account_key: str | None = field(default=None, repr=False)
    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)

    protocol = "abfs"
    _variables = {  # noqa: RUF012 - declared by the base
        "account_name": "AZURE_STORAGE_ACCOUNT_NAME",
        "account_key": "AZURE_STORAGE_ACCOUNT_KEY",
        "tenant_id": "AZURE_TENANT_ID",
        "client_id": "AZURE_CLIENT_ID",
        "client_secret": "AZURE_CLIENT_SECRET",
    }

    def get_fsspec_kwargs(self, anonymous: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Return arguments for `adlfs.AzureBlobFileSystem`."""
        given = {name: getattr(self, name) for name in self._variables if getattr(self, name) is not None}
        if anonymous:
            given = {"account_name": self.account_name, "anon": True}
        return self._common({**given, **kwargs})


_KINDS: Final[Mapping[str, type[Storage]]] = {"s3": S3, "gs": GCS, "abfs": ABFS}


def options_of(storage: Storage | Mapping[str, Any] | None, uri: str) -> Options:
    """Return the fsspec arguments by protocol for a root, as far as they do not lie with the clients themselves.

    Args:
        storage: How the store is reached; a mapping is fsspec arguments for the root's kind of store, or for S3 where
            the root is a folder. None reads Flyte's variables.
        uri: The root.

    """
    if isinstance(storage, Storage):
        if storage.protocol is not None:
            return storage.options()
        found = {
            name: kind(retries=storage.retries, enable_debug=storage.enable_debug, **_extra(kind))
            for name, kind in _KINDS.items()
        }
        return {name: kind.get_fsspec_kwargs() for name, kind in found.items()}
    if storage:
        protocol = protocol_of(uri)
        return {"s3" if protocol == "file" else protocol: dict(storage)}
    return {name: kind.auto().get_fsspec_kwargs() for name, kind in _KINDS.items() if kind._from_environment()}


def _extra(kind: type[Storage]) -> dict[str, Any]:
    found = kind._from_environment()
    return {name: value for name, value in found.items() if name not in ("retries", "enable_debug")}
