"""What an app is given when it starts: parameters, and the values that are found only then."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from flyte_ray.errors import InvalidDeclaration

ParameterType = Literal["string", "file", "directory", "app_endpoint"]
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class AppEndpoint:
    """The URL of another app.

    Source: `flyte.app.AppEndpoint`.
    """

    type: Literal["string"] = "string"
    app_name: str
    public: bool = False
    """Flyte's choice between two addresses; an app here has one."""

    def __post_init__(self) -> None:
        """Check the name."""
        if not isinstance(self.app_name, str) or not self.app_name:
            raise InvalidDeclaration(
                f"AppEndpoint.app_name must be the name of an app, got {self.app_name!r}. Write"
                f" AppEndpoint(app_name='model')."
            )


@dataclass(frozen=True, kw_only=True)
class RunOutput:
    """An output of a run: of the one that is named, or of the latest one of a task that succeeded.

    Raises:
        InvalidDeclaration: Neither or both of `run_name` and `task_name` are given, or a field has an impossible value.

    Source: `flyte.app.RunOutput`.

    """

    type: ParameterType
    """What the output is: `string` for plain values, `file` for a `File`, `directory` for a `Dir`."""
    run_name: str | None = None
    task_name: str | None = None
    """Qualified, `env.function`: the root task of a run."""
    task_version: str | None = None
    task_auto_version: Literal["latest", "current"] | None = None
    getter: tuple[Any, ...] = (0,)
    """The way to the value: first the number of the output, then indices, keys or attributes."""

    def __post_init__(self) -> None:
        """Check that one source is named."""
        if (self.run_name is None) == (self.task_name is None):
            raise InvalidDeclaration(
                f"RunOutput must name either a run or a task, got run_name={self.run_name!r} and"
                f" task_name={self.task_name!r}. Write RunOutput(type='file', task_name='env.train')."
            )
        _check_type("RunOutput", self.type)
        if not isinstance(self.getter, tuple) or not self.getter or not isinstance(self.getter[0], int):
            raise InvalidDeclaration(
                f"RunOutput.getter must be a tuple that begins with the number of an output, got {self.getter!r}."
                f" Write getter=(0,)."
            )


@dataclass(frozen=True)
class Parameter:
    """A value that an app is given when it starts.

    Raises:
        InvalidDeclaration: A name or a type of another form.

    Source: `flyte.app.Parameter`.

    """

    name: str
    value: Any = None
    """Text, a `File`, a `Dir`, an `AppEndpoint` or a `RunOutput`; None where `with_servecontext` gives it."""
    type: ParameterType | None = None
    """Found from the value if it is left out."""
    env_var: str | None = None
    """Variable that the app's process gets it in; of a file or folder its path."""
    download: bool = True
    """Whether a file or folder is there as a local path; else its URI is given."""
    mount: str | None = None
    """Where a file or folder is to lie; None: in a folder of our own."""
    ignore_patterns: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check names and types; values of other kinds are refused where the app is declared."""
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidDeclaration(
                f"Parameter.name must be a name such as 'model', got {self.name!r}. Use letters, digits and '_'."
            )
        if self.env_var is not None and (not isinstance(self.env_var, str) or not _NAME.fullmatch(self.env_var)):
            raise InvalidDeclaration(
                f"Parameter '{self.name}': env_var must be the name of a variable, got {self.env_var!r}. Write"
                f" env_var='MODEL'."
            )
        if self.type is not None:
            _check_type(f"Parameter '{self.name}'", self.type)


def _check_type(owner: str, given: object) -> None:
    if given not in get_args(ParameterType):
        raise InvalidDeclaration(
            f"{owner}: type must be one of {', '.join(map(repr, get_args(ParameterType)))}, got {given!r}. Choose one."
        )
