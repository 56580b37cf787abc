"""What this package and the code of tasks log is told once, and kept with the action that logged it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.runtime.logs import levels, set_levels

env = flyte.TaskEnvironment("logs")


@env.task
def speaks() -> None:
    flyte.logger.debug("too much")
    flyte.logger.info("of use")
    flyte.system_logger.info("of ours")


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Iterator[None]:
    flyte.init(root=tmp_path)
    before = levels()
    yield
    set_levels(*before)


@contextmanager
def handled_by(*handlers: logging.Handler) -> Iterator[None]:
    """Let only these hear all records of the process; pytest has set up some."""
    root = logging.getLogger()
    before, root.handlers = root.handlers, list(handlers)
    try:
        yield
    finally:
        root.handlers = before


def test_a_task_logs_from_info_on_into_what_is_kept_of_its_action() -> None:
    with handled_by():
        run = flyte.run(speaks)
    assert list(run.get_logs()) == ["INFO flyte_ray.user: of use\n"]


def test_levels_are_set_by_name_in_any_case_and_travel_with_the_run(tmp_path: Path) -> None:
    flyte.init(root=tmp_path, log_level="info", user_log_level=logging.DEBUG)
    with handled_by():
        run = flyte.with_runcontext(name="levels").run(speaks)
    assert json.loads((tmp_path / "runs" / "levels" / "spec.json").read_text())["log_levels"] == [20, 10]
    assert [line.split(" ", 1)[0] for line in run.get_logs()] == ["DEBUG", "INFO", "INFO"]


def test_a_program_that_has_set_up_logging_is_left_alone() -> None:
    stream = io.StringIO()
    with handled_by(logging.StreamHandler(stream)):
        run = flyte.run(speaks)
    assert list(run.get_logs()) == []
    assert stream.getvalue() == "of use\n"


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown level: 'LOUD'"):
        flyte.init(user_log_level="loud")
