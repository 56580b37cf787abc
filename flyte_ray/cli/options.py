"""Options that every verb has, and how their values reach the process."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import click

from flyte_ray.api.config import auto, use
from flyte_ray.api.settings import again as again
from flyte_ray.api.settings import current_store, init, settings
from flyte_ray.cli import CONFIG, FRONT, VERBOSE, everywhere, job_side
from flyte_ray.cluster.reach import is_dashboard
from flyte_ray.cluster.session import connect, has_cluster, quieten_ray
from flyte_ray.runtime.aliases import stand_in_for_flyte
from flyte_ray.runtime.logs import set_levels
from flyte_ray.spec.image import Image
from flyte_ray.storage.local import local_path


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--root`, `--address`, `-o/--output` and `-v` to a verb; they may stand in front of it, too."""
    for option in everywhere(_or_front, _count):
        command = option(command)
    return command


def _or_front(context: click.Context, option: click.Parameter, given: Any) -> Any:
    if context.get_parameter_source(str(option.name)) is not click.core.ParameterSource.DEFAULT:
        return given
    return context.find_root().meta.get(FRONT, {}).get(option.name) or given


def _count(context: click.Context, _: click.Parameter, given: int) -> bool:
    meta = context.find_root().meta
    meta[VERBOSE] = max(given, meta.get(VERBOSE, 0))
    return bool(meta[VERBOSE])


def of_project(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--copy-style`, `--root-dir` and `--image` to a verb that takes a file."""
    for option in (
        of_images,
        click.option(
            "--root-dir",
            type=click.Path(exists=True, file_okay=False),
            help="The project's folder, from which FILE is imported (default: FILE's own, or its package's).",
        ),
        click.option(
            "--copy-style",
            type=click.Choice(["loaded_modules", "all", "none"]),
            default="loaded_modules",
            help="Which files of the project travel.",
        ),
    ):
        command = option(command)
    return command


def of_images(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--image`, which names images for `insist`."""
    return click.option(
        "--image",
        metavar="NAME=URI",
        multiple=True,
        callback=_images,
        help="The address that Image.from_ref_name(NAME) has; URI alone: that of from_ref_name(); repeatable.",
    )(command)


def _images(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    return pairs(
        context, option, tuple(text if "=" in text else f"{Image.from_ref_name().ref_name}={text}" for text in given)
    )


def of_run(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--name`, `--env`, `--label`, `--detach`, and what limits it, to a verb that starts a run."""
    for option in (
        click.option(
            "--max-action-concurrency",
            *("most",),
            metavar="N",
            type=int,
            default=0,
            help="Actions that run at a time, but those that wait for others: at least 2 (default: no limit).",
        ),
        click.option("--queue", help="The queue of tasks that name none: its limits hold for all runs."),
        click.option("--detach", is_flag=True, help="Return when the run has started; it goes on in the cluster."),
        click.option("--label", metavar="K=V", multiple=True, callback=pairs, help="Shown with the run; repeatable."),
        click.option(
            "--env", metavar="K=V", multiple=True, callback=pairs, help="A variable of all slots; repeatable."
        ),
        click.option("--name", help="The run's name (default: made up)."),
    ):
        command = option(command)
    return command


def pairs(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Read a repeatable option of the form KEY=VALUE."""
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"expected KEY=VALUE, got {text!r}. Write for example A=1.", context, option)
        found[key] = value
    return found


def prepare(
    root: str | None, address: str | None, verbose: bool, *, attach: bool = False, travels: bool = True
) -> None:
    """Set up this process; with `attach`, connect to the cluster if there is one.

    Where only a dashboard can be reached, this runs the command there and exits, unless it `travels` not, or later.
    """
    use(auto(click.get_current_context().find_root().meta.get(CONFIG)))
    stand_in_for_flyte()
    set_levels(logging.WARNING, None)
    init(root, _here(address), log_level=logging.DEBUG if verbose else None)
    if travels and the_dashboard() is not None:
        from flyte_ray.cli.dashboard import run_there  # which most commands do without

        run_there()
    if not verbose:
        quieten_ray()
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        # Ray colours the prefix of what workers print, also where it goes to a file.
        os.environ.setdefault("RAY_COLOR_PREFIX", "0")
    if attach and has_cluster(settings.address) and the_dashboard() is None:
        connect(settings.address)


def the_dashboard() -> str | None:
    """Return the address that applies, if it is a dashboard's."""
    address = settings.address or os.environ.get("RAY_ADDRESS")
    return address if is_dashboard(address) else None


def prepare_confidential(what: str, root: str | None, address: str | None, verbose: bool) -> None:
    """Set up this process for what no dashboard may pass on: it shows a job's command, and keeps what that prints."""
    prepare(root, address, verbose, travels=False)
    if the_dashboard() is not None and local_path(current_store().uri) is not None:
        raise click.UsageError(
            f"{what} cannot be made through a dashboard, which shows and keeps what passes through it. Give --root as"
            f" the URL of a store that this machine reaches, or run the command on the head."
        )


def insist(
    root: str | None,
    address: str | None,
    root_dir: str | None,
    verbose: bool,
    images: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Let the command line win over what the user's file said to `flyte.init` while it was imported."""
    init(
        root or settings.root,
        _here(address) or settings.address,
        settings.storage,
        root_dir or settings.root_dir,
        log_level=logging.DEBUG if verbose else None,
        pickles=settings.pickles,
        images={**settings.images, **images},
    )


def _here(address: str | None) -> str | None:
    """Return the address of the cluster for this process, which may run on it where its user reaches a dashboard."""
    return address if job_side.current is None else os.environ["RAY_ADDRESS"]
