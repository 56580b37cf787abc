"""The command `flyte-ray`: its verbs in one table, each imported when it is used.

Exit codes: 0 done, 1 the run failed, or what was asked for cannot be done as things stand, 2 wrong usage, 130
interrupted.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import click
from click.shell_completion import CompletionItem

from flyte_ray.cli import CONFIG, FRONT, VERBOSE, WORDS, everywhere
from flyte_ray.errors import (
    ActionNotFoundError,
    BaseRuntimeError,
    DeclarationError,
    ObjectMissing,
    RunFencedError,
    StoreError,
)
from flyte_ray.spec.nearest import did_you_mean


class Verb(NamedTuple):
    """Where a verb lies."""

    about: str
    """Its line in the list of verbs: what its `short_help` says, which is not imported for the list."""
    modules: tuple[str, ...]
    """Modules of this package that declare it: the first one holds it, the others add nouns to it."""


VERBS: Final = {
    "submit": Verb("Run a task of a file, or list its tasks.", ("running",)),
    "rerun": Verb("Start a run anew from an earlier one.", ("rerunning",)),
    "resume": Verb("Continue a run that was cut off, failed or was aborted.", ("resuming",)),
    "abort": Verb("Abort a run, or one action with all below it.", ("steering",)),
    "signal": Verb("Signal a condition that a run waits for.", ("conditions",)),
    "serve": Verb("Serve an app of a file.", ("apps",)),
    "build": Verb("Build the containers that environments of a file need.", ("building",)),
    "deploy": Verb("Deploy the tasks and apps of a file.", ("deploying",)),
    "backfill": Verb("Start the runs that a trigger would have started in the past.", ("triggers",)),
    "console": Verb("Serve the console: every run of a root in the browser.", ("console",)),
    "get": Verb(
        "Show runs, actions, their values and what they printed.",
        (
            "reading",
            "caching",
            "queues",
            "tokens",
            "conditions",
            "apps",
            "configuring",
            "bundles",
            "lasting",
            "deploying",
            "triggers",
            "secrets",
        ),
    ),
    "create": Verb(
        "Make tokens, secrets, queues, triggers, config files.",
        ("tokens", "configuring", "queues", "triggers", "secrets"),
    ),
    "update": Verb("Switch apps and triggers off and on.", ("apps", "triggers")),
    "delete": Verb(
        "Delete runs, apps, tasks, triggers, queues, secrets, tokens.",
        ("caching", "tokens", "queues", "apps", "bundles", "deploying", "triggers", "secrets"),
    ),
    "up": Verb("Start a Ray on this machine that stays, with the console.", ("lasting",)),
    "down": Verb("End the Ray that 'up' has started.", ("lasting",)),
    "completion": Verb("Print the completion for bash, zsh or fish.", ("completing",)),
    "doctor": Verb("Check what is installed, reached and writable, and say what to do.", ("doctor",)),
}
_TOO_LATE: Final = ("NotAborted", "NotSignalled", "NotDeleted", "DeploymentError")
"""Codes of errors that depend on how a run or an app stands, and not on the words of the command."""


class Refused(click.ClickException):
    """What was asked for cannot be meant; says why in one sentence, without a traceback."""

    exit_code = 2


class Failed(Refused):
    """What was asked for cannot be done as things stand: it may have been a moment ago, or be in a while."""

    exit_code = 1


class Verbs(click.Group):
    """The verbs of the table; their commands show our errors as one sentence."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words: another process may have to run the same command."""
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the alphabet."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb."""
        if cmd_name not in VERBS:
            return None
        first, *others = (importlib.import_module(f"flyte_ray.cli.{name}") for name in VERBS[cmd_name].modules)
        del others
        found: click.Command = getattr(first, cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs, of which none is imported for that."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, VERBS[name].about) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a verb, of which none is imported for that."""
        names = (name for name in sorted(VERBS) if name.startswith(incomplete))
        verbs = [CompletionItem(name, help=VERBS[name].about) for name in names]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that is meant, or name the nearest one."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], VERBS, f"There are: {', '.join(sorted(VERBS))}.")
            ctx.fail(f"No such verb '{args[0]}'. {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (StoreError, RunFencedError) as error:
            raise _told(ctx, Failed, error) from error
        except (ActionNotFoundError, BaseRuntimeError, DeclarationError, ObjectMissing) as error:
            kind = Failed if getattr(error, "code", "") in _TOO_LATE else Refused
            raise _told(ctx, kind, error) from error
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            sys.exit(130)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:  # whatever it is: nobody should have to read our frames
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = (
                f"This should not happen: {type(error).__name__}: {error} ({where.filename}:{where.lineno})."
                f" -vv shows where it comes from; please report it."
            )
            raise _told(ctx, Failed, said) from error


def _told(ctx: click.Context, kind: type[Refused], error: Exception | str) -> Refused:
    """Make the sentence that is shown for an error, behind its traceback where -vv asks for one."""
    if ctx.find_root().meta.get(VERBOSE, 0) > 1:
        click.echo(traceback.format_exc(), err=True, nl=False)
    return kind(str(error))


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from importlib import metadata  # with the rest of 'email' that it imports; no other option needs it

    try:
        version = metadata.version("flyte-ray")
    except metadata.PackageNotFoundError:
        version = "(not installed: used from its sources)"
    click.echo(f"flyte-ray {version}")
    context.exit()


def _if_given(context: click.Context, option: click.Parameter, given: Any) -> Any:
    return given if context.get_parameter_source(str(option.name)) is click.core.ParameterSource.COMMANDLINE else None


def _in_front(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every verb, of which nothing counts in front that is not given there."""
    for option in everywhere(_if_given, _if_given):
        command = option(command)
    return command


@click.group(cls=Verbs)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
@click.option(
    "-c",
    "--config",
    type=click.Path(exists=True, dir_okay=False),
    help="Read settings from this file alone; 'get config' shows what applies.",
)
@_in_front
@click.pass_context
def main(context: click.Context, /, config: str | None, verbose: int | None, **front: Any) -> None:
    """Durable data and ML work on Ray."""
    context.meta.update({CONFIG: config, VERBOSE: verbose or 0, FRONT: front})


if __name__ == "__main__":
    main(prog_name="flyte-ray")
