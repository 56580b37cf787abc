"""The verbs for tokens: create token, get token, delete token."""

from __future__ import annotations

import json
import os
import time

import click

from flyte_ray.api.settings import current_store
from flyte_ray.cli.caching import delete
from flyte_ray.cli.options import common, prepare, prepare_confidential
from flyte_ray.cli.reading import format_time, get, show
from flyte_ray.ledger.tokens import create_token, delete_token, list_tokens
from flyte_ray.runtime.user import current_user


@click.group(short_help="Make tokens, secrets, queues, triggers, config files.")
def create() -> None:
    """Make tokens, by which others are let in, secrets, triggers and config files."""


@create.command("token")
@common
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="app:NAME, app:*, api:read, api:write; repeatable."
)
@click.argument("name")
def create_one(
    name: str, scopes: tuple[str, ...], root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """Make a token, called NAME, and print it; nobody can find it out later.

    Apps ask for `Authorization: Bearer TOKEN`, and for the scope app:NAME with the app's name.
    """
    prepare_confidential("A token", root, address, verbose)
    now = time.time_ns() // 1000
    text, token = create_token(current_store(), name, scopes, random=os.urandom, at_us=now, by=current_user())
    click.echo(
        json.dumps({"id": token.id, "name": name, "scopes": token.scopes, "token": text}) if output == "json" else text
    )


@get.command("token", short_help="List tokens.")
@common
def get_tokens(root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """List tokens, the newest first; what they are is not kept."""
    prepare(root, address, verbose)
    rows = [
        {
            "id": token.id,
            "name": token.name,
            "scopes": ", ".join(token.scopes),
            "at": format_time(token.at_us),
            "by": token.by,
        }
        for token in list_tokens(current_store())
    ]
    show(rows, output)


@delete.command("token")
@common
@click.argument("token")
def delete_one(token: str, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """Delete the token with this id or name; apps refuse it within seconds."""
    prepare(root, address, verbose)
    gone = delete_token(current_store(), token)
    click.echo(json.dumps({"id": gone.id, "deleted": True}) if output == "json" else f"Deleted token {gone.name}.")
