"""Every kind of value goes into a task, on to a child, and comes back as what it was."""

from __future__ import annotations

from pathlib import Path

import pytest

import flyte_ray as flyte
from tests.type_matrix import CASES, check


@pytest.mark.filterwarnings("ignore:Values of type")
@pytest.mark.parametrize("name", CASES)
def test_a_value_goes_through_a_task_and_its_child_and_comes_back(name: str, tmp_path: Path) -> None:
    flyte.init(root=tmp_path)
    check(name, mode="local")
