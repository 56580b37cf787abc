"""Start runs, new ones and earlier ones anew: `run`, `rerun`, `with_runcontext`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from flyte_ray.api.both import both_forms
from flyte_ray.api.environment import TaskTemplate
from flyte_ray.api.references import LazyEntity
from flyte_ray.api.remote_trigger import TriggerDetails
from flyte_ray.api.run import Run
from flyte_ray.api.runner import Mode, Runner
from flyte_ray.api.triggering import run_trigger
from flyte_ray.api.unsupported import ignore_foreign, refuse_unsupported
from flyte_ray.cluster.bundle import CopyStyle
from flyte_ray.spec.ids import ROOT_ACTION
from flyte_ray.spec.notification import Notification, notifications_from
from flyte_ray.types.signing import Policy

_REFUSED: Final = ("dry_run", "copy_bundle_to", "debug", "tracked", "tracked_strict")
_IGNORED: Final = (
    *("service_account", "version", "interactive_mode", "run_base_dir", "run_start_time", "project", "domain"),
    *("annotations", "log_level", "log_format", "user_log_level", "reset_root_logger"),
    *("cache_lookup_scope", "preserve_original_types"),
)
"""What Flyte's `with_runcontext` takes besides, and what we only accept so far."""


def _check_foreign(given: dict[str, Any]) -> None:
    refuse_unsupported("A run", {key: given.pop(key) for key in _REFUSED if key in given})
    ignore_foreign("flyte.with_runcontext", given, _IGNORED)


def with_runcontext(
    mode: Mode | None = None,
    *,
    name: str | None = None,
    env_vars: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    custom_context: dict[str, str] | None = None,
    raw_data_path: str | None = None,
    overwrite_cache: bool = False,
    disable_run_cache: bool = False,
    copy_style: CopyStyle = "loaded_modules",
    queue: str | None = None,
    max_action_concurrency: int | None = None,
    interruptible: bool | None = None,
    strict_replay: bool = False,
    notifications: Notification | tuple[Notification, ...] | None = None,
    pickles: Policy | None = None,
    **foreign: Any,
) -> Runner:
    """Return a runner with settings for its runs.

    Args:
        mode: `local` for this process, `remote` for a Ray cluster; None for the cluster if there is one.
        name: The run's name, unique in the root; None makes one up.
        env_vars: Variables of all its slots; they win over those of the environments.
        labels: Shown with the run.
        custom_context: What `flyte.ctx().custom_context` says in every action.
        raw_data_path: Folder or URL, reached by every node, for values that do not lie in the log; None: the run's.
        overwrite_cache: Compute what is cached again, and cache the new outcome.
        disable_run_cache: Neither read nor write the cache.
        copy_style: Which files of the project travel: `loaded_modules`, `all` or `none`.
        queue: The queue of its tasks that name none, see `flyte-ray create queue`: its limits hold for all runs.
        max_action_concurrency: How many of its actions run at a time, waiting parents left out: 0 (any) or at least 2.
        interruptible: Whether its tasks prefer spot nodes (label `ray.io/market-type=spot`); None: as each one says.
        strict_replay: An action that runs again and calls something else than is on record fails, with
            `NondeterminismError`; without it that is recorded and warned of. Its new calls wait until it has called
            what is on record, and async code may sleep or compute for 10 s between these. Ours, not Flyte's.
        notifications: Whom to tell how the run ended, from `flyte.notify`; what cannot be sent fails nothing.
        pickles: As of `flyte.init`, for these runs; None for what that says. Ours, not Flyte's.
        foreign: Flyte's other settings: those of its control plane are without effect, said once.

    Raises:
        UnsupportedError: A mode that does not exist, such as `hybrid`, or a setting that we cannot honour.
        InvalidDeclaration: A name or a concurrency of another form.
        TypeError: An unknown setting, or one of another type.

    Source: `flyte.with_runcontext`.

    """
    _check_foreign(foreign)
    return Runner(
        *(mode, name, env_vars or {}, labels or {}, custom_context or {}, raw_data_path),
        *(overwrite_cache, disable_run_cache, copy_style),
        strict_replay=strict_replay,
        notifications=notifications_from(notifications),
        pickles=pickles,
        queue=queue,
        interruptible=interruptible,
        max_action_concurrency=0 if max_action_concurrency is None else max_action_concurrency,
    )


@both_forms
def run(task: TaskTemplate | LazyEntity | TriggerDetails, *args: Any, **kwargs: Any) -> Run:
    """Run a task with all its descendants, with the settings of `init`.

    Args:
        task: Made with `@env.task`, or deployed: `flyte.remote.Task.get(...)`; or a trigger on record, whose run is
            started now: `flyte.remote.Trigger.get(...)`.
        args: Its arguments by position.
        kwargs: Its arguments by name.

    Returns:
        The run: ended in local mode, be it with a failure; under way on a cluster (`wait`, `outputs`).

    Raises:
        TypeError: `task` is no task, or an argument is not of its parameter's type; nothing is recorded then.
        StoreError: The root cannot be written.
        ClusterError: The cluster cannot be reached. Running again is safe after both: nothing has begun.

    Source: `flyte.run`.

    """
    if isinstance(task, TriggerDetails):
        return run_trigger(task.record, args, kwargs)
    started: Run = Runner().run(task, *args, **kwargs)
    return started


@both_forms
def rerun(
    run_name: str,
    action_name: str = ROOT_ACTION,
    recover: bool = False,
    force_rerun_actions: Sequence[str] | None = None,
    allow_missing_source_outputs: bool = False,
    **inputs: Any,
) -> Run:
    """Start a run anew, with its own code and inputs.

    Args:
        run_name: The earlier run; it stays as it is.
        action_name: The action to begin with, in place of the root: its task, with the inputs that it got.
        recover: Take over the outcomes of actions that succeeded, as RECOVERED: only what failed or never ran runs. The
            root always runs, because it calls the others. An action is the same in both runs if it was called from
            the same place with the same inputs. Where this process runs them with code that it has imported, only
            actions whose code has not changed since.
        force_rerun_actions: With `recover`: actions that run again although they succeeded, with those that called
            them; what they call is taken over unless it is named, too. Names that the run does not have are reported.
        allow_missing_source_outputs: With `recover`: actions of which outputs are gone from the store run again,
            instead of that no run starts.
        inputs: Inputs in place of the recorded ones; the others stay. Not for inputs with the name of a parameter here.

    Returns:
        The new run: ended in local mode, under way on a cluster. Settings are those of the earlier run; use
        `with_runcontext(...).rerun(...)` for others.

    Raises:
        ValueError: There is no such input; `force_rerun_actions` without `recover`, or `recover` with `action_name`.
        TypeError: An input is not of its parameter's type.
        RunNotFoundError: The root holds no such run.
        ActionNotFoundError: The run has no such action.
        RuntimeUserError: Inputs (`SourceRunInputsUnavailableError`) or outputs (`SourceRunOutputsUnavailableError`) are
            gone from the store. Nothing has begun then.

    Source: `flyte.rerun`.

    """
    started: Run = Runner().rerun(
        run_name, action_name, recover, force_rerun_actions, allow_missing_source_outputs, **inputs
    )
    return started
