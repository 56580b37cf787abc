"""Whether an outcome may be taken from an earlier run, and the version under which it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, Protocol, runtime_checkable

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.body import read_body

_BEHAVIORS: Final = {
    "auto": "auto",
    "enable": "auto",
    "enabled": "auto",
    "on": "auto",
    "true": "auto",
    "yes": "auto",
    "override": "override",
    "disable": "disable",
    "off": "disable",
    "false": "disable",
    "no": "disable",
    "none": "disable",
}


@dataclass(frozen=True)
class VersionParameters:
    """What a cache version may depend on."""

    func: Callable[..., Any]
    image: Any = None
    code_bundle: Any = None
    """Digest of the code bundle, or `None`."""


@runtime_checkable
class CachePolicy(Protocol):
    """Computes a part of the automatic cache version."""

    def get_version(self, salt: str, params: VersionParameters) -> str:
        """Give a text that changes when a kept outcome must no longer be used."""
        ...


@dataclass(frozen=True)
class FunctionBodyPolicy:
    """A version that follows what the function does, and the project's functions that it calls.

    Comments, white space and decorators do not count, nor do installed packages, nor whether its module was imported or
    run as a script. Of the function's module the compiled code counts, because a script travels without its source; of
    others the syntax tree, if their source can be read.
    """

    def get_version(self, salt: str, params: VersionParameters) -> str:
        """Give the hex sha256 of the function's body and `salt`."""
        return hashlib.sha256((read_body(params.func).digest + salt).encode()).hexdigest()


@dataclass(frozen=True)
class Cache:
    """How outcomes of a task are kept and used again, over runs.

    Raises:
        InvalidDeclaration: `behavior` is unknown, `override` lacks its version, or `max_age` is negative.
        TypeError: `max_age` is a bool or no duration, or an ignored input no name.

    Source: `flyte.Cache`.

    """

    behavior: Literal["auto", "override", "disable"]
    """`auto` computes the version, `override` uses `version_override`, `disable` neither reads nor writes."""
    version_override: str | None = None
    serialize: bool = False
    """Let equal actions at the same time wait for the first."""
    ignored_inputs: tuple[str, ...] | str = ()
    """Parameters that do not count; afterwards always a tuple."""
    salt: str = ""
    policies: Any = None
    """One `CachePolicy`, a list of them, or `None` for `FunctionBodyPolicy`; afterwards always a tuple."""
    max_age: timedelta | int | None = None
    """Longest age of a kept outcome; seconds or timedelta; `None` and 0: no limit."""

    def __post_init__(self) -> None:
        """Check and bring into one form."""
        known = _BEHAVIORS.get(self.behavior.lower()) if isinstance(self.behavior, str) else None
        if known is None:
            raise InvalidDeclaration(
                f"Cache.behavior must be 'auto', 'override' or 'disable', got {self.behavior!r}. "
                f"Write Cache('auto') to compute the version from the code."
            )
        object.__setattr__(self, "behavior", known)
        if known == "override" and not self.version_override:
            raise InvalidDeclaration(
                f"Cache.version_override must be a text with behavior 'override', got {self.version_override!r}. "
                f"Write Cache('override', version_override='1')."
            )
        ignored = (self.ignored_inputs,) if isinstance(self.ignored_inputs, str) else tuple(self.ignored_inputs)
        if not all(isinstance(name, str) for name in ignored):
            raise TypeError(f"Cache.ignored_inputs must be parameter names, got {ignored!r}. Write ('verbose',).")
        object.__setattr__(self, "ignored_inputs", ignored)
        object.__setattr__(self, "policies", self._policies())
        self._check_max_age()

    def _policies(self) -> tuple[CachePolicy, ...]:
        if self.policies is None:
            return (FunctionBodyPolicy(),)
        many = isinstance(self.policies, Sequence) and not isinstance(self.policies, str)
        policies = tuple(self.policies) if many else (self.policies,)
        for policy in policies:
            if not isinstance(policy, CachePolicy):
                raise TypeError(f"Cache.policies must have get_version(salt, params), got {policy!r}. Add the method.")
        return policies or (FunctionBodyPolicy(),)

    def _check_max_age(self) -> None:
        if self.max_age is None:
            return
        if isinstance(self.max_age, bool) or not isinstance(self.max_age, (int, timedelta)):
            raise TypeError(f"Cache.max_age must be seconds or a timedelta, got {self.max_age!r}. Write 3600.")
        age_s = self.max_age.total_seconds() if isinstance(self.max_age, timedelta) else self.max_age
        if age_s < 0:
            raise InvalidDeclaration(f"Cache.max_age must not be negative, got {self.max_age!r}. Write 0 for no limit.")

    @property
    def is_enabled(self) -> bool:
        """Whether outcomes are looked up and kept."""
        return self.behavior != "disable"

    @property
    def max_age_s(self) -> float | None:
        """Longest age in seconds; `None`: no limit."""
        age = self.max_age
        return (age.total_seconds() if isinstance(age, timedelta) else float(age or 0)) or None

    def get_version(self, params: VersionParameters | None = None) -> str | None:
        """Compute the version under which outcomes are kept.

        Args:
            params: What an automatic version depends on; not needed with `version_override`.

        Returns:
            `version_override` if there is one, else the hex sha256 over all policies; `None` if disabled.

        Raises:
            InvalidDeclaration: The version is automatic and `params` is missing.

        """
        if not self.is_enabled:
            return None
        if self.version_override:
            return self.version_override
        if params is None:
            raise InvalidDeclaration("An automatic cache version needs the function, got none. Set version_override.")
        joined = "".join(policy.get_version(self.salt, params) for policy in self.policies)
        return hashlib.sha256(joined.encode()).hexdigest()


CacheRequest = Literal["auto", "override", "disable"] | Cache


def cache_from(request: CacheRequest) -> Cache:
    """Read `cache=` in either form; raises `InvalidDeclaration` for an unknown word."""
    return request if isinstance(request, Cache) else Cache(request)
