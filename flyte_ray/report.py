"""What a task shows to people: `import flyte_ray.report`; mirrors `flyte.report`."""

from __future__ import annotations

from flyte_ray.api.reporting import (
    Timeline,
    abbreviate,
    current_report,
    duration_ms,
    flush,
    get_tab,
    log,
    replace,
)
from flyte_ray.runtime.report import Report

__all__ = [
    "Report",
    "Timeline",
    "abbreviate",
    "current_report",
    "duration_ms",
    "flush",
    "get_tab",
    "log",
    "replace",
]
