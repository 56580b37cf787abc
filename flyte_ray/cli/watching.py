"""Options that keep looking: `--watch` shows a list anew when it changes."""

from __future__ import annotations

import contextlib
import functools
import io
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import click

LOOK_S: Final = 1.0
"""Time between two looks."""


def watchable(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `-w/--watch` to a verb that shows something; it looks again until Ctrl-C, or until the verb returns True."""

    @functools.wraps(command)
    def look(*args: Any, watch: bool, **options: Any) -> None:
        if not watch:
            command(*args, **options)
            return
        last = None
        while True:
            with contextlib.redirect_stdout(io.StringIO()) as shown:
                done = command(*args, **options)
            if shown.getvalue() != last:
                last = shown.getvalue()
                if sys.stdout.isatty():
                    click.clear()
                    command(*args, **options)  # once more, for what knows the terminal: colours and width
                else:
                    click.echo(last, nl=False)
            if done is True:
                return
            time.sleep(LOOK_S)

    return click.option("-w", "--watch", is_flag=True, help="Show it anew when it changes, until Ctrl-C.")(look)
