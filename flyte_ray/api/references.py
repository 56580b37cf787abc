"""Name tasks that were deployed: `flyte.remote.Task`, and what it returns.

A name is looked up when it is called, run or fetched, and then stands for that version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from flyte_ray.api.both import both_forms_of_class, both_forms_of_method, is_in_loop
from flyte_ray.api.deployed import TaskDetails
from flyte_ray.api.settings import current_store
from flyte_ray.api.task import TaskTemplate
from flyte_ray.cluster.code import unpack_code
from flyte_ray.errors import RemoteTaskUsageError
from flyte_ray.ledger.tasks import TaskRecord, list_deployed, load_deployed
from flyte_ray.runtime.context import current_action

AutoVersioning = Literal["latest", "current"]


class LazyEntity:
    """A deployed task that is looked up when it is used. Mirrors Flyte's `LazyEntity`."""

    def __init__(self, name: str, find: Callable[[], TaskDetails]) -> None:
        """Name a task; `find` looks it up."""
        self.name = name
        self._find = find
        self._found: tuple[str | None, TaskDetails] | None = None

    def __repr__(self) -> str:
        return f"Deployed task {self.name!r}" + (f", version {self._found[1].version}" if self._found else "")

    @both_forms_of_method
    def fetch(self) -> TaskDetails:
        """Look it up: once per run and process, so that a run keeps to a version; outside of runs each time.

        Raises:
            RemoteTaskNotFoundError: There is no such task, or not in this version.

        """
        action = current_action.get()
        run = action.run_name if action else None
        if self._found is None or run is None or self._found[0] != run:
            self._found = run, self._find()
        return self._found[1]

    def override(self, **settings: Any) -> LazyEntity:
        """Return the task with other settings, see `TaskDetails.override`."""
        return LazyEntity(self.name, lambda: self.fetch().override(**settings))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run as an action inside a run; see `TaskDetails`."""
        return self.aio(*args, **kwargs) if is_in_loop() else self.fetch()(*args, **kwargs)

    async def aio(self, *args: Any, **kwargs: Any) -> Any:
        """Await the task from async code."""
        details: TaskDetails = await self.fetch.aio()
        return await details.aio(*args, **kwargs)


class Task:
    """Deployed tasks of the root. Mirrors `flyte.remote.Task`."""

    def __init__(self, record: TaskRecord) -> None:
        """Describe what is on record."""
        self._record = record

    def __repr__(self) -> str:
        return f"Task({self.name!r}, version={self.version!r})"

    @property
    def name(self) -> str:
        """`<environment>.<function>`."""
        return self._record.name

    @property
    def version(self) -> str:
        """Its latest version."""
        return self._record.version

    @property
    def entrypoint(self) -> bool:
        """Meant to be run by people."""
        return bool(self._record.about["entrypoint"])

    @property
    def url(self) -> str:
        """Where its deployments lie."""
        return f"{current_store().uri}/tasks/{self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Return what is on record, as plain JSON."""
        return TaskDetails(self._record).to_dict()

    def to_json(self) -> str:
        """Return it as text."""
        return TaskDetails(self._record).to_json()

    @classmethod
    def get(
        cls,
        name: str,
        project: str | None = None,
        domain: str | None = None,
        version: str | None = None,
        auto_version: AutoVersioning | None = None,
    ) -> LazyEntity:
        """Name a deployed task; it is looked up when it is called, run or fetched.

        Args:
            name: `<environment>.<function>`.
            project: Accepted: a root has no projects.
            domain: Accepted.
            version: The version wanted.
            auto_version: `latest` for the one that was deployed last; `current`, inside a task, for the one that was
                deployed with the code of that task.

        Raises:
            ValueError: Neither a version nor how to find one is given, or both.

        Source: `flyte.remote.Task.get`.

        """
        if (version is None) == (auto_version is None) or auto_version not in (None, "latest", "current"):
            raise ValueError(
                f"Task.get('{name}') expects either version=... or auto_version='latest' or 'current', got"
                f" version={version!r} and auto_version={auto_version!r}. Write auto_version='latest' for the newest."
            )
        return LazyEntity(name, lambda: _find(name, version, auto_version))

    @both_forms_of_class
    def listall(
        cls,  # noqa: N805 - it takes the class
        by_task_name: str | None = None,
        by_task_env: str | None = None,
        project: str | None = None,
        domain: str | None = None,
        sort_by: tuple[str, Literal["asc", "desc"]] | None = None,
        limit: int = 100,
        entrypoint: bool | None = None,
    ) -> list[Task]:
        """Return the deployed tasks of the root in their latest versions, by name.

        Args:
            by_task_name: Only this one.
            by_task_env: Only those of this environment.
            project: Accepted: a root has no projects.
            domain: Accepted.
            sort_by: `("name", ...)` or `("created_at", ...)`.
            limit: Most tasks returned.
            entrypoint: Only those that are, or are not, meant to be run by people.

        """
        found = [Task(record) for record in list_deployed(current_store())]
        if sort_by is not None:
            found.sort(key=lambda task: task._record.at_us if sort_by[0] == "created_at" else task.name)
            found = found[::-1] if sort_by[1] == "desc" else found
        return [
            task
            for task in found
            if by_task_name in (None, task.name)
            and by_task_env in (None, task._record.environment["name"])
            and entrypoint in (None, task.entrypoint)
        ][:limit]


def _find(name: str, version: str | None, auto_version: AutoVersioning | None) -> TaskDetails:
    store, action = current_store(), current_action.get()
    if auto_version != "current":
        record = load_deployed(store, name, version)
    elif action is not None:
        record = load_deployed(store, name, code=action.controller.spec.get("code"), of_code=True)
    else:
        raise RemoteTaskUsageError(
            f"The current version of task '{name}' is that of the task that asks for it, but no task does. Ask for"
            f" auto_version='latest', or name a version."
        )
    if action is not None and action.mode == "local":
        unpack_code(store, record.code)  # its classes are found here then
    return TaskDetails(record)


def template_of(task: Any) -> TaskTemplate:
    """Return what `flyte.run` was given as a task.

    Raises:
        TypeError: It is none.

    """
    if isinstance(task, LazyEntity):
        return task.fetch()
    if not isinstance(task, TaskTemplate):
        raise TypeError(f"flyte.run expects a task made with @env.task, got {type(task).__name__}. Decorate it.")
    return task
