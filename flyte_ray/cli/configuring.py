"""The verbs for settings: create config, get config."""

from __future__ import annotations

import json
from pathlib import Path

import click
import yaml

from flyte_ray.api.config import FILE, auto, in_force, use
from flyte_ray.cli import CONFIG
from flyte_ray.cli.options import common
from flyte_ray.cli.reading import get, show
from flyte_ray.cli.tokens import create
from flyte_ray.spec.setting import SECTION, SETTINGS, Setting, shown


@get.command("config", short_help="Show the settings that apply, and where each came from.")
@common
@click.pass_context
def get_config(context: click.Context, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """Show each setting: its value, where that came from (an option, a variable, a file), and its variable.

    The same names stand in the section `flyte-ray` of a config file and in `[tool.flyte-ray]` of a pyproject.toml.
    """
    config = auto(context.find_root().meta.get(CONFIG))
    use(config)
    rows = []
    for name, found in in_force(config, {"root": root, "address": address}):
        setting = SETTINGS[name]
        value = shown(found.value) if found else setting.default
        about = {"about": setting.about} if output == "json" else {}
        origin = found.origin if found else "default"
        rows.append({"setting": name, "value": value, "from": origin, "variable": setting.variable, **about})
    show(rows, output)


@create.command("config", short_help="Write a config file.")
@common
@click.option(
    "--file", type=click.Path(dir_okay=False), default=str(FILE), show_default=True, help="Where to write it."
)
@click.option("--set", "given", metavar="NAME=VALUE", multiple=True, help="A setting; repeatable. VALUE is YAML.")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
def create_config(
    file: str, given: tuple[str, ...], force: bool, root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """Write a config file with the given --root, --address and settings, and all others as comments."""
    values: dict[str, object] = {
        name: value for name, value in (("root", root), ("address", address)) if value is not None
    }
    for word in given:
        name, equals, text = word.partition("=")
        if not equals or name not in SETTINGS:
            raise click.UsageError(f"--set expects NAME=VALUE with one of {', '.join(SETTINGS)}, got {word!r}.")
        values[name] = SETTINGS[name].read(_parse(text), "--set")
    path = Path(file)
    if path.exists() and not force:
        raise click.UsageError(f"{path} is there already. Edit it, or replace it with --force.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_written(values))
    click.echo(
        json.dumps({"file": str(path)}) if output == "json" else f"Wrote {path}; 'flyte-ray get config' shows it."
    )


def _parse(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise click.UsageError(f"--set expects a VALUE that is YAML, got {text!r}: {error}") from error


def _written(values: dict[str, object]) -> str:
    """Lay out a config file: what is given, and the others as comments."""
    lines = [f"{SECTION}:" if values else f"# {SECTION}:"]
    for setting in SETTINGS.values():
        lines += [f"  # {setting.about}", f"  {_line(setting, values)}"]
    return "\n".join(lines) + "\n"


def _line(setting: Setting, values: dict[str, object]) -> str:
    if setting.name not in values:
        return f"# {setting.name}: {setting.example}  # default: {setting.default}"
    return yaml.safe_dump({setting.name: values[setting.name]}, default_flow_style=True, width=10**6).strip()[1:-1]
