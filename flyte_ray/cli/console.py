"""The verb `console`: serve the pages of a root from this process."""

from __future__ import annotations

import socket
from typing import Final

import click

from flyte_ray.api.settings import current_store
from flyte_ray.cli.options import again, common, prepare

PORT: Final = 8088


@click.command(short_help="Serve the console: every run of a root in the browser.")
@common
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; elsewhere it asks for a token.")
@click.option("--ask-token", is_flag=True, help="Ask for a token on this machine, too, where others work as well.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
def console(
    host: str, port: int, ask_token: bool, root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """Serve the console until Ctrl-C.

    It reads the root alone; where the cluster that holds a run can be reached, the run can be steered, too. What others
    can reach asks for a token: flyte-ray create token NAME --scope api:write.
    """
    prepare(root, address, verbose, attach=True, travels=False)
    import uvicorn  # a fifth of a second, and FastAPI half of one; only who serves pays it

    from flyte_ray.console.building import build_console
    from flyte_ray.console.guard import LOCAL_NAMES

    ask_token = ask_token or host not in LOCAL_NAMES
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise click.ClickException(
            f"Port {port} of {host} should be free to listen on, but: {error.strerror}. --port 0 takes a free one."
        ) from error
    with listener:
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"The console of {current_store().uri} is at http://{shown}:{listener.getsockname()[1]}/")
        if ask_token:
            click.echo(f"It asks for a token: {again('create token', 'NAME', '--scope', 'api:write')}")
        server = uvicorn.Server(
            uvicorn.Config(build_console(ask_token=ask_token), log_config=None, timeout_graceful_shutdown=1)
        )
        server.run(sockets=[listener])
