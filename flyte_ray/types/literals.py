"""Flyte's functions for its own messages, kept by name: nothing is stored as such here, and each says what to use."""

from __future__ import annotations

from typing import Any, NoReturn

from flyte_ray.errors import UnsupportedError


def guess_interface(interface: Any, default_inputs: Any = None) -> NoReturn:
    """Refuse: it makes an interface of a message of Flyte's. Source: `flyte.types.guess_interface`.

    Raises:
        UnsupportedError: Always.

    """
    raise UnsupportedError(
        f"guess_interface reads a message of Flyte's, got {type(interface).__name__}; there are none here. A task's"
        f" interface is task.interface, and task.json_schema describes its inputs."
    )


def literal_string_repr(lm: Any) -> NoReturn:
    """Refuse: it writes messages of Flyte's as text. Source: `flyte.types.literal_string_repr`.

    Raises:
        UnsupportedError: Always.

    """
    raise UnsupportedError(
        f"literal_string_repr reads messages of Flyte's, got {type(lm).__name__}; there are none here. Print what"
        f" Run.inputs() and Run.outputs() return."
    )
