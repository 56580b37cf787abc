"""Run names and phases."""

from __future__ import annotations

import os

import pytest

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.ids import make_run_name, validate_run_name
from flyte_ray.spec.phase import ActionPhase


@pytest.mark.parametrize("name", ["a", "a0", "nightly-2026-01-31", "x" * 63])
def test_a_good_run_name_is_kept(name: str) -> None:
    assert validate_run_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a/b", "..", "a\n", "x" * 64, "é"])
def test_a_bad_run_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidDeclaration, match="run's name"):
        validate_run_name(name)


def test_made_names_are_valid_and_differ() -> None:
    names = {make_run_name(os.urandom) for _ in range(1000)}
    assert len(names) == 1000
    assert all(validate_run_name(name) == name for name in names)


def test_a_made_name_depends_on_the_random_bytes_alone() -> None:
    assert make_run_name(bytes) == make_run_name(bytes) == "amber-badger-22222222"


def test_phases_know_whether_they_are_terminal() -> None:
    terminal = {phase.value for phase in ActionPhase if phase.is_terminal}
    assert terminal == {"succeeded", "failed", "aborted", "timed_out", "recovered"}
    assert ActionPhase("paused") is ActionPhase.PAUSED
