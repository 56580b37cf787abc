"""Divide the words behind TASK between the task and us."""

from __future__ import annotations

from collections.abc import Sequence

import click

from flyte_ray.spec.interface import Interface


def split_words(command: click.Command, interface: Interface, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide the words after TASK into our options and the task's: the task's parameters win."""
    parameters = {item.name: item.annotation is bool for item in interface.parameters}
    options = [item for item in command.params if isinstance(item, click.Option)]
    flags = {name: item.is_flag for item in options for name in (*item.opts, *item.secondary_opts)}
    ours: list[str] = []
    theirs: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        parameter = _parameter(name, parameters)
        if name in flags and parameter is None:
            ours.append(word)
            if not equals and not flags[name] and rest:
                ours.append(rest.pop(0))
            continue
        theirs.append(word)
        # The word behind a parameter's name is its value, also if it looks like a short option of ours.
        takes_value = parameter is not None and not parameters[parameter] and not equals
        if takes_value and rest and not rest[0].startswith("--"):
            theirs.append(rest.pop(0))
    return ours, theirs


def _parameter(name: str, parameters: dict[str, bool]) -> str | None:
    """Return the parameter that `--name`, `--na-me` or, for a flag, `--no-name` means."""
    if not name.startswith("--"):
        return None
    plain = name[2:].replace("-", "_")
    if plain in parameters:
        return plain
    positive = plain.removeprefix("no_")
    return positive if positive != plain and parameters.get(positive) else None
