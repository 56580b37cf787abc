"""Write docs/cli.md from the commands themselves: `python -m flyte_ray.cli.reference > docs/cli.md`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Final

import click

from flyte_ray.cli.main import VERBS, main

_HEAD: Final = """# The command line

Written by `python -m flyte_ray.cli.reference > docs/cli.md` from the commands themselves; a test compares them.
`flyte-ray VERB --help` says the same. Exit codes: 0 done, 1 the run failed or nothing can be done about it as things
stand, 2 wrong usage, 130 interrupted; `submit python-script` exits as its script does.

`eval "$(flyte-ray completion bash)"` (zsh alike, `flyte-ray completion fish | source`) completes verbs, runs, tasks and
their parameters. Settings are in the README, "From the shell".
"""
_EVERYWHERE: Final = ("root", "address", "output", "verbose", "help")


def write_reference() -> str:
    """Return the page: each verb with its nouns, arguments and options, and once the options that all have."""
    context = click.Context(main, info_name="flyte-ray")
    parts = [_HEAD, "## Options of every verb\n", *_rows(_some_command(), lambda name: name in _EVERYWHERE), ""]
    for name in sorted(VERBS):
        command = main.get_command(context, name)
        assert command is not None
        parts += _verb(command, f"flyte-ray {name}", "##")
    script = importlib.import_module("flyte_ray.cli.scripts").python_script
    parts += _verb(script, "flyte-ray submit python-script", "##")
    return "\n".join(parts).rstrip() + "\n"


def _some_command() -> click.Command:
    command = main.get_command(click.Context(main), "doctor")
    assert command is not None
    return command


def _verb(command: click.Command, name: str, heading: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        yield f"{heading} {name}\n"
        yield f"{_about(command)}\n"
        for noun in sorted(command.commands):
            yield from _verb(command.commands[noun], f"{name} {noun}", f"{heading}#")
        return
    words = [item.make_metavar(click.Context(command)) for item in command.params if isinstance(item, click.Argument)]
    yield f"{heading} {' '.join([name, *words])}\n"
    yield f"{_about(command)}\n"
    rows = list(_rows(command, lambda name: name not in _EVERYWHERE))
    if rows:
        yield from (*rows, "")


def _about(command: click.Command) -> str:
    return "\n".join(line.strip() for line in (command.help or "").splitlines()).strip()


def _rows(command: click.Command, wanted: object) -> Iterator[str]:
    assert callable(wanted)
    context = click.Context(command)
    for item in command.params:
        if isinstance(item, click.Option) and wanted(item.name) and not item.hidden:
            record = item.get_help_record(context)
            if record is not None:
                yield f"- `{record[0]}`: {record[1]}"


if __name__ == "__main__":
    print(write_reference(), end="")
