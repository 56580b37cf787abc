"""What docs/deploy.md and docs/triggers.md show runs as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.test_readme import TOP, run_python

DOCS = (TOP / "docs" / "deploy.md").read_text()
TRIGGERS = (TOP / "docs" / "triggers.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for program in blocks(DOCS + TRIGGERS, "python"):
        (tmp_path / program.split()[1]).write_text(program)
    return tmp_path


def test_the_programs_and_commands_of_the_page_run(folder: Path) -> None:
    deploying, running = blocks(DOCS, "console")
    said = [run_command(line, folder) for line in deploying.splitlines()]
    assert "Nothing was deployed: this is the plan." in said[0]
    assert "Deployed 2 of 2 tasks." in said[1]
    assert "prices.quote" in said[2] and "first" in said[3]
    assert run_python(["prices.py"], folder).count(": unchanged\n") == 2
    assert run_python(["shop.py"], folder) == "(156.0,)\n3.0\n"
    said = [run_command(line, folder) for line in running.splitlines()]
    assert "stock.count" in said[0] and "succeeded" in said[1] and "Say what something costs." in said[2]


def run_command(line: str, folder: Path) -> str:
    return run_python(["-m", "flyte_ray.cli.main", *shlex.split(line.removeprefix("$ flyte-ray "))], folder)


def test_the_program_and_commands_of_the_page_on_triggers_run(folder: Path) -> None:
    (console,) = blocks(TRIGGERS, "console")
    deployed, listed, made, switched, planned, filled, deleted = [
        run_command(line, folder) for line in console.splitlines()
    ]
    assert "Trigger reports.report/nightly is new, and active." in deployed
    assert "CRON_TZ=Europe/Zurich 30 2 * * *" in listed
    assert "is created and is active" in made and "is changed and is active" in switched
    assert planned.count(" nightly-") == filled.count("succeeded") == 3
    assert "nightly-d22e87-20260329t010000" in planned
    assert deleted == "Deleted trigger reports.report/weekly.\n"
    assert run_python(["reports.py"], folder).endswith(": unchanged\nChur\n")
