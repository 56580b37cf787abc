"""Divide the words behind FILE or RUN: options of ours, the task, its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from flyte_ray.spec.interface import Interface


def split_at_task(command: click.Command, words: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """Divide the words behind FILE into our options before the task, the task, and what stands behind it."""
    ours: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        ours.append(word)
        if _takes_next(word, _flags(command)) and rest:
            ours.append(rest.pop(0))
    return ours, rest[0] if rest else None, rest[1:]


def split_words(command: click.Command, interface: Interface, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide the words behind TASK into our options and the task's: the task's parameters win."""
    parameters = {item.name: item.annotation is bool for item in interface.parameters}
    flags = _flags(command)
    ours: list[str] = []
    theirs: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        parameter = _parameter(name, parameters)
        if parameter is None and _is_ours(word, flags):
            ours.append(word)
            if _takes_next(word, flags) and rest:
                ours.append(rest.pop(0))
            continue
        theirs.append(word)
        # The word behind a parameter's name is its value, also if it looks like a short option of ours.
        takes_value = parameter is not None and not parameters[parameter] and not equals
        if takes_value and rest and not rest[0].startswith("--"):
            theirs.append(rest.pop(0))
    return ours, theirs


def merge_late(context: click.Context, argument: str, options: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Add the options that stand behind the argument of a command to those before it."""
    late = context.command.make_context(context.info_name, [*words, argument], parent=context.parent)
    for name in options.keys() & {name for name in late.params if _is_given(late, name)}:
        both = isinstance(options[name], dict)
        options[name] = {**options[name], **late.params[name]} if both else late.params[name]
    return options


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _flags(command: click.Command) -> dict[str, bool]:
    """Whether each option of a command goes without a value, by its names."""
    options = [item for item in command.params if isinstance(item, click.Option)]
    return {name: item.is_flag or item.count for item in options for name in (*item.opts, *item.secondary_opts)}


def _is_ours(word: str, flags: dict[str, bool]) -> bool:
    return word.partition("=")[0] in flags or _holds_value(word, flags)


def _holds_value(word: str, flags: dict[str, bool]) -> bool:
    """Whether the word is a short option with its value in it, as in `-ojson`."""
    return len(word) > 2 and not word.startswith("--") and flags.get(word[:2]) is False


def _takes_next(word: str, flags: dict[str, bool]) -> bool:
    return flags.get(word) is False


def _parameter(name: str, parameters: dict[str, bool]) -> str | None:
    """Return the parameter that `--name`, `--na-me` or, for a flag, `--no-name` means."""
    if not name.startswith("--"):
        return None
    plain = name[2:].replace("-", "_")
    if plain in parameters:
        return plain
    positive = plain.removeprefix("no_")
    return positive if positive != plain and parameters.get(positive) else None
