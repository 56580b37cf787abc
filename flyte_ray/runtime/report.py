"""The report of one attempt: tabs of HTML that its code fills, and the page that is stored.

Invariant: what is stored is a whole page at any time, which needs nothing from elsewhere.
"""

from __future__ import annotations

import html
import logging
import string
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flyte_ray.errors import ObjectMissing
from flyte_ray.runtime.context import current_action
from flyte_ray.runtime.rendering import PLOTLY_SIGN, render
from flyte_ray.storage import Store

MAIN: Final = "main"
"""The tab that is there from the beginning."""
MOST_NAMED: Final = 20
"""Actions that are named at most where one without a report was asked for."""
_log: Final = logging.getLogger("flyte_ray.runtime")
_PAGE: Final = string.Template("""<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .7rem; border-bottom: 1px solid #8884; text-align: left; }
input.tab { display: none; } label.tab { padding: .4rem 1rem; cursor: pointer; border-bottom: 3px solid transparent; }
input.tab:checked + label { border-color: #47c; } section { display: none; padding: 1rem 0; }
nav { border-bottom: 1px solid #8884; margin-bottom: .5rem; padding-bottom: .35rem; }
$shown
</style>$scripts</head><body>
<nav>$labels</nav>
$sections
</body></html>
""")


@dataclass
class Tab:
    """A part of a report. Source: `flyte.report.Tab`."""

    name: str
    content: list[str] = field(default_factory=list, init=False)

    def log(self, content: Any) -> None:
        """Add HTML text, a figure, a data frame or what a notebook can show.

        Raises:
            TypeError: It is something else.

        """
        self.content.append(render(content))

    def replace(self, content: Any) -> None:
        """Have it hold this and nothing else; see `log`."""
        self.content[:] = [render(content)]

    def get_html(self) -> str:
        """Return what it holds."""
        return "\n".join(self.content)


@dataclass
class Report:
    """What the code of an attempt reports. Source: `flyte.report.Report`."""

    name: str
    tabs: dict[str, Tab] = field(default_factory=dict)
    template_path: Path | None = None
    """A page of one's own, with `$NAV_HTML` and `$BODY_HTML` in it."""

    def __post_init__(self) -> None:
        """Have the main tab come first."""
        self.tabs = {MAIN: Tab(MAIN), **self.tabs}

    def has_content(self) -> bool:
        """Tell whether anything was logged."""
        return any(tab.content for tab in self.tabs.values())

    def get_tab(self, name: str, create_if_missing: bool = True) -> Tab:
        """Return a tab.

        Raises:
            ValueError: There is none of that name, and none shall be made.

        """
        if name not in self.tabs:
            if not create_if_missing:
                known = ", ".join(map(repr, self.tabs))
                raise ValueError(f"The report has the tabs {known}, got {name!r}. Leave create_if_missing out.")
            self.tabs[name] = Tab(name)
        return self.tabs[name]

    def get_final_report(self) -> str:
        """Return the page."""
        shown = [tab for tab in list(self.tabs.values()) if tab.content] or [self.tabs[MAIN]]
        bodies = [tab.get_html() for tab in shown]
        if self.template_path is not None:
            labels = "".join(f'<li onclick="handleLinkClick(this)">{html.escape(tab.name)}</li>' for tab in shown)
            sections = "".join(f"<div>{body}</div>" for body in bodies)
            return string.Template(self.template_path.read_text()).safe_substitute(NAV_HTML=labels, BODY_HTML=sections)
        numbers = range(len(shown))
        return _PAGE.substitute(
            title=html.escape(self.name),
            shown="\n".join(f"body:has(#tab{n}:checked) #body{n} {{ display: block; }}" for n in numbers),
            scripts=_scripts() if any(PLOTLY_SIGN in body for body in bodies) else "",
            labels="".join(
                f'<input class="tab" type="radio" name="tab" id="tab{n}"{" checked" if n == 0 else ""}>'
                f'<label class="tab" for="tab{n}">{html.escape(tab.name)}</label>'
                for n, tab in enumerate(shown)
            ),
            sections="\n".join(f'<section id="body{n}">{body}</section>' for n, body in enumerate(bodies)),
        )


def _scripts() -> str:
    """Return plotly's script, so that the page needs no network; who made the figure has imported plotly."""
    if "plotly" not in sys.modules:
        return ""
    from plotly.offline import get_plotlyjs  # see above

    return f"<script>{get_plotlyjs()}</script>"


def keep_report() -> None:
    """Store what the attempt that ends here has reported, if its task says that it reports."""
    action = current_action.get()
    if action is None or not action.has_report:
        return
    task = action.execution.known.task
    if task.report:
        action.store_report()
    elif not action.report_stored:
        _log.warning("task %s has reported, which is not kept: declare it with report=True", task.name)


def keep_report_of_failure() -> None:
    """Do the same for an attempt that fails, whose error must not be hidden by another."""
    try:
        keep_report()
    except Exception:
        _log.warning("the report of an attempt that failed could not be stored", exc_info=True)


def report_key(prefix: str, action: str, attempt: int) -> str:
    """Say where the report of an attempt lies below the place of its run's values."""
    return f"{reports_prefix(prefix, action)}/{attempt:08d}.html"


def reports_prefix(prefix: str, action: str) -> str:
    """Say below what the reports of an action lie."""
    return f"{prefix}/reports/{action}"


def list_reported(store: Store, prefix: str) -> list[str]:
    """Name the actions that have reports, sorted."""
    place = f"{prefix}/reports"
    return sorted({key.removeprefix(f"{place}/").partition("/")[0] for key in store.keys(place)})


def list_reports(store: Store, prefix: str, action: str) -> list[int]:
    """Return the numbers of an action's attempts that have reported."""
    keys = store.keys(reports_prefix(prefix, action))
    return sorted(int(key.rpartition("/")[2].removesuffix(".html")) for key in keys)


def read_report(store: Store, prefix: str, action: str, attempt: int | None) -> str:
    """Return the page of an attempt of an action, of the latest that has one unless a number is given.

    Raises:
        ObjectMissing: There is none.

    """
    keys = store.keys(reports_prefix(prefix, action))
    wanted = [key for key in keys if attempt is None or key == report_key(prefix, action, attempt)]
    if not wanted:
        whose = f"action {action}" if attempt is None else f"attempt {attempt} of action {action}"
        reported = [name for name in list_reported(store, prefix) if name != action]
        advice = (
            f"These actions have one: {', '.join(reported[:MOST_NAMED])}{', ...' * (len(reported) > MOST_NAMED)}"
            if reported
            else "A task reports with flyte.report.log(...) and is declared with report=True"
        )
        raise ObjectMissing(
            f"{store.uri}/{reports_prefix(prefix, action)}", f"There is no report of {whose}. {advice}."
        )
    return store.get(wanted[-1]).decode()
