"""Tasks whose values have no form but a pickle; also that of the tests on Ray."""

from __future__ import annotations

import os
import time
from typing import Any

import flyte_ray as flyte

env = flyte.TaskEnvironment("pickled")
other = flyte.TaskEnvironment("other", resources=flyte.Resources(cpu="500m"))
"""Runs in another process."""


class Thing:
    """Nothing knows how to store it."""

    def __init__(self, text: str) -> None:
        """Hold a text."""
        self.text = text


@env.task
def make(text: str) -> Thing:
    """Return what is pickled."""
    return Thing(text)


@other.task
def read(thing: Thing) -> tuple[str, str]:
    """Take what is pickled; return also what the process's variables say of a key."""
    return thing.text, os.environ.get("FLYTE_RAY_KEY", "")


@env.task
def both(text: str, marker: str = "") -> tuple[str, str]:
    """Pass a pickle on to another process, after a file was made if one is named."""
    thing = make(text)
    if marker:
        os.close(os.open(f"{marker}.waits", os.O_CREAT))
    while marker and not os.path.exists(marker):
        time.sleep(0.05)
    return read(thing)


@env.task
def give_back(value: Any) -> Any:
    """Return what it was given."""
    return value
