"""Hold what `flyte.init` set for this process, and find the root and the cluster that apply."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flyte_ray.api.both import both_forms
from flyte_ray.api.unsupported import ignore_foreign
from flyte_ray.runtime.keys import own_pickling
from flyte_ray.runtime.logs import logger as logger
from flyte_ray.runtime.logs import set_levels
from flyte_ray.runtime.logs import system_logger as system_logger
from flyte_ray.spec.setting import SETTINGS
from flyte_ray.storage import Storage, Store, open_store
from flyte_ray.storage.providers import options_of
from flyte_ray.storage.working import ROOT_VAR, configure, current_options
from flyte_ray.types.signing import Pickling, Policy

DEFAULT_ROOT: Final = "~/.flyte-ray"
_FOREIGN: Final = (
    *("org", "project", "domain", "log_format", "reset_root_logger", "endpoint", "headless", "insecure"),
    *("insecure_skip_verify", "ca_cert_file_path", "auth_type", "command", "proxy_command", "api_key", "client_id"),
    *("client_credentials_secret", "auth_client_config", "rpc_retries", "http_proxy_url", "disable_keyring"),
    *("batch_size", "image_builder", "image_registry", "source_config_path", "sync_local_sys_paths"),
    *("load_plugin_type_transformers", "local_persistence", "local_tracked", "local_tracked_strict", "scopes"),
)
"""What Flyte's `init` takes besides."""


@dataclass
class Settings:
    """What `init` was given last."""

    root: str | os.PathLike[str] | None = None
    address: str | None = None
    storage: Storage | dict[str, Any] | None = None
    root_dir: str | None = None
    pickles: Policy | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    """Addresses by the names that `Image.from_ref_name` uses."""
    files: Mapping[str, Any] = field(default_factory=dict)
    """What config files say, by setting; see `api/config.py`."""
    repeated: tuple[str, ...] = ()
    """Words that each command needs which is shown to the user, besides the root."""
    is_elsewhere: bool = False
    """This process works for a user whose files lie on another machine."""


settings = Settings()


@both_forms
def init(
    root: str | os.PathLike[str] | None = None,
    address: str | None = None,
    storage: Storage | dict[str, Any] | None = None,
    root_dir: str | os.PathLike[str] | None = None,
    log_level: int | str | None = None,
    user_log_level: int | str | None = None,
    pickles: Policy | None = None,
    images: Mapping[str, str] | None = None,
    **foreign: Any,
) -> None:
    """Set where this process's runs are recorded and where they run.

    What is left out comes from its variable, else from the config files that `init_from_config` or the command line
    has read, else it has its default.

    Args:
        root: Where the record lies: a path or `s3://…`; default `FLYTE_RAY_ROOT`, else `~/.flyte-ray`.
        address: The Ray cluster to run on; default the Ray this process is connected to, else `RAY_ADDRESS`, else
            local mode. Nothing is connected before the first run.
        storage: How stores are reached: `flyte.storage.S3(...)`, `GCS`, `ABFS`, or fsspec arguments for the root, such
            as `endpoint_url`. It reaches the cluster and is never recorded. Default: Flyte's variables, such as
            `FLYTE_AWS_ENDPOINT`, and what each store's client finds by itself.
        root_dir: The project's folder: its code travels, and its modules are imported from there (`pkg.flows` for
            `pkg/flows.py`, so that `from . import other` works in it). Default: found from the task's file, the nearest
            folder above with a `pyproject.toml` or a `.git`.
        log_level: Level of `flyte.system_logger`, by number or name such as `INFO`; default `WARNING`.
        user_log_level: Level of `flyte.logger`; default `INFO`. Both count in all slots of the runs that start here.
        pickles: What becomes of values that nothing but pickle stores: `sign` pickles them, signed with your key, and
            loads what is signed with it; `refuse` neither writes nor loads any; `accept_unsigned` also loads those of
            versions that did not sign. Default `FLYTE_RAY_PICKLES`, else `sign`. See `docs/data.md`.
        images: Addresses by the names that `Image.from_ref_name` uses; None leaves those that were given before.
        foreign: Settings of Flyte's that steer its control plane, such as `endpoint`: without effect, said once.

    Raises:
        TypeError: An unknown setting, or one of another type.
        ValueError: There is no such level, or no such `pickles`.

    Source: `flyte.init`.

    """
    ignore_foreign("flyte.init", foreign, _FOREIGN)
    _check({"root": root, "root_dir": root_dir}, address, storage)
    pickles = pickles or _from_files("pickles")
    own_pickling(pickles)  # says what is wrong with it, or with the key
    storage, root_dir = storage or _elsewhere("storage"), root_dir or _elsewhere("root_dir")
    settings.root, settings.address = root or _from_files("root"), address or _from_files("address")
    settings.storage, settings.pickles = storage, pickles
    settings.images = settings.images if images is None else dict(images)
    configure(options_of(storage, _root()))
    settings.root_dir = os.path.abspath(root_dir) if root_dir is not None else None
    set_levels(log_level or _elsewhere("log_level"), user_log_level or _elsewhere("user_log_level"))


def _check(paths: Mapping[str, Any], address: Any, storage: Any) -> None:
    for name, value in paths.items():
        if value is not None and not isinstance(value, (str, os.PathLike)):
            raise TypeError(
                f"flyte.init: {name} must be a path or URI, got {type(value).__name__} {value!r:.80}."
                f" Write for example {name}='/data/runs'."
            )
    if address is not None and not isinstance(address, str):
        raise TypeError(f"flyte.init: address must be text such as 'host:6379', got {address!r:.80}. Leave it out.")
    if storage is not None and not isinstance(storage, (Storage, dict)):
        raise TypeError(
            f"flyte.init: storage must be a flyte.storage.S3, GCS or ABFS, or a dict of fsspec arguments, got"
            f" {type(storage).__name__}. Write storage=flyte.storage.S3(endpoint=...)."
        )


def _elsewhere(name: str) -> Any:
    """Return what a variable or a config file says of a setting, None where neither does."""
    variable = SETTINGS[name].variable
    text = os.environ.get(variable)
    return SETTINGS[name].read(text, variable) if text else settings.files.get(name)


def _from_files(name: str) -> Any:
    """Return what a config file says of a setting whose variable, which wins, is read where it is needed."""
    return None if os.environ.get(SETTINGS[name].variable) else settings.files.get(name)


def again(verb: str, *words: str) -> str:
    """Write a command that speaks of the root that this process uses."""
    given = ["--root", str(settings.root)] if settings.root else []
    return f"{_program()} {verb} {shlex.join([*words, *given, *settings.repeated])}".rstrip()


def _program() -> str:
    """Return what a user writes to call the command line: as this process was called, where no PATH leads there."""
    called = sys.argv[0] if sys.argv else ""
    is_script = os.path.basename(called) == "flyte-ray" and shutil.which("flyte-ray") is None
    return shlex.quote(called) if is_script else "flyte-ray"


def current_store() -> Store:
    """Open the root that applies: `init`, `FLYTE_RAY_ROOT`, `~/.flyte-ray`."""
    # Code of tasks and apps reaches the root as who started them did.
    options = options_of(settings.storage, _root()) if settings.storage else current_options()
    return open_store(_root(), options)


def current_pickling(policy: Policy | None = None, *, make: bool = False) -> Pickling:
    """Return how this process pickles, by `policy` if it is given; with `make`, a user without a key gets one."""
    return own_pickling(policy or settings.pickles, make=make)


def _root() -> str:
    return os.fspath(settings.root or os.environ.get(ROOT_VAR) or DEFAULT_ROOT)
