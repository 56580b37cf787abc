"""Find the files that hold settings, and have them apply to this process.

A setting comes from the first of: what `init` or an option was given, its variable, the files in the order of `auto`.
Invariants: the sections of a config file that speak to Flyte's control plane are left alone; a wrong value is said with
the file that holds it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from flyte_ray.api.both import both_forms
from flyte_ray.api.settings import init, settings
from flyte_ray.cluster.lasting import find_lasting
from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.nearest import did_you_mean
from flyte_ray.spec.requirements import parse_toml
from flyte_ray.spec.setting import SECTION, SETTINGS
from flyte_ray.storage import Storage

FILE: Final = Path(".flyte", "config.yaml")
TAKEN_BY_INIT: Final = ("root", "address", "storage", "root_dir", "log_level", "user_log_level", "pickles")
"""The others are read from their variables, wherever they are needed."""
_PATHS: Final = ("root", "root_dir")


class Found(NamedTuple):
    """A setting as it applies."""

    value: Any
    origin: str
    """Which variable or file it came from."""


@dataclass(frozen=True)
class Config:
    """What the config files that were found say."""

    settings: Mapping[str, Found] = field(default_factory=dict)
    source: Path | None = None
    """The first of the files."""


def auto(config_file: str | os.PathLike[str] | None = None) -> Config:
    """Read the settings of config files.

    Args:
        config_file: Read this file alone: YAML with a section `flyte-ray`, or TOML with `[tool.flyte-ray]`. Default:
            each setting from the first of `./.flyte/config.yaml`, that of the folder with the `.git`, the nearest
            `pyproject.toml` up to there, and `~/.flyte/config.yaml`; then `address` from `flyte-ray up`.

    Raises:
        InvalidDeclaration: A file cannot be read, or a setting does not exist or cannot be meant.

    Source: `flyte.config.auto`.

    """
    given = [Path(config_file)] if config_file is not None else None
    if given and not given[0].is_file():
        raise InvalidDeclaration(
            f"A config file should lie at {given[0]}, but none does. 'flyte-ray create config' makes one."
        )
    found: dict[str, Found] = {}
    source = None
    for path in given or _places():
        said = _read(path)
        source = source or (path if said else None)
        for name, value in said.items():
            found.setdefault(name, value)
    if given is None and "address" not in found and (there := find_lasting()) is not None:
        found["address"] = Found(there["address"], "flyte-ray up")
    return Config(found, source)


@both_forms
def init_from_config(
    path_or_config: str | os.PathLike[str] | Config | None = None,
    root_dir: str | os.PathLike[str] | None = None,
    log_level: int | str | None = None,
    user_log_level: int | str | None = None,
    storage: Storage | dict[str, Any] | None = None,
    **foreign: Any,
) -> None:
    """Set what config files say, as `init` would; what is given here or by a variable wins.

    Args:
        path_or_config: A file, see `auto`, or what it returned; default: search as it does.
        root_dir: As of `init`.
        log_level: As of `init`.
        user_log_level: As of `init`.
        storage: As of `init`.
        foreign: As of `init`.

    Raises:
        InvalidDeclaration: A file cannot be read, or says what cannot be meant.

    Source: `flyte.init_from_config`.

    """
    use(path_or_config if isinstance(path_or_config, Config) else auto(path_or_config))
    init(root_dir=root_dir, log_level=log_level, user_log_level=user_log_level, storage=storage, **foreign)


def use(config: Config) -> None:
    """Have what files say apply to this process from its next `init` on, in place of what earlier ones said."""
    for name, text in _lent.items():
        if os.environ.get(name) == text:
            del os.environ[name]
    _lent.clear()
    settings.files = {name: config.settings[name].value for name in TAKEN_BY_INIT if name in config.settings}
    for name in SETTINGS.keys() & config.settings.keys() - set(TAKEN_BY_INIT):
        variable, text = SETTINGS[name].variable, str(config.settings[name].value)
        if variable not in os.environ:
            os.environ[variable] = _lent[variable] = text


def in_force(config: Config, given: Mapping[str, Any]) -> Iterator[tuple[str, Found | None]]:
    """Yield each setting, and what applies: by an option, a variable, a file, or None for the default."""
    for name, setting in SETTINGS.items():
        text = os.environ.get(setting.variable)
        if given.get(name) is not None:
            yield name, Found(given[name], "option")
        elif text and setting.variable not in _lent:
            yield name, Found(setting.read(text, setting.variable), setting.variable)
        else:
            yield name, config.settings.get(name)


def _places() -> Iterator[Path]:
    """Yield the files that exist, nearest first."""
    here = Path.cwd()
    project = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    upwards = (here, *(folder for folder in here.parents if folder.is_relative_to(project)))
    nearest = next((folder / "pyproject.toml" for folder in upwards if (folder / "pyproject.toml").is_file()), None)
    yield from dict.fromkeys(
        path
        for path in (here / FILE, project / FILE, nearest, Path.home() / FILE)
        if path is not None and path.is_file()
    )


def _read(path: Path) -> dict[str, Found]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDeclaration(f"The config file {path} should be readable text, but: {error}.") from error
    if SECTION not in text:
        return {}  # whatever else is wrong with it is not our affair
    section = _section(path, text)
    if not isinstance(section, dict):
        raise InvalidDeclaration(
            f"Section '{SECTION}' of {path} must hold settings by name, got {section!r:.80}. Write for example 'root:"
            f" ./runs' in it."
        )
    # What is relative is meant from the project's folder, where the command may not stand.
    folder = path.absolute().parent
    folder = folder.parent if folder.name == FILE.parent.name else folder
    found = {}
    for name, value in section.items():
        if name not in SETTINGS:
            hint = did_you_mean(name, SETTINGS, f"There are: {', '.join(SETTINGS)}.")
            raise InvalidDeclaration(f"{path} sets '{name}', which is no setting. {hint}")
        read = SETTINGS[name].read(value, str(path))
        if name in _PATHS and "://" not in read:
            read = str(folder / Path(read).expanduser())
        found[name] = Found(read, str(path))
    return found


def _section(path: Path, text: str) -> Any:
    if path.suffix == ".toml":
        return parse_toml(text, path).get("tool", {}).get(SECTION, {})
    import yaml  # takes longer than all else that is read here, and most have no such file

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidDeclaration(f"{path} should be YAML, but: {error}. Correct the file.") from error
    return content.get(SECTION, {}) if isinstance(content, dict) else {}


_lent: Final[dict[str, str]] = {}
"""Variables that stand in for files at the moment."""
