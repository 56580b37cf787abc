"""Names of runs and actions, as types that cannot be mixed up."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NewType

from flyte_ray.errors import InvalidDeclaration

RunId = NewType("RunId", str)
ActionId = NewType("ActionId", str)
AttemptNumber = NewType("AttemptNumber", int)
"""Counts the attempts of an action from 0."""

ROOT_ACTION: Final = ActionId("a0")
"""The action that a run starts with."""

MAX_RUN_NAME: Final = 63
_RUN_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

_QUALITIES: Final = (
    *("amber", "able", "brave", "brisk", "calm", "clear", "crisp", "deft"),
    *("eager", "early", "fair", "fleet", "fresh", "glad", "grand", "green"),
    *("happy", "keen", "kind", "light", "lively", "lucid", "mild", "neat"),
    *("noble", "proud", "quick", "quiet", "rapid", "ready", "sunny", "warm"),
)
_ANIMALS: Final = (
    *("badger", "bat", "bear", "bee", "crane", "crow", "deer", "dove"),
    *("eagle", "falcon", "finch", "fox", "gecko", "hare", "heron", "ibis"),
    *("jay", "kite", "lark", "lynx", "mole", "moth", "newt", "otter"),
    *("owl", "puffin", "raven", "robin", "seal", "swan", "tern", "wren"),
)
_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz0"


def validate_run_name(name: str) -> RunId:
    """Check a run's name.

    Args:
        name: Lower-case letters, digits and inner hyphens, at most 63 characters: it becomes part of object keys.

    Returns:
        The name as `RunId`.

    Raises:
        InvalidDeclaration: The name has another form.

    """
    if isinstance(name, str) and len(name) <= MAX_RUN_NAME and _RUN_NAME.fullmatch(name):
        return RunId(name)
    raise InvalidDeclaration(
        f"A run's name must be 1 to {MAX_RUN_NAME} characters of a-z, 0-9 and '-', with no hyphen at either end, "
        f"got {name!r}. Write for example 'nightly-2026-01-31'."
    )


def choose_run_name(given: str | None, random: Callable[[int], bytes]) -> RunId:
    """Return the name that a new run was given, or make one up; see `validate_run_name` and `make_run_name`."""
    return make_run_name(random) if given is None else validate_run_name(given)


def make_run_name(random: Callable[[int], bytes]) -> RunId:
    """Make a short name to read aloud, with 50 random bits.

    Args:
        random: Gives that many random bytes, such as `os.urandom`.

    Returns:
        A name such as `brisk-otter-k3x9m2p4`.

    """
    bits = random(10)
    tail = "".join(_ALPHABET[byte % 32] for byte in bits[2:])
    return RunId(f"{_QUALITIES[bits[0] % 32]}-{_ANIMALS[bits[1] % 32]}-{tail}")
