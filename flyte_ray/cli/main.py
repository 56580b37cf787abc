"""The command `flyte-ray`: its verbs in one table.

Exit codes: 0 done, 1 the run failed, or what was asked for cannot be done as things stand, 2 wrong usage, 130
interrupted.
"""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Any, Final

import click

from flyte_ray.cli.apps import serve, update
from flyte_ray.cli.caching import delete
from flyte_ray.cli.conditions import signal
from flyte_ray.cli.console import console
from flyte_ray.cli.reading import get
from flyte_ray.cli.rerunning import rerun
from flyte_ray.cli.resuming import resume
from flyte_ray.cli.running import submit
from flyte_ray.cli.steering import abort
from flyte_ray.cli.tokens import create
from flyte_ray.errors import (
    ActionNotFoundError,
    BaseRuntimeError,
    DeclarationError,
    ObjectMissing,
    RunFencedError,
    StoreError,
)

VERBS: Final = (submit, rerun, resume, abort, signal, serve, console, get, create, update, delete)
_TOO_LATE: Final = ("NotAborted", "NotSignalled", "DeploymentError")
"""Codes of errors that depend on how a run or an app stands, and not on the words of the command."""


class Refused(click.ClickException):
    """What was asked for cannot be meant; says why in one sentence, without a traceback."""

    exit_code = 2


class Failed(Refused):
    """What was asked for cannot be done as things stand: it may have been a moment ago, or be in a while."""

    exit_code = 1


class Verbs(click.Group):
    """A group whose commands show our errors as one sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (StoreError, RunFencedError) as error:
            raise Failed(str(error)) from error
        except (ActionNotFoundError, BaseRuntimeError, DeclarationError, ObjectMissing) as error:
            raise (Failed if getattr(error, "code", "") in _TOO_LATE else Refused)(str(error)) from error
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            sys.exit(130)


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    try:
        version = importlib.metadata.version("flyte-ray")
    except importlib.metadata.PackageNotFoundError:
        version = "(not installed: used from its sources)"
    click.echo(f"flyte-ray {version}")
    context.exit()


@click.group(cls=Verbs)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def main() -> None:
    """Durable data and ML work on Ray."""


for verb in VERBS:
    main.add_command(verb)

if __name__ == "__main__":
    main(prog_name="flyte-ray")
