"""Turn what a report is given into HTML: figures, data frames, and whatever a notebook can show.

Invariant: no library is imported that the value does not come from.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from typing import Any, Final

MAX_ROWS: Final = 100
"""Rows of a table that are shown: the first ones, or of pandas the first and the last."""
PLOTLY_SIGN: Final = "plotly-graph-div"
"""Stands in the HTML of what needs plotly's script in its page."""


def render(value: Any) -> str:
    """Return a value's HTML, to stand inside a page.

    Raises:
        TypeError: Nothing is known of how to show it.

    """
    if isinstance(value, str):
        return value
    library = type(value).__module__.partition(".")[0]
    figure = value if hasattr(value, "savefig") else getattr(value, "figure", None)
    if hasattr(figure, "savefig"):
        return _picture(figure)
    if library == "plotly" and hasattr(value, "to_html"):
        return str(value.to_html(full_html=False, include_plotlyjs=False))
    if library == "pandas" and hasattr(value, "memory_usage"):
        frame = value.to_frame() if hasattr(value, "to_frame") and value.ndim == 1 else value
        return str(frame.to_html(max_rows=MAX_ROWS, show_dimensions=True, border=0))
    if library == "pyarrow" and hasattr(value, "schema") and hasattr(value, "to_pylist"):
        head = value.slice(0, MAX_ROWS)
        rows = zip(*(column.to_pylist() for column in head.columns), strict=True)
        return _table(head.schema.names, rows, f"{value.num_rows:,} rows x {value.num_columns:,} columns")
    return _shown(value)


def _shown(value: Any) -> str:
    """Show a value as a notebook would."""
    for name in ("_repr_html_", "to_html"):
        show = getattr(value, name, None)
        text = show() if show is not None and not isinstance(value, type) else None
        if isinstance(text, str):
            return framed(text)
    for name in ("_repr_svg_", "_repr_png_"):
        show = getattr(value, name, None)
        picture = show() if show is not None and not isinstance(value, type) else None
        if picture:
            return picture if isinstance(picture, str) else _image(picture)
    raise TypeError(
        f"A report takes HTML text, a figure, a data frame or what a notebook can show, got {type(value).__name__}"
        f" {value!r:.80}. Write its HTML."
    )


def framed(text: str) -> str:
    """Put a whole page into a frame of its own."""
    if text.lstrip()[:15].lower().startswith(("<!doctype", "<html")):
        return f'<iframe srcdoc="{html.escape(text)}" style="width:100%;height:70vh;border:0"></iframe>'
    return text


def _picture(figure: Any) -> str:
    sink = io.BytesIO()
    figure.savefig(sink, format="png", bbox_inches="tight")
    return _image(sink.getvalue())


def _image(data: bytes) -> str:
    return f'<img style="max-width:100%" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def _table(names: Iterable[str], rows: Iterable[Iterable[Any]], about: str) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(str(value))}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{about}</p>"
