"""Find what a task may use at run time: environments, and the files that travel for them.

Followed are the project's modules, from the task's own on, by what stands in them under a name: other modules, tasks,
functions and classes. What a task finds by other means is not seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from flyte_ray.api.declared import Environment
from flyte_ray.api.environment import TaskEnvironment
from flyte_ray.api.task import TaskTemplate
from flyte_ray.cluster.bundle import Inclusion
from flyte_ray.runtime.catalog import bodies_of
from flyte_ray.spec.origin import is_project_file
from flyte_ray.spec.task import EnvironmentSpec, Sourced, TaskSpec


def find_environments(declared: Sourced) -> list[EnvironmentSpec]:
    """Return the environments that the code of a task or an app holds, with those that they depend on.

    The first is its own. Each has a name once: tasks of one name are one environment.
    """
    found = {declared.environment.name: declared.environment}
    waiting: list[Environment] = []
    for module in _modules(sys.modules.get(declared.module)):
        for value in list(vars(module).values()):
            if _is(value, TaskEnvironment):
                waiting.append(value)
            elif _is(value, TaskTemplate):
                found.setdefault(value.spec.environment.name, value.spec.environment)
    seen: set[int] = set()
    while waiting:
        environment = waiting.pop(0)
        if id(environment) not in seen:
            seen.add(id(environment))
            found.setdefault(environment.spec.name, environment.spec)
            waiting += environment.depends_on
    return list(found.values())


def needed_environments(task: TaskSpec) -> list[EnvironmentSpec]:
    """Return the environments that a task needs for certain.

    Its own, those of the tasks that its code names, and all that these depend on.
    """
    modules = _modules(sys.modules.get(task.module))
    values = [value for module in modules for value in list(vars(module).values())]
    declared = {value.spec.name: value for value in values if _is(value, TaskEnvironment)}
    known = {value.spec.name: value.spec for value in values if _is(value, TaskTemplate)}
    tasks: dict[str, TaskSpec] = {}
    waiting = [task]
    while waiting:
        each = waiting.pop()
        if each.name not in tasks:
            tasks[each.name] = each
            called = (name.partition("task ")[2] for name, _ in bodies_of(each) or ())
            waiting += [known[name] for name in called if name in known]
    found = [each.environment for each in tasks.values()]
    depends = [declared[each.name] for each in found if each.name in declared]
    for environment in depends:
        more = [each for each in environment.depends_on if each not in depends]
        found += [each.spec for each in more]
        depends += more
    return found


def depended_on(declared: Sourced) -> set[str]:
    """Name the environment of a task or an app, and those that it depends on."""
    module = sys.modules.get(declared.module)
    named = {value.name: value for value in vars(module).values() if _is(value, TaskEnvironment)} if module else {}
    waiting: list[Environment] = [each for each in [named.get(declared.environment.name)] if each is not None]
    names = {declared.environment.name}
    while waiting:
        environment = waiting.pop()
        names.add(environment.name)
        waiting += [each for each in environment.depends_on if each.name not in names]
    return names


def inclusions_of(declared: Sourced, include: Sequence[str] = ()) -> list[Inclusion]:
    """Return the files that travel by name: those of the environments found, and more beside its own file."""
    found = [(declared.source_file, text) for text in include]
    found += [(each.declaring_file or "", text) for each in find_environments(declared) for text in each.include]
    # Code without a file of its own, as in a notebook, stands in the folder where it runs.
    return [Inclusion(Path(file).parent if os.path.isfile(file) else Path.cwd(), text) for file, text in found]


def _modules(start: ModuleType | None) -> Iterator[ModuleType]:
    waiting, seen = [start], set()
    while waiting:
        module = waiting.pop(0)
        if module is None or id(module) in seen:
            continue
        seen.add(id(module))
        yield module
        waiting += [each for each in map(_module_of, list(vars(module).values())) if _is_project(each)]


def _module_of(value: Any) -> ModuleType | None:
    if _is(value, ModuleType):
        module: ModuleType = value
        return module
    if _is(value, TaskTemplate):
        value = value.spec.func
    return sys.modules.get(value.__module__) if _is(value, (FunctionType, type)) else None


def _is(value: Any, kinds: type | tuple[type, ...]) -> bool:
    """Tell what a value is without asking it: a lazy object would do its work, or fail, at `isinstance`."""
    return issubclass(type(value), kinds)


def _is_project(module: ModuleType | None) -> bool:
    return is_project_file(getattr(module, "__file__", None))
