"""What `submit` prints of a run's outputs."""

from __future__ import annotations

import sys

import pytest

from flyte_ray.cli.following import LINES_SHOWN, show_value


def test_an_output_is_whole_for_programs_and_cut_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    value = [f"a rather long line of text, number {number}" for number in range(100)]
    assert show_value(value, "r") == repr(value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    lines = show_value(value, "r").splitlines()
    assert len(lines) == LINES_SHOWN + 1
    assert lines[-1].startswith("... 82 more lines; all of it: flyte-ray get io r")
    assert show_value(3, "r") == "3"
