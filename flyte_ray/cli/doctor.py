"""The verb `doctor`: look at what runs need, and say what to do about what is wrong."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

import click

from flyte_ray.api.config import auto
from flyte_ray.api.settings import current_pickling, current_store, settings
from flyte_ray.cli import CONFIG
from flyte_ray.cli.options import common, prepare
from flyte_ray.cli.reading import show
from flyte_ray.cluster.exposure import Exposure, find_exposure
from flyte_ray.cluster.reach import is_dashboard, require_cluster
from flyte_ray.cluster.session import has_cluster
from flyte_ray.errors import BaseRuntimeError, DeclarationError
from flyte_ray.ledger.cutoff import list_cut_off
from flyte_ray.spec.version import VERSION
from flyte_ray.storage import ensure_writable
from flyte_ray.storage.local import local_path

NEEDED: Final = ("ray", "pyarrow", "pydantic", "s3fs", "click", "rich", "cloudpickle", "pathspec", "PyYAML", "aiohttp")
FREE_GIB: Final = 1.0
"""A disk with less is about to refuse records."""
FILES: Final = 4096
"""How many files a process of Ray's should be allowed to open, at least."""


class Finding(NamedTuple):
    """What one look found."""

    check: str
    state: str
    """`ok`, `note` (works, but look) or `wrong`."""
    found: str
    do: str = ""


@click.command(short_help="Check what is installed, reached and writable, and say what to do.")
@common
@click.pass_context
def doctor(context: click.Context, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """Check what runs need: versions, settings, the root, the key, the cluster; exit code 1 if something is wrong."""
    findings = [*_versions()]
    settled = list(_asked("settings", lambda: _settings(context, root, address, verbose)))
    findings += settled
    if settled[-1].state != "wrong":
        for name, look in (("root", _root), ("key", _key), ("cluster", _cluster), ("machine", _machine)):
            findings += _asked(name, look)
    if output == "json":
        click.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        show([finding._asdict() for finding in findings], output)
    wrong = sum(finding.state == "wrong" for finding in findings)
    if wrong:
        sys.exit(1)


def _asked(name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except (BaseRuntimeError, DeclarationError, OSError) as error:
        yield Finding(name, "wrong", str(error))


def _versions() -> Iterator[Finding]:
    yield Finding("flyte-ray", "ok", f"{VERSION} on Python {platform.python_version()}")
    for name in NEEDED:
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(name, "wrong", "not installed", f"pip install {name}")


def _settings(context: click.Context, root: str | None, address: str | None, verbose: bool) -> Iterator[Finding]:
    config = auto(context.find_root().meta.get(CONFIG))
    prepare(root, address, verbose, travels=False)
    yield Finding("settings", "ok", f"from {config.source}" if config.source else "no config file", "")


def _root() -> Iterator[Finding]:
    store = current_store()
    since = time.monotonic()
    ensure_writable(store)
    yield Finding("root", "ok", f"{store.uri}, written in {(time.monotonic() - since) * 1000:.0f} ms")
    folder = local_path(store.uri)
    if folder is not None:
        free = shutil.disk_usage(folder).free / 2**30
        state = "ok" if free > FREE_GIB else "wrong"
        yield Finding(
            "disk", state, f"{free:.1f} GiB free", "" if state == "ok" else "Free some, or use another --root."
        )
    cut_off = list(list_cut_off(store))
    if cut_off:
        shown = ", ".join(cut_off[:3]) + (", …" if len(cut_off) > 3 else "")
        yield Finding("runs", "note", f"{len(cut_off)} cut off: {shown}", f"flyte-ray resume {cut_off[0]}")


def _key() -> Iterator[Finding]:
    pickling = current_pickling()
    if pickling.is_off:
        yield Finding("key", "ok", "not needed: pickles are refused")
    elif pickling.key is None:
        yield Finding("key", "note", f"this user {pickling.lacks}", "The first run makes one.")
    else:
        yield Finding("key", "ok", "pickles are signed")


def _cluster() -> Iterator[Finding]:
    if not has_cluster(settings.address):
        said = "none is named: commands start a Ray of their own"
        yield Finding("cluster", "note", said, "flyte-ray up, or give --address.")
        return
    where = str(settings.address or os.environ["RAY_ADDRESS"])
    since = time.monotonic()
    if is_dashboard(where):
        from flyte_ray.cluster.jobs import require_dashboard  # which few need

        require_dashboard(where)
        said = "through its dashboard"
    else:
        require_cluster(where)
        said = "with our versions"
    yield Finding("cluster", "ok", f"{where} answers in {(time.monotonic() - since) * 1000:.0f} ms, {said}")
    yield from _exposure(find_exposure(where))


def _exposure(found: Exposure | None) -> Iterator[Finding]:
    if found is None:
        return
    if found.asks_for_token:
        yield Finding("exposure", "ok", "the cluster asks for a token")
    for each in found.open:
        said = f"{each} executes code for whoever reaches it: no token is asked for"
        yield Finding(
            "exposure", "note", said, "RAY_AUTH_MODE=token, or let Ray listen on 127.0.0.1 (docs/security.md)"
        )
    if not found.asks_for_token and not found.open:
        yield Finding("exposure", "ok", "no port of the cluster was found open to other machines")


def _machine() -> Iterator[Finding]:
    if sys.platform != "linux":
        yield Finding("system", "note", sys.platform, "What a killed slot has started ends with it on Linux alone.")
    try:
        import resource  # not on Windows
    except ModuleNotFoundError:
        return
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 0 <= soft < FILES
    yield Finding("open files", "note" if few else "ok", f"{soft} per process", f"ulimit -n {FILES}" if few else "")
