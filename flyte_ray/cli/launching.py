"""Start a run for a verb and see it to its end, or leave it to the cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from flyte_ray.api.run import Run
from flyte_ray.api.settings import current_store
from flyte_ray.cli.following import follow, start_ray
from flyte_ray.cli.options import again
from flyte_ray.types.form import CannotStoreError


def check_detached(options: Mapping[str, Any], mode: str, *, embedded: bool) -> None:
    """Refuse to leave a run to a cluster that ends with this process."""
    if options["detach"] and (embedded or mode == "local"):
        raise click.UsageError(
            "--detach needs a cluster that goes on without this process, got none. Give --address, or leave it out."
        )


def launch(start: Callable[[], Run], run: Run, options: Mapping[str, Any], *, embedded: bool) -> None:
    """Start a run, and follow it unless it is to be detached.

    Args:
        start: Starts it.
        run: It, which does not exist yet.
        options: `detach` and `output` of the verb.
        embedded: On a Ray of this process's own, which is started first.

    """

    def begin() -> Run:
        if embedded:
            start_ray(run.name)
        try:
            return start()
        except TypeError as error:
            # The call is right, but what it names is not there, or cannot be stored.
            unusable = isinstance(error.__cause__, CannotStoreError)
            raise (click.ClickException if unusable else click.UsageError)(str(error)) from error

    if not options["detach"]:
        follow(current_store(), run, begin, options["output"])
        return
    begin()
    if options["output"] == "json":
        click.echo(json.dumps({"run": run.name, "url": run.url}))
    else:
        click.echo(f"Run {run.name} goes on in the cluster.\nLook at it: {again('get run', run.name)}")
