"""Flyte's names that have no counterpart here: each can be imported, and says when it is used what to use instead."""

from __future__ import annotations

from typing import Any, Final, NoReturn

from flyte_ray.errors import UnsupportedError

_ARTIFACTS: Final = "There is no registry of artifacts: return the value, and find it by its run's name"
_LOGIN: Final = "There is no control plane to log in to: call flyte.init(root=..., address=...)"
_PROJECTS: Final = "There are no projects and domains: a root is one; tell runs apart by labels"
ABSENT: Final = {
    "BaseCheckpoint": "A checkpoint is flyte.ctx().checkpoint, a flyte.Checkpoint",
    "Environment": "Declare a TaskEnvironment, or an AppEnvironment of flyte.app",
    "OnArtifact": _ARTIFACTS,
    "PodTemplate": "Ray places processes, not pods: say what is needed with resources, image and env_vars",
    "TriggeredArtifact": _ARTIFACTS,
    "TriggeredPartition": _ARTIFACTS,
    "current_domain": _PROJECTS,
    "current_project": _PROJECTS,
    "init_from_api_key": _LOGIN,
    "init_in_cluster": _LOGIN,
    "init_passthrough": _LOGIN,
    "load_interactive_ctx": "A notebook's cells travel by themselves: call flyte.run",
    "load_plugin_config": "There are no plug-ins: every task runs on Ray; leave it out",
    "ai": "Agents are plain code: call your model in a task, with flyte.trace around what should be recorded",
    "artifacts": _ARTIFACTS,
    "clustered": "Tasks that form a group are Ray's affair: start Ray Train in a task",
    "connectors": "Call the service from a task; flyte.trace records the answers",
    "extend": "There are no plug-ins and image builders: every task runs on Ray",
    "extras": "Run containers and shell scripts from a task, by subprocess; a Python script by flyte.run_python_script",
    "git": "Settings are found by flyte.init_from_config, the project's folder by its .git",
    "prefetch": "Download the model in a task with a cache, and return it as a flyte.io.Dir",
    "sandbox": "Tasks run as the user who starts them: run code that is not trusted elsewhere",
}
"""What to use instead of each, by name; those in lower case without a call are modules."""


class Absent:
    """Stands for a name of Flyte's; whatever is done with it raises `UnsupportedError`."""

    def __init__(self, name: str) -> None:
        """Stand for a name of `ABSENT`."""
        self._name = name

    def refuse(self) -> NoReturn:
        """Raise the sentence."""
        raise UnsupportedError(f"flyte.{self._name} is not supported here. {ABSENT[self._name]}.")

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Raise the sentence."""
        self.refuse()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # Python asks such things of whatever it meets
            raise AttributeError(name)
        self.refuse()

    def __repr__(self) -> str:
        return f"<flyte.{self._name}, which is not supported here>"


def is_control_plane_available() -> bool:
    """Return False: there is none. Source: `flyte.is_control_plane_available`."""
    return False
