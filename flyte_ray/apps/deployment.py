"""Deploy environments: tasks are put on record, apps are served on the cluster; with all that they depend on.

Invariants: all is checked before anything is stored; what an app depends on is served before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from flyte_ray.api.both import both_forms
from flyte_ray.api.declared import Environment
from flyte_ray.api.deploying import UNCHANGED, DeployedEntity, DeployedEnvironment, TaskPlan, plan_tasks
from flyte_ray.api.environment import TaskEnvironment
from flyte_ray.api.settings import current_store, settings
from flyte_ray.api.unsupported import ignore_foreign
from flyte_ray.apps.deploying import plan
from flyte_ray.apps.environment import AppEnvironment
from flyte_ray.apps.local import Patience
from flyte_ray.apps.served import App
from flyte_ray.apps.serving import Server, check_served
from flyte_ray.cluster.bundle import CopyStyle
from flyte_ray.cluster.session import has_cluster
from flyte_ray.errors import DeploymentError, InvalidDeclaration
from flyte_ray.ledger.apps import AppRecord, find_app

OTHER: Final = "other content"


@dataclass(frozen=True)
class DeployedAppEnvironment:
    """An app as it is served, or would be. Mirrors `flyte.app.DeployedAppEnvironment`."""

    env: AppEnvironment
    deployed_app: App | None
    """None in a dry run."""
    change: str
    """`new`, `unchanged`, `switched on`, or that it has other content than before. Ours, not Flyte's."""

    @property
    def name(self) -> str:
        """The app's name."""
        return str(self.env.name)

    @property
    def is_changed(self) -> bool:
        """Whether it was served otherwise before, or not at all."""
        return self.change != UNCHANGED

    @property
    def endpoint(self) -> str:
        """The URL below which it answers; empty in a dry run."""
        return self.deployed_app.endpoint if self.deployed_app else ""


Deployed = DeployedEnvironment | DeployedAppEnvironment


@dataclass(frozen=True)
class Deployment:
    """An environment with those that it depends on, by name. Mirrors Flyte's `Deployment`."""

    envs: dict[str, Deployed]

    @property
    def tasks(self) -> tuple[DeployedEntity, ...]:
        """All tasks of it."""
        return tuple(task for env in self.envs.values() if isinstance(env, DeployedEnvironment) for task in env.tasks)

    @property
    def apps(self) -> tuple[DeployedAppEnvironment, ...]:
        """All apps of it."""
        return tuple(env for env in self.envs.values() if isinstance(env, DeployedAppEnvironment))

    def summary_repr(self) -> str:
        """Say it in one line per task and app."""
        tasks = [(f"{task.name} {task.version}: {task.change}", *task.triggers) for task in self.tasks]
        apps = [f"app {app.name}: {app.change}{app.endpoint and f', answers at {app.endpoint}'}" for app in self.apps]
        return "\n".join([*(line for each in tasks for line in each), *apps])


@both_forms
def deploy(
    *envs: Environment,
    dry_run: bool = False,
    version: str | None = None,
    interactive_mode: bool | None = None,
    copy_style: CopyStyle = "loaded_modules",
    dryrun: bool | None = None,
) -> list[Deployment]:
    """Put the tasks of environments on record and serve apps, with the environments that they depend on.

    What has the same content as its latest deployment stays as it is. All is checked before anything is stored; tasks
    are stored one after another, then apps are served, those first that others depend on: repeat it if it was cut off.

    Args:
        envs: At least one.
        dry_run: Only say what would be deployed; nothing is stored or served, and no cluster is asked.
        version: Of all these tasks; default: of each a digest of its code, environment and interface. A version that
            was given once stands for that content. Apps have a digest in any case.
        interactive_mode: Accepted: what stands in a notebook has no file from which others could import it.
        copy_style: Which files of the project travel: `loaded_modules`, `all` or `none`.
        dryrun: Flyte's other name of `dry_run`.

    Returns:
        One deployment for each of `envs`.

    Raises:
        TypeError: One of them is no environment.
        InvalidDeclaration: There are none, they have neither tasks nor apps, or the version has another form.
        CodeBundleError: A task or an app does not stand at the top level of a file.
        DeploymentError: The version was deployed with another content; an app has no cluster, or does not start.
        ParameterMaterializationError: A parameter of an app has no value.
        StoreError: The root cannot be written.

    Source: `flyte.deploy`.

    """
    ignore_foreign("flyte.deploy", {"interactive_mode": interactive_mode}, ("interactive_mode",))
    puts = not (dry_run or dryrun)
    _check(envs)
    found = _by_name(_with_dependencies(*envs))
    apps = [env for env in found.values() if isinstance(env, AppEnvironment)]
    tasks = plan_tasks(
        (env for env in found.values() if isinstance(env, TaskEnvironment)), version=version, copy_style=copy_style
    )
    _check_any(envs[0], tasks, apps)
    if puts:
        _check_cluster(apps, envs)
    done: dict[str, Deployed] = {**(tasks.put() if puts else tasks.say())}
    for app in apps:
        done[app.name] = _serve(app, copy_style) if puts else _say(app, copy_style)
    return [Deployment({env.name: done[env.name] for env in reversed(_with_dependencies(given))}) for given in envs]


def _check(envs: Sequence[Environment]) -> None:
    if not envs:
        raise InvalidDeclaration("flyte.deploy expects at least one environment, got none. Pass one.")
    for env in envs:
        if not isinstance(env, Environment):
            raise TypeError(
                f"flyte.deploy expects environments, got {type(env).__name__} {env!r:.80}. Pass a TaskEnvironment or an"
                f" AppEnvironment."
            )


def _by_name(envs: Iterable[Environment]) -> dict[str, Environment]:
    found: dict[str, Environment] = {}
    for env in envs:
        if found.setdefault(env.name, env) is not env:
            raise InvalidDeclaration(
                f"Environments that are deployed together must have names of their own, got two with '{env.name}'."
                f" Rename one of them."
            )
    return found


def _check_any(first: Environment, tasks: TaskPlan, apps: Sequence[AppEnvironment]) -> None:
    for app in apps:
        check_served(app)
    if not (tasks.count or apps):
        raise InvalidDeclaration(
            f"Environment '{first.name}' should have tasks to deploy, but has none. Decorate functions with @env.task."
        )


def _check_cluster(apps: Sequence[AppEnvironment], envs: Sequence[Environment]) -> None:
    if apps and not has_cluster(settings.address):
        app = apps[0]
        why = "" if app in envs else ", which is depended on,"
        raise DeploymentError(
            f"App '{app.name}'{why} is deployed by serving it on a cluster, but none was given. Give its address"
            f" (flyte.init(address=...), --address), or serve the app from this process: flyte.serve(...),"
            f" 'flyte-ray serve FILE {app.name}'."
        )


def _with_dependencies(*envs: Environment) -> list[Environment]:
    """Return environments and all that they depend on, each once and after what it depends on."""
    found: list[Environment] = []

    def walk(each: Environment, above: tuple[Environment, ...]) -> None:
        if each in found or each in above:
            return
        for below in reversed(each.depends_on):
            walk(below, (*above, each))
        found.append(each)

    for env in envs:
        walk(env, ())
    return found


def _serve(env: AppEnvironment, copy_style: CopyStyle) -> DeployedAppEnvironment:
    before = find_app(current_store(), env.name)
    app: App = Server("remote", copy_style=copy_style).serve(env)
    return DeployedAppEnvironment(env, app, _change(before, app.record))


def _say(env: AppEnvironment, copy_style: CopyStyle) -> DeployedAppEnvironment:
    store = current_store()
    record = plan(store, env, parameters={}, env_vars={}, patience=Patience(), copy_style=copy_style, stores=False)
    return DeployedAppEnvironment(env, None, _change(find_app(store, env.name), record))


def _change(before: AppRecord | None, record: AppRecord) -> str:
    if before is None:
        return "new"
    if before.version != record.version:
        return OTHER
    return UNCHANGED if before.state == "active" else "switched on"
