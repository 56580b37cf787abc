"""The page of the command line is the one that the commands write."""

from __future__ import annotations

from pathlib import Path

from flyte_ray.cli.reference import write_reference

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"


def test_the_page_says_what_the_commands_say() -> None:
    assert PAGE.read_text() == write_reference(), "python -m flyte_ray.cli.reference > docs/cli.md"
