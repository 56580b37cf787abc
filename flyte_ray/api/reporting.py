"""Let a task's code report what people look at: `flyte.report`."""

from __future__ import annotations

import asyncio
import html
from datetime import datetime
from typing import Any, Final

from flyte_ray.api.both import BothOwn
from flyte_ray.runtime.context import current_action
from flyte_ray.runtime.report import MAIN, Report, Tab

MAX_FULL: Final = 20_000
"""Characters of a long value that can be unfolded."""


def current_report() -> Report:
    """Return the report of the attempt that calls this; outside of a task one that is kept nowhere.

    Source: `flyte.report.current_report`.
    """
    action = current_action.get()
    return action.report if action is not None else Report("outside of a task")


def get_tab(name: str, /, create_if_missing: bool = True) -> Tab:
    """Return a tab of the report of the attempt that calls this. Source: `flyte.report.get_tab`.

    Raises:
        ValueError: There is none of that name, and none shall be made.

    """
    return current_report().get_tab(name, create_if_missing)


def _flush() -> None:
    """Store the report as it is now; no effect outside of a task. Source: `flyte.report.flush`."""
    action = current_action.get()
    if action is not None:
        action.store_report()


async def _flush_later() -> None:
    await asyncio.to_thread(_flush)


def _log(content: Any, do_flush: bool = False) -> None:
    """Add HTML text, a figure, a data frame or what a notebook can show to the main tab. Source: `flyte.report.log`.

    Args:
        content: The text stands in the page as it is: escape what comes from elsewhere.
        do_flush: Store the report at once, and not only at the end of the attempt.

    Raises:
        TypeError: It is something else.

    """
    get_tab(MAIN).log(content)
    if do_flush:
        _flush()


async def _log_later(content: Any, do_flush: bool = False) -> None:
    get_tab(MAIN).log(content)
    if do_flush:
        await _flush_later()


def _replace(content: Any, do_flush: bool = False) -> None:
    """Have the main tab hold this and nothing else; see `log`. Source: `flyte.report.replace`."""
    get_tab(MAIN).replace(content)
    if do_flush:
        _flush()


async def _replace_later(content: Any, do_flush: bool = False) -> None:
    get_tab(MAIN).replace(content)
    if do_flush:
        await _flush_later()


log: Final = BothOwn(_log, _log_later)
replace: Final = BothOwn(_replace, _replace_later)
flush: Final = BothOwn(_flush, _flush_later)


def abbreviate(value: Any, limit: int = 300) -> str:
    """Return a value's text, escaped; what is longer than `limit` characters can be unfolded.

    Source: `flyte.report.abbreviate`.
    """
    text = "" if value is None else str(value)
    if len(text) <= limit:
        return html.escape(text)
    rest = f"\n... (+{len(text) - MAX_FULL} more, truncated)" if len(text) > MAX_FULL else ""
    return (
        f"<details><summary>{html.escape(text[:limit])}... (+{len(text) - limit})</summary>"
        f"<pre>{html.escape(text[:MAX_FULL])}{rest}</pre></details>"
    )


def duration_ms(start_iso: Any, end_iso: Any) -> str:
    """Return the time between two moments in ISO 8601 as `12 ms`, empty where one is missing or is none.

    Source: `flyte.report.duration_ms`.
    """
    try:
        start, end = (datetime.fromisoformat(str(moment).replace("Z", "+00:00")) for moment in (start_iso, end_iso))
        return f"{(end - start).total_seconds() * 1000:.0f} ms"
    except (TypeError, ValueError):
        return ""


class Timeline:
    """Writes rows in the order of time into a tab. Source: `flyte.report.Timeline`."""

    def __init__(self, tab_name: str = MAIN) -> None:
        """Write into a tab of the report of whatever attempt calls."""
        self._tab_name = tab_name

    def heading(self, text: Any) -> None:
        """Add a heading."""
        get_tab(self._tab_name).log(f"<h3>{html.escape(str(text))}</h3>")

    def row(self, *, icon: str = "•", label: Any = "", meta: str = "", detail: str = "", error: Any = None) -> None:
        """Add a row.

        Args:
            icon: Stands before it.
            label: What happened, in bold.
            meta: Said in grey, such as how long it took.
            detail: HTML, for example of `abbreviate`.
            error: What went wrong, in red.

        """
        parts = [
            f"{icon} <b>{html.escape(str(label))}</b>",
            f'<span style="opacity:.55">{html.escape(meta)}</span>' if meta else "",
            f"— {detail}" if detail else "",
            f'<span style="color:#d33">{abbreviate(error, 200)}</span>' if error else "",
        ]
        get_tab(self._tab_name).log(f"<div>{' '.join(part for part in parts if part)}</div>")
