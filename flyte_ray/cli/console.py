"""The verb `console`: serve the pages of a root from this process."""

from __future__ import annotations

import socket
from typing import Final

import click

from flyte_ray.api.settings import current_store
from flyte_ray.cli.options import common, prepare

PORT: Final = 8088


@click.command(short_help="Serve the console: every run of a root in the browser.")
@common
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; elsewhere it asks for a token.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
def console(host: str, port: int, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """Serve the console until Ctrl-C.

    It reads the root alone; where the cluster that holds a run can be reached, the run can be steered, too.
    """
    prepare(root, address, verbose, attach=True)
    import uvicorn  # a fifth of a second, and FastAPI half of one; only who serves pays it

    from flyte_ray.console.building import build_console

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"The console of {current_store().uri} is at http://{shown}:{listener.getsockname()[1]}/")
        server = uvicorn.Server(uvicorn.Config(build_console(), log_config=None, timeout_graceful_shutdown=1))
        server.run(sockets=[listener])
