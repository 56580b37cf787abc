"""The verbs for secrets: create secret, get secret, delete secret."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import click

from flyte_ray.api.settings import current_store
from flyte_ray.cli.caching import delete
from flyte_ray.cli.options import common, prepare, prepare_confidential
from flyte_ray.cli.reading import format_time, get, show
from flyte_ray.cli.tokens import create
from flyte_ray.ledger.secrets import delete_secret, list_secrets, put_secret
from flyte_ray.runtime.keys import secrets_key
from flyte_ray.runtime.user import current_user


@create.command("secret")
@common
@click.option(
    "--from-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the value from this file, as it is.",
)
@click.option("--value", help="The value; this machine's other users and the shell's history may show it.")
@click.argument("name")
def create_one(
    name: str,
    value: str | None,
    from_file: Path | None,
    root: str | None,
    address: str | None,
    output: str,
    verbose: bool,
) -> None:
    """Keep a secret in the root, called NAME: the KEY of flyte.Secret, or GROUP/KEY; an earlier one is replaced.

    The value is asked for, or read from stdin if that is no terminal. It is encrypted with the key in
    ~/.flyte-ray/secrets-key, which is made if there is none; FLYTE_RAY_SECRETS_KEY_FILE names another file.
    """
    prepare_confidential("A secret", root, address, verbose)
    if value is not None and from_file is not None:
        raise click.UsageError("A secret has one value, got --value and --from-file. Give one of them.")
    key = secrets_key(make=True)
    assert key is not None, "it was made"
    now = time.time_ns() // 1000
    data = from_file.read_bytes() if from_file else (_ask(name) if value is None else value).encode()
    put_secret(current_store(), name, data, key, random=os.urandom, at_us=now, by=current_user())
    click.echo(json.dumps({"name": name}) if output == "json" else f"Kept secret {name}.")


def _ask(name: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(f"Value of {name}", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")


@get.command("secret", short_help="List the secrets that the root keeps.")
@common
def get_secrets(root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """List the secrets that the root keeps: names, never values."""
    prepare(root, address, verbose)
    kept = list_secrets(current_store())
    show([{"name": each.name, "at": format_time(each.at_us), "by": each.by} for each in kept], output)


@delete.command("secret")
@common
@click.argument("name")
def delete_one(name: str, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """Delete the secret with this name; runs that go on keep what they were given."""
    prepare(root, address, verbose)
    gone = delete_secret(current_store(), name)
    click.echo(json.dumps({"name": gone.name, "deleted": True}) if output == "json" else f"Deleted secret {gone.name}.")
