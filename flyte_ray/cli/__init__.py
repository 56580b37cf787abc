"""Verbs on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

CONFIG: Final = "flyte_ray.config"
"""Where the file of `--config` stands in the `meta` of the whole command's context."""
VERBOSE: Final = "flyte_ray.verbose"
"""Where it stands how often `-v` was given."""
FRONT: Final = "flyte_ray.front"
"""And what options that every verb has say in front of the verb."""
WORDS: Final = "flyte_ray.words"
"""And the words of the whole command."""


def everywhere(callback: Callable[..., Any], count: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """Return the options that every verb has; `callback` gets their values, `count` how often `-v` was given."""
    return (
        click.option(
            "-v", "--verbose", count=True, callback=count, help="Say more about what happens; -vv shows tracebacks."
        ),
        click.option(
            "-o",
            "--output",
            type=click.Choice(["table", "json"]),
            default="table",
            callback=callback,
            help="How results are written.",
        ),
        click.option(
            "--address",
            metavar="HOST:PORT",
            callback=callback,
            help="The Ray cluster, or http://HOST:8265 to go through its dashboard (default: see 'get config').",
        ),
        click.option(
            "--root",
            metavar="URI",
            callback=callback,
            help="Where the record lies: a path or s3://… (default: see 'get config').",
        ),
    )
