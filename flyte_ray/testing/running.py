"""Run tasks in the process of a test, on a root of its own."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from flyte_ray.api.run import Run
from flyte_ray.api.runner import Runner
from flyte_ray.api.settings import current_store, settings
from flyte_ray.api.settings import init as initialize
from flyte_ray.api.task import TaskTemplate
from flyte_ray.ledger.faults import NO_FAULTS, Faults


def run_local(
    task: TaskTemplate, *args: Any, faults: Faults = NO_FAULTS, name: str | None = None, **inputs: Any
) -> Run:
    """Run a task in this process, without Ray, and return when it has ended.

    Args:
        task: The task.
        args: Its inputs, by position.
        faults: A `FaultPlan`.
        name: The run's name; one is made up.
        inputs: Its inputs, by name.

    Returns:
        The run, which may have failed: `run.outputs()` raises then. It is recorded where `init`, the fixture
        `root_of_test` or `temporary_root` says.

    """
    run: Run = Runner(mode="local", name=name, faults=faults).run(task, *args, **inputs)
    return run


@contextmanager
def temporary_root(folder: Path | None = None) -> Iterator[Path]:
    """Record runs in a folder of their own while this is open; settings are as before afterwards.

    Args:
        folder: The root; None makes one, which is removed afterwards.

    """
    before = dataclasses.replace(settings)
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flyte-ray-")))
        initialize(root=place)
        try:
            current_store()
            yield place
        finally:
            for field in dataclasses.fields(before):
                setattr(settings, field.name, getattr(before, field.name))
            initialize(before.root, before.address, before.storage, before.root_dir, pickles=before.pickles)
