"""Write values as a notebook shows them: by their own HTML where they have some, else as text."""

from __future__ import annotations

import html
import json
from pprint import pformat
from typing import Any, Final

from flyte_ray.api.task import TaskTemplate
from flyte_ray.api.values import outputs_of
from flyte_ray.ledger.state import RunState
from flyte_ray.runtime.blobs import RunBlobs
from flyte_ray.runtime.rendering import framed, render
from flyte_ray.types.place import Blobs
from flyte_ray.types.previews import Stored, preview
from flyte_ray.types.references import is_located

MOST_BYTES: Final = 32 << 20
"""Largest output that is loaded to be shown."""
MOST_ROWS: Final = 500_000
CUT: Final = 4_000
"""Characters of a text that are shown."""
_TEXTS: Final = (str, bytes, int, float, list, tuple, dict, set, frozenset, type(None))


class Page(str):
    """A page of HTML that a task has reported; a notebook shows it in a frame, without the notebook's own rights."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        style = "width:100%;height:70vh;border:0;background:#fff"
        return f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(self)}" style="{style}"></iframe>'


def show_outputs(state: RunState, action: str, blobs: RunBlobs, task: TaskTemplate | None) -> dict[str, str]:
    """Return the HTML of an action's outputs by their names, `o0` and so on; empty if it returns nothing.

    Args:
        state: Its run, with values.
        action: One that has succeeded.
        blobs: The run's large values.
        task: Its task, for the types; see `outputs_of`.

    """
    item = state.actions[action]
    size, rows = _load_of(raw := json.loads(item.result or "null"), blobs)
    if size > MOST_BYTES or rows > MOST_ROWS:
        about = preview(Stored("o0", raw, blobs))
        kind = html.escape(about["type"] or about["kind"])
        amount = f"{rows:,} rows" if rows else f"{size / 2**20:,.0f} MiB"
        return {"o0": f"{kind} of {amount}, which <code>outputs()</code> loads"}
    values = outputs_of(state.id, state.tasks, item, blobs, task)
    return (
        {}
        if values[0] is None and len(values) == 1
        else {f"o{number}": show_value(value) for number, value in enumerate(values)}
    )


def _load_of(raw: Any, blobs: Blobs) -> tuple[int, int]:
    """Return how many bytes and rows are loaded with a value and all that it holds, as far as the record says."""
    stored = Stored("", raw, blobs)
    if stored.mark or stored.is_parquet:
        about = preview(stored)
        return about["size"] or 0, about["rows"] or 0
    if isinstance(stored.raw, dict):
        # A file or folder is loaded when it is opened.
        parts = [] if is_located(stored.raw) else list(stored.raw.values())
    else:
        parts = stored.raw if isinstance(stored.raw, list) else []
    loads = [_load_of(part, stored.blobs) for part in parts]
    return sum(size for size, _ in loads), sum(rows for _, rows in loads)


def show_value(value: Any) -> str:
    """Return a value's HTML."""
    if not isinstance(value, _TEXTS):
        try:
            shown = _plotly(value) or render(value)
        except TypeError:
            pass  # nothing but its text is known of it
        except Exception as error:  # what an object of the user's does to show itself may fail in any way
            return _text(f"{type(value).__name__}, whose HTML fails: {type(error).__name__}: {error}")
        else:
            return shown
    return _text(value if isinstance(value, str) else pformat(value, width=100, compact=True))


def _plotly(value: Any) -> str:
    """Return a figure of plotly as a page of its own, which loads its script, 4 MB, when it is seen; else nothing."""
    is_figure = type(value).__module__.startswith("plotly.") and hasattr(value, "to_html")
    return framed(value.to_html(include_plotlyjs="cdn")) if is_figure else ""


def _text(text: str) -> str:
    cut = f"{text[:CUT]} ... {len(text) - CUT:,} more characters" if len(text) > CUT else text
    return f"<pre>{html.escape(cut)}</pre>"
