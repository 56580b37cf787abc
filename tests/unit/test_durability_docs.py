"""docs/durability.md names tests: they exist."""

from __future__ import annotations

import re
from pathlib import Path

TOP = Path(__file__).parents[2]


def test_every_test_that_the_promises_name_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (TOP / "docs" / "durability.md").read_text()))
    there = {name for path in TOP.glob("tests/**/*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
    assert len(named) > 20 and not named - there, named - there


def test_what_a_user_gets_is_tried_on_a_real_ray() -> None:
    _, _, behind = (TOP / "docs" / "durability.md").read_text().partition("## The same on a real Ray")
    rows = [line for line in behind.partition("\n## ")[0].splitlines() if line.startswith("| ") and "`test_" in line]
    on_ray = "".join(path.read_text() for path in TOP.glob("tests/test_ray*.py"))
    named = [re.findall(r"`(test_\w+)`", row) for row in rows]
    assert len(named) == 12
    assert not [name for names in named for name in names if f"def {name}(" not in on_ray]
