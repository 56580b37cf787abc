"""What makes HTML of values, under the name that Flyte has for it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Renderable(Protocol):
    """Makes HTML of a value, to be given to `flyte.report.log`. Source: `flyte.types.Renderable`."""

    def to_html(self, python_value: Any) -> str:
        """Return the HTML."""
