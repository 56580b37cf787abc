"""Run commands where only a dashboard can be reached (`--address http://head:8265`): on the head, as a job of Ray's.

The command is the same one, with the files that it needs; what it prints and shows there is printed and shown here,
and this process exits as it did. Ctrl-C reaches it.
"""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import click

from flyte_ray.api.reachable import inclusions_of
from flyte_ray.api.settings import settings
from flyte_ray.api.sight import Sight
from flyte_ray.cli import CONFIG, WORDS
from flyte_ray.cli.job_side import MARK, Order
from flyte_ray.cli.live import PLAIN_S, Show, view
from flyte_ray.cli.options import the_dashboard
from flyte_ray.cluster.bundle import CopyStyle, build_bundle, collect, find_root
from flyte_ray.cluster.jobs import Job, require_dashboard, start_job
from flyte_ray.spec.origin import is_own
from flyte_ray.spec.task import Sourced
from flyte_ray.storage.working import ROOT_VAR

ROOT_MARK: Final = "pyproject.toml"
"""Marks the project's folder on the head, where it begins as here."""
PICTURE_S: Final = 0.5


class Cargo(NamedTuple):
    """What goes along with a command."""

    files: Mapping[str, bytes]
    """By their paths in the project."""
    home: str | None
    """The project's folder here."""
    places: Mapping[str, str]
    """What words of the command name here, and what they name there."""


def pack_project(declared: Iterable[Sourced], file: str, options: Mapping[str, Any]) -> Cargo:
    """Return what a command needs that names a file of a project.

    Args:
        declared: What it asks for of that file, which may include other files.
        file: As the command names it.
        options: The command's, of which `root_dir` and `copy_style` count.

    """
    root_dir = options["root_dir"]
    home = Path(root_dir).resolve() if root_dir is not None else find_root(Path(file))
    style: CopyStyle = "all" if options["copy_style"] == "all" else "loaded_modules"  # there, too, FILE is imported
    include = [each for one in declared for each in inclusions_of(one)]
    paths = [path for path in collect(home, Path(file), style, include) if not is_own(str(path))]
    bundle = build_bundle(home, paths)  # which refuses what is too large
    with zipfile.ZipFile(io.BytesIO(bundle.data)) as archive:
        files = {ROOT_MARK: b"", **{name: archive.read(name) for name in archive.namelist()}}
    places = {file: Path(file).resolve().relative_to(home).as_posix()}
    return Cargo(files, str(home), places if root_dir is None else {**places, root_dir: "."})


def run_there(cargo: Cargo | None = None) -> NoReturn:
    """Run the command of this process on the head, show what it shows, and exit as it does."""
    address = the_dashboard()
    assert address is not None, "who calls this has looked"
    context = click.get_current_context().find_root()
    words = _without_config(context.meta[WORDS], context.meta[CONFIG])
    require_dashboard(address)
    if sys.stderr.isatty():
        click.echo(f"Through the dashboard at {address}, which takes some seconds.", err=True)
    cargo = cargo or Cargo({}, None, {})
    interval_s = PICTURE_S if sys.stderr.isatty() else PLAIN_S
    order = Order(_replaced(words, cargo.places), address, _root(), cargo.home, interval_s)
    sys.exit(_watch(start_job(address, "flyte_ray.cli.job_side", order.dump(), cargo.files), address))


def _root() -> str | None:
    root = str(settings.root or os.environ.get(ROOT_VAR) or "")
    if root and "://" not in root and not root.startswith(("/", "~")):
        raise click.UsageError(
            f"Where commands run on the head, --root should be a URL or a whole path of the head, got {root!r}."
        )
    return root or None


def _without_config(words: Sequence[str], config: str | None) -> list[str]:
    """Leave out the file of settings, which is here: the root that it names goes along."""
    for number, word in enumerate(words if config is not None else ()):
        if word in ("--config", "-c"):
            return [*words[:number], *words[number + 2 :]]
        if word in (f"--config={config}", f"-c{config}"):
            return [*words[:number], *words[number + 1 :]]
    return list(words)


def _replaced(words: list[str], places: Mapping[str, str]) -> list[str]:
    """Put what things are called there in the place of their names here, the first time that each stands there."""
    for here, there in places.items():
        for number, word in enumerate(words):
            name, equals, value = word.partition("=")
            if word == here or (equals and name.startswith("--") and value == here):
                words[number] = there if word == here else f"{name}={there}"
                break
    return words


def _watch(job: Job, address: str) -> int:
    shown = _Shown()
    stopped = False
    try:
        while True:
            try:
                for line in job.lines():
                    shown.take(line)
                code = job.exit_code()
                if code and shown.before is not None:
                    click.echo("\n".join(shown.before), err=True)
                return code
            except KeyboardInterrupt:
                if stopped:
                    click.echo(f"Interrupted, but what runs at {address} as job {job.name} may go on.", err=True)
                    return 130
                stopped = True
                job.stop()
    finally:
        shown.close()


class _Shown:
    """Shows what a job tells."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._show: Show | None = None
        self.before: list[str] | None = []
        """What Ray says before the command begins; None once it has."""

    def take(self, line: str) -> None:
        if not line.startswith(MARK):
            if self.before is not None:
                self.before.append(line)
            else:
                click.echo(line, err=True)
            return
        self.before = None
        message: dict[str, Any] = json.loads(line.removeprefix(MARK))
        if "text" in message:
            stream = sys.stdout if message["to"] == "out" else sys.stderr
            stream.write(message["text"])
            stream.flush()
        elif "begin" in message:
            self._show, _ = self._stack.enter_context(view(message["begin"]))
        elif "sight" in message and self._show is not None:
            fields = message["sight"]
            self._show(Sight(**{**fields, "waits": tuple(fields["waits"])}))
        elif "end" in message:
            self.close()

    def close(self) -> None:
        self._show = None
        self._stack.close()
