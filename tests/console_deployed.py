"""Deployed tasks and triggers to be looked at in the console: a report in two versions, and when it is made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from click.testing import CliRunner

from flyte_ray.api.settings import current_store
from flyte_ray.cli.main import main

FIRST: Final = '''
import enum
from dataclasses import dataclass
from datetime import datetime

import flyte_ray as flyte

env = flyte.TaskEnvironment("reports")
TRIGGERS = [
    flyte.Trigger(
        "nightly", flyte.Cron("30 2 * * *", "Europe/Zurich"), "The report of the day before.",
        inputs={"day": flyte.TriggerTime, "city": "Bern"}, overlap="skip",
    ),
    flyte.Trigger.hourly("day", inputs={"city": "Basel"}, auto_activate=False),
    flyte.Trigger("by-hand", inputs={"day": datetime(2026, 1, 1), "city": "Chur"}),
]


class Form(enum.Enum):
    SHORT = "short"
    LONG = "long"


@dataclass
class Limits:
    low: float
    high: float = 1.0


@env.task(triggers=TRIGGERS)
def report(city: str, day: datetime, factor: float = 1.0) -> str:
    """Write what was sold in a city on a day."""
    return f"{city} {day:%Y-%m-%d} {factor}"


@env.task
def total(rows: int) -> int:
    return rows
'''
SECOND: Final = FIRST.replace(
    "factor: float = 1.0) -> str",
    "factor: float = 2.0, form: Form = Form.SHORT, limits: Limits | None = None, tags: list[str] = []) -> str",
).replace("{factor}", "{factor} {form.value} {limits and limits.high} {tags}")


def deploy(folder: Path) -> None:
    """Put both versions of the file on record, in the root that applies."""
    folder.mkdir(exist_ok=True)
    file = folder / "console_reports.py"
    for text in (FIRST, SECOND):
        file.write_text(text)
        sys.modules.pop(file.stem, None)
        done = CliRunner().invoke(main, ["deploy", "--root", current_store().uri, str(file)], prog_name="flyte-ray")
        assert done.exit_code == 0, done.output
