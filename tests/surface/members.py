"""Say what becomes of the members of Flyte's classes, of its errors and of its commands.

`members.json` lists them as flyte 2.12.1 has them: properties and methods by class, and `flyte.errors`.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, Final

import click

from flyte_ray.cli.main import VERBS, main

MEMBERS: Final[dict[str, list[str]]] = json.loads(Path(__file__).with_name("members.json").read_text())
_ARTIFACTS: Final = "There is no registry of artifacts: return the value, and find it by its run's name"
_PROJECTS: Final = "There are no projects and domains: a root is one; tell runs apart by labels"
_CONTROL: Final = "There is no control plane"
CLASSES: Final = {
    "flyte.remote.ActionDetails": "flyte.remote.Action tells it",
    "flyte.remote.RunDetails": "flyte.remote.Run tells it",
    "flyte.remote.Artifact": _ARTIFACTS,
    "flyte.remote.PartitionSchema": _ARTIFACTS,
    "flyte.remote.Project": _PROJECTS,
    "flyte.remote.Secret": "flyte-ray create secret",
    "flyte.remote.Settings": "Settings are in config files: flyte-ray get config",
    "flyte.remote.User": f"{_CONTROL}: who started a run is on its record",
}
"""What to use in place of classes that are not there."""
INSTEAD: Final = {
    "action_id": "name and run_name",
    "code_bundle": "flyte-ray get code",
    "create": "flyte.serve, flyte.deploy",
    "details": "Its fields are here",
    "download_code": "flyte-ray get code",
    "fetch": "flyte.remote.Task.get",
    "first_failure": "flyte-ray get action RUN --phase failed",
    "get": "flyte.remote.Task.get",
    "get_debug_url": "flyte-ray rerun --local --pdb",
    "input_literals": "inputs",
    "output_literals": "outputs",
    "raise_for_status": "outputs raises what the run failed with",
    "raw_phase": "phase",
    "relation": "flyte-ray get action",
    "replace": "flyte.serve",
    "secrets": "Those of its environment",
    "show_logs": "flyte-ray get logs",
    "sync": "It is read anew each time",
    "to_dict": "-o json of the verbs",
    "to_json": "-o json of the verbs",
    "typed_inputs": "inputs",
    "typed_outputs": "outputs",
    "update": "flyte.serve",
    "watch": "wait",
}
"""What to use in place of members that are not there."""
SET_BY_INSTANCES: Final = {("flyte.remote.Run", "name")}
COMMANDS: Final = {
    "run FILE TASK": "submit",
    "run deployed-task": "submit",
    "run python-script": "submit",
    "rerun": "rerun",
    "abort run": "abort run",
    "abort action": "abort action",
    "signal condition": "signal condition",
    "serve": "serve",
    "build": "build",
    "deploy": "deploy",
    "get run": "get run",
    "get action": "get action",
    "get io": "get io",
    "get logs": "get logs",
    "get code": "get code",
    "get condition": "get condition",
    "get app": "get app",
    "get task": "get task",
    "get trigger": "get trigger",
    "get secret": "get secret",
    "get project": _PROJECTS,
    "get artifact": _ARTIFACTS,
    "get config": "get config",
    "get settings": "flyte-ray get config",
    "get devbox": "flyte-ray get cluster",
    "create config": "create config",
    "create secret": "create secret",
    "create trigger": "create trigger",
    "create project": _PROJECTS,
    "create artifact": _ARTIFACTS,
    "update app": "update app",
    "update trigger": "update trigger",
    "update project": _PROJECTS,
    "delete app": "delete app",
    "delete secret": "delete secret",
    "delete trigger": "delete trigger",
    "delete devbox": "flyte-ray down",
    "delete local-cache": "flyte-ray delete cache",
    "edit settings": "flyte-ray create config",
    "gen docs": "python -m flyte_ray.cli.reference",
    "prefetch hf-model": "Download the model in a task with a cache, and return it as a flyte.io.Dir",
    "proxy app": "An app answers at its URL: flyte-ray get app",
    "start devbox": "flyte-ray up",
    "stop devbox": "flyte-ray down",
    "start tui": "flyte-ray console",
    "whoami": f"{_CONTROL} to log in to",
}
"""Flyte's commands, and ours, or what to use instead."""


def find_member(owner: str, name: str) -> bool:
    """Whether a class, or `flyte.errors`, has a member here."""
    module, _, last = owner.rpartition(".")
    if owner == "flyte.errors":
        return hasattr(importlib.import_module("flyte_ray.errors"), name)
    found: Any = getattr(importlib.import_module(module.replace("flyte", "flyte_ray", 1)), last, None)
    fields = {**getattr(found, "__dataclass_fields__", {}), **getattr(found, "__annotations__", {})}
    return found is not None and (hasattr(found, name) or name in fields or (owner, name) in SET_BY_INSTANCES)


def find_command(words: str) -> bool:
    """Whether the command line has a verb, or a verb with a noun."""
    verb, _, noun = words.partition(" ")
    if verb not in VERBS:
        return False
    command = main.get_command(click.Context(main), verb)
    return not noun or (isinstance(command, click.Group) and noun in command.commands)
