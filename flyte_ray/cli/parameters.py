"""Turn a task's interface into typed command-line options, and their texts into values of its annotations.

Invariants: a value is what the annotation says, or the option is refused with its name, what was expected and what
came; an option that is not given leaves the parameter to its default.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal, Union

import click

from flyte_ray.cli.moments import parse_duration, parse_moment
from flyte_ray.spec.interface import Interface, Parameter
from flyte_ray.storage.local import PathMismatch
from flyte_ray.types.models import is_model

_NONE: Final = type(None)
_SHOWN: Final[dict[Any, str]] = {
    int: "INTEGER",
    float: "FLOAT",
    str: "TEXT",
    bool: "BOOLEAN",
    datetime: "DATETIME",
    date: "DATE",
    timedelta: "DURATION",
    Any: "JSON",
    _NONE: "none",
    list: "JSON LIST",
    tuple: "JSON LIST",
    set: "JSON LIST",
    frozenset: "JSON LIST",
    dict: "JSON DICTIONARY",
}
_TRUTH: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


@dataclass(frozen=True)
class _Given:
    """A converted value. Told apart from an absent option, which click gives as None, also where it is None itself."""

    value: Any


class _Annotated(click.ParamType):  # type: ignore[type-arg]  # generic only in the types of newer clicks
    """Values of one parameter's annotation."""

    def __init__(self, item: Parameter) -> None:
        self._item = item
        self.name = describe(item.annotation)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the text that the user gave."""
        if isinstance(value, _Given):
            return value
        default = self._item.default if self._item.has_default else None
        try:
            return _Given(read_value(self._item.annotation, value, default))
        except PathMismatch as error:
            raise click.ClickException(f"Parameter '{self._item.name}': {error}") from error
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


def parse_parameters(
    interface: Interface, task: str, words: Sequence[str], docs: str | None = None, usage: str = "flyte-ray submit FILE"
) -> dict[str, Any]:
    """Parse the words after TASK, `--name value`, into the values to call it with; `--help` shows them and `docs`.

    Raises:
        click.UsageError: A parameter is unknown or missing, or its text does not fit its annotation.
        click.ClickException: A file or folder that it names is not there.

    """
    verb = " ".join(usage.split()[:2])
    epilog = f"The options of `{verb} --help` may stand here, too."
    command = click.Command(task, params=[*task_options(interface)], help=docs, epilog=epilog)
    try:
        with command.make_context(usage, list(words)) as context:
            return to_values(interface, context.params)
    except click.UsageError as error:
        error.ctx = error.ctx or click.Context(command, info_name=usage)  # else the usage is that of our verb
        raise


def task_options(interface: Interface) -> list[click.Option]:
    """Make one option per parameter, which accepts the name with underscores and with dashes."""
    return [_option(item) for item in interface.parameters]


def to_values(interface: Interface, params: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what the user gave out of what click parsed.

    Args:
        interface: The task's.
        params: `context.params`; names that are no parameters of the task are left alone.

    Returns:
        A value for each parameter that was given, by name.

    """
    found = {item.name: params.get(item.name) for item in interface.parameters}
    given = {name: value for name, value in found.items() if value is not None}
    return {name: value.value if isinstance(value, _Given) else value for name, value in given.items()}


def _option(item: Parameter) -> click.Option:
    names = dict.fromkeys([f"--{item.name}", f"--{item.name.replace('_', '-')}"])
    about = f"[default: {_show_default(item.default)}]" if item.has_default else None
    if _plain(item.annotation) is bool:
        flags = [f"{name}/--no-{name[2:]}" for name in names]
        # As in Flyte, a flag that has no default and is not given is False.
        absent = None if item.has_default else False
        return click.Option([*flags, item.name], default=absent, help=about or "[default: False]")
    kind = _Annotated(item)
    # Click itself says of an option that it is required.
    return click.Option([*names, item.name], type=kind, metavar=kind.name, required=not item.has_default, help=about)


def _show_default(value: Any) -> str:
    return value.name if isinstance(value, enum.Enum) else str(value) if value != "" else "''"


def _plain(annotation: Any) -> Any:
    """Return the annotation without `Annotated`."""
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def describe(annotation: Any) -> str:
    """Say what a parameter takes, for `--help`."""
    plain = _plain(annotation)
    origin = typing.get_origin(plain)
    if origin in (Union, types.UnionType):
        return "|".join(describe(part) for part in typing.get_args(plain))
    if origin is Literal:
        return f"[{'|'.join(str(choice) for choice in typing.get_args(plain))}]"
    if isinstance(plain, type) and issubclass(plain, enum.Enum):
        return f"[{'|'.join(plain.__members__)}]"
    if (origin or plain) in _SHOWN:
        return _SHOWN[origin or plain]
    if is_located(plain):
        from flyte_ray.io import DataFrame, Dir  # who has one of them has imported them

        return "FOLDER" if issubclass(plain, Dir) else "TABLE FILE" if issubclass(plain, DataFrame) else "FILE"
    name = getattr(plain, "__name__", str(plain))
    return f"JSON OBJECT {name}" if is_object(plain) else name


def read_value(annotation: Any, text: str, default: Any = None) -> Any:
    """Read a value of an annotation from its text.

    Args:
        annotation: What the value must be.
        text: As written on the command line.
        default: The parameter's default; an object given as JSON replaces only the fields that it names.

    Raises:
        ValueError: The text cannot be such a value; says what was expected and what came.
        PathMismatch: It names a file or folder that is not there.

    """
    plain = _plain(annotation)
    origin = typing.get_origin(plain)
    if origin in (Union, types.UnionType):
        return _read_union(plain, text, default)
    if origin is Literal:
        return _read_choice(text, {str(choice): choice for choice in typing.get_args(plain)})
    if plain is str:
        return text
    if plain is Any:
        return json_or_text(text)
    if plain is _NONE:
        return _read_choice(text.lower(), {"none": None, "null": None})
    if plain is bool:
        return _read_choice(text.lower(), _TRUTH)
    if plain in (int, float):
        return _read_number(plain, text)
    if plain is timedelta:
        return parse_duration(text)
    if plain is datetime:
        return parse_moment(text)
    if plain is date:
        return parse_moment(text).date()
    if isinstance(plain, type) and issubclass(plain, enum.Enum):
        return _read_member(plain, text)
    from flyte_ray.cli.documents import read_document  # it says why

    return read_document(annotation, text, default)


def _read_number(kind: Any, text: str) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"expected {_SHOWN[kind]}, got {text!r}") from error


def _read_choice(text: str, choices: Mapping[str, Any]) -> Any:
    if text not in choices:
        raise ValueError(f"expected one of {', '.join(choices)}, got {text!r}")
    return choices[text]


def _read_member(kind: type[enum.Enum], text: str) -> enum.Enum:
    by_text: dict[str, enum.Enum] = {}
    # What is written exactly comes before what is written in another case, a name before a value.
    for fold in (str, str.lower):
        for form in (lambda name, _: name, lambda _, member: str(member.value)):
            for name, member in kind.__members__.items():
                by_text.setdefault(fold(form(name, member)), member)
    found = by_text.get(text, by_text.get(text.lower()))
    if found is None:
        raise ValueError(f"expected one of {', '.join(kind.__members__)}, got {text!r}")
    return found


def _read_union(plain: Any, text: str, default: Any) -> Any:
    mismatch: PathMismatch | None = None
    # None last, so that 'none' stays a text where texts are wanted.
    for part in sorted(typing.get_args(plain), key=lambda part: part is _NONE):
        try:
            return read_value(part, text, default)
        except PathMismatch as error:
            mismatch = error
        except ValueError:
            continue
    raise mismatch or ValueError(f"expected {describe(plain)}, got {text!r}")


def json_or_text(text: str) -> Any:
    """Read JSON; what is none is a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def is_object(plain: Any) -> bool:
    """Tell a class whose values are objects in JSON."""
    if not isinstance(plain, type):
        return False
    return dataclasses.is_dataclass(plain) or is_model(plain) or typing.is_typeddict(plain)


def is_located(plain: Any) -> bool:
    """Tell files, folders and tables, without importing them, which takes longer than what else a command does."""
    return isinstance(plain, type) and hasattr(plain, "lies_beside_the_log")
