"""Options that every verb has, and how their values reach the process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import click

from flyte_ray.api.settings import init, settings
from flyte_ray.cluster.session import connect, has_cluster


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--root`, `--address`, `-o/--output` and `-v` to a verb."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Say more about what happens."),
        click.option(
            "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How results are written."
        ),
        click.option("--address", help="The Ray cluster (default RAY_ADDRESS)."),
        click.option(
            "--root", help="Where the record lies: a path or s3://… (default FLYTE_RAY_ROOT or ~/.flyte-ray)."
        ),
    ):
        command = option(command)
    return command


def prepare(
    root: str | None, address: str | None, verbose: bool, *, attach: bool = False, root_dir: str | None = None
) -> None:
    """Set up this process; with `attach`, connect to the cluster if there is one."""
    # The user's file may have named its project's folder when it was imported.
    init(root, address, root_dir=root_dir or settings.root_dir, log_level=logging.DEBUG if verbose else logging.WARNING)
    if attach and has_cluster(address):
        connect(address)
