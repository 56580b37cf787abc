"""Say from the record how often a task was executed."""

from __future__ import annotations

from flyte_ray.api.run import Run
from flyte_ray.api.task import TaskTemplate


def executions(run: Run, task: TaskTemplate | None = None) -> dict[str, int]:
    """Count how often each action of a run was executed, by action name: 0 if it was recovered or came from the cache.

    Args:
        run: The run.
        task: Count the actions of this task alone.

    """
    name = task.name if task is not None else None
    return {item.id: item.attempts for item in run.state().actions.values() if name in (None, item.task_name)}


def assert_not_executed_again(run: Run, task: TaskTemplate | None = None, *, times: int = 1) -> None:
    """Fail unless each action, of a task if one is given, was executed at most once.

    Args:
        run: A run that was resumed, retried or has recovered another one.
        task: Look at the actions of this task alone.
        times: 0 for what has to come from an earlier run or the cache.

    Raises:
        AssertionError: One was executed more often, or the run has no such action.

    """
    counts = executions(run, task)
    what = f"task '{task.name}'" if task is not None else "any task"
    if not counts:
        raise AssertionError(f"Run {run.name} should have an action of {what}, but has none.")
    more = {action: count for action, count in counts.items() if count > times}
    if more:
        told = ", ".join(f"{action} {count} times" for action, count in sorted(more.items())[:5])
        raise AssertionError(
            f"Actions of {what} should be executed at most {times} times in run {run.name}, but: {told}."
        )
