"""Turn a task's command-line parameters into values of its annotations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from flyte_ray.spec.interface import Interface, Parameter


def parse_parameters(interface: Interface, task: str, words: Sequence[str]) -> dict[str, Any]:
    """Parse `--name value` (dashes or underscores); bools are flags, lists, dicts and models are JSON.

    Raises:
        click.ClickException: A parameter is unknown or missing, or its text does not fit its annotation.

    """
    command = click.Command(task, params=[_option(item) for item in interface.parameters])
    with command.make_context(f"flyte-ray submit FILE {task}", list(words)) as context:
        given = {name: text for name, text in context.params.items() if text is not None}
    return {item.name: _value(item, given[item.name]) for item in interface.parameters if item.name in given}


def _option(item: Parameter) -> click.Option:
    names = [f"--{item.name}", f"--{item.name.replace('_', '-')}"]
    shown = getattr(item.annotation, "__name__", str(item.annotation))
    about = shown + (f"  [default: {item.default!r}]" if item.has_default else "")
    if item.annotation is bool:
        flags = [f"{name}/--no-{name[2:]}" for name in dict.fromkeys(names)]
        return click.Option([*flags, item.name], default=None if item.has_default else False, help=about)
    return click.Option([*dict.fromkeys(names), item.name], required=not item.has_default, metavar=shown, help=about)


def _value(item: Parameter, text: Any) -> Any:
    if not isinstance(text, str) or item.annotation is str:
        return text
    try:
        raw = json.loads(text) if text[:1] in "[{" else text
        return TypeAdapter(item.annotation).validate_python(raw)
    except (ValidationError, json.JSONDecodeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        expected = getattr(item.annotation, "__name__", item.annotation)
        raise click.UsageError(f"Parameter --{item.name}: expected {expected}, got {text!r}. {reason}.") from error
