"""The verbs for conditions: get condition, signal condition."""

from __future__ import annotations

import json
import sys

import click

from flyte_ray.api.signalling import Condition
from flyte_ray.cli.completing import complete_runs
from flyte_ray.cli.options import again, common, prepare
from flyte_ray.cli.reading import get, show
from flyte_ray.errors import ConditionNotFoundError
from flyte_ray.spec.condition import ConditionValue, parse_value
from flyte_ray.spec.nearest import did_you_mean
from flyte_ray.spec.phase import ActionPhase


@get.command("condition", short_help="List the conditions of a run.")
@common
@click.argument("run", shell_complete=complete_runs)
@click.argument("action", required=False)
def get_condition(
    run: str, action: str | None, root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """List the conditions of RUN, or those that ACTION made: `paused` ones wait for a signal."""
    prepare(root, address, verbose)
    rows = [each.to_dict() for each in Condition.listall(run, action)]
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    names = {
        "name": "name",
        "action_name": "id",
        "parent_name": "made by",
        "phase": "phase",
        "data_type": "type",
        "value": "value",
        "signalled_by": "signalled by",
        "timeout_s": "timeout",
        "prompt": "prompt",
    }
    show([{shown: row[name] for name, shown in names.items()} for row in rows], output)


@click.group(short_help="Signal a condition that a run waits for.")
def signal() -> None:
    """Signal what a run waits for."""


@signal.command("condition", short_help="Answer a condition of a run.")
@common
@click.argument("run", shell_complete=complete_runs)
@click.argument("name")
@click.argument("value", required=False)
def signal_condition(
    run: str, name: str, value: str | None, root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """Answer condition NAME of RUN with VALUE; on a terminal VALUE is asked for if it is left out.

    NAME may be the condition's id, too. VALUE is read as the condition's type: true or false, a whole number, a number,
    or any text. Returns when the signal is stored; a second one is refused. Needs no cluster, only the root.
    """
    prepare(root, address, verbose)
    condition = _pick(run, name)
    try:
        payload = _ask(condition) if value is None else parse_value(value, condition.expected_type)
    except ValueError as error:
        raise click.UsageError(f"Condition '{name}' of run '{run}': {error}") from error
    condition.signal(payload)
    if output == "json":
        about = {"run": run, "condition": condition.name, "action": condition.action_name}
        click.echo(json.dumps({**about, "value": payload, "signalled": True}))
    else:
        click.echo(f"Signalled condition {condition.name} of run {run} with {payload!r}.")


def _ask(condition: Condition) -> ConditionValue:
    if not sys.stdin.isatty():
        raise ValueError(f"expected VALUE, of type {condition.expected_type.__name__}, got none. Add it behind NAME.")
    if condition.description:
        click.echo(condition.description)
    question = f"{condition.prompt} [{condition.expected_type.__name__}]"
    while True:
        try:
            return parse_value(click.prompt(question, type=str), condition.expected_type)
        except ValueError as error:
            click.echo(str(error), err=True)


def _pick(run: str, name: str) -> Condition:
    conditions = list(Condition.listall(run))
    named = [each for each in conditions if name in (each.name, each.action_name)]
    if not named:
        has = ", ".join(dict.fromkeys(each.name for each in conditions)) or "none"
        near = did_you_mean(name, [each.name for each in conditions])
        raise ConditionNotFoundError(
            f"Expected a condition of run '{run}', got '{name}'. It has: {has}. {near}".rstrip()
        )
    waiting = [each for each in named if each.phase == ActionPhase.PAUSED.value]
    if len(waiting) > 1:
        ids = ", ".join(f"{each.action_name} (made by {each.parent_name})" for each in waiting)
        raise click.UsageError(
            f"Several actions of run '{run}' wait for a condition '{name}'. Signal one by its id: {ids}."
            f" '{again('get condition', run)}' shows their prompts."
        )
    return (waiting or named)[0]
