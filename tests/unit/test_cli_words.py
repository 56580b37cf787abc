"""Words behind the file go to the task if it has such a parameter, otherwise to us."""

from __future__ import annotations

from typing import Any

import pytest

from flyte_ray.cli.running import submit
from flyte_ray.cli.words import split_at_task, split_words
from flyte_ray.spec.interface import build_interface


def task(name: str, max_depth: int = 0, detach: bool = False) -> None: ...


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", ([], None, [])),
        ("f --x 1", ([], "f", ["--x", "1"])),
        ("--local --root r f -v", (["--local", "--root", "r"], "f", ["-v"])),
        ("--root=r -ojson -o json f", (["--root=r", "-ojson", "-o", "json"], "f", [])),
        ("--root", (["--root"], None, [])),
    ],
)
def test_the_first_word_that_belongs_to_no_option_is_the_task(words: str, found: Any) -> None:
    assert split_at_task(submit, words.split()) == found


@pytest.mark.parametrize(
    ("words", "ours", "theirs"),
    [
        ("--name a --root b", "--root b", "--name a"),
        ("--name=a --root=b -v", "--root=b -v", "--name=a"),
        ("--max-depth 3 --max_depth -3", "", "--max-depth 3 --max_depth -3"),
        ("--detach --local --no-detach", "--local", "--detach --no-detach"),
        ("--name -v -v", "-v", "--name -v"),
        ("-ojson --unknown x", "-ojson", "--unknown x"),
        ("--no-name a", "", "--no-name a"),
    ],
)
def test_behind_the_task_its_parameters_win(words: str, ours: str, theirs: str) -> None:
    assert split_words(submit, build_interface(task), words.split()) == (ours.split(), theirs.split())
