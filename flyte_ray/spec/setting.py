"""The settings of this package: one table, with one name each for config files, variables and `pyproject.toml`.

Invariants: at most a dozen; each says why no default serves; a secret is none of them, since files are shared: keys and
passwords come by variables (`FLYTE_RAY_KEY`, those of each store). Knows nothing of where values are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from flyte_ray.errors import InvalidDeclaration

SECTION: Final = "flyte-ray"
"""Where the settings stand in a config file; in `pyproject.toml` it is `[tool.flyte-ray]`."""
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_POLICIES: Final = ("sign", "refuse", "accept_unsigned")


class Setting(NamedTuple):
    """One setting."""

    name: str
    about: str
    """What it sets, and why no default serves everybody."""
    default: str
    """What holds where nobody has set it, in words."""
    parse: Callable[[Any], Any]
    """Checks what a file or a variable says; raises ValueError with what was expected and an example."""
    example: str
    own_variable: str = ""

    @property
    def variable(self) -> str:
        """The variable that sets it."""
        return self.own_variable or f"FLYTE_RAY_{self.name.upper()}"

    def read(self, value: Any, origin: str) -> Any:
        """Check a value that came from a file or a variable.

        Raises:
            InvalidDeclaration: It cannot be meant; names the setting, the value and the place.

        """
        try:
            return self.parse(value)
        except ValueError as error:
            raise InvalidDeclaration(
                f"Setting '{self.name}' must be {error}, got {value!r:.80} from {origin}. Write for example"
                f" {self.example}, or leave it out."
            ) from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("text")
    return value


def _level(value: Any) -> str | int:
    if isinstance(value, str) and value.upper() in _LEVELS:
        return value.upper()
    if not isinstance(value, bool) and str(value).isdigit():
        return int(value)
    raise ValueError(f"a number or one of {', '.join(_LEVELS)}")


def _policy(value: Any) -> str:
    if value not in _POLICIES:
        raise ValueError(f"one of {', '.join(_POLICIES)}")
    return str(value)


def _port(value: Any) -> str:
    if isinstance(value, bool) or not str(value).isdigit() or not 0 < int(value) < 65536:
        raise ValueError("a port from 1 to 65535")
    return str(value)


def _switch(value: Any) -> str:
    if value in (True, 1, "1"):
        return "1"
    if value in (False, 0, "0"):
        return "0"
    raise ValueError("true or false (in a variable: 1 or 0)")


def _arguments(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ValueError("a mapping of fsspec arguments (in a variable: a JSON object)")
    return value


SETTINGS: Final = {
    setting.name: setting
    for setting in (
        Setting(
            "root", "Where runs are recorded: a path or s3://…; a team shares one.", "~/.flyte-ray", _text, "./runs"
        ),
        Setting(
            "address",
            "The Ray cluster, host:port of its head; only you know where it is.",
            "the Ray of this process, else none",
            _text,
            "head:6379",
            "RAY_ADDRESS",
        ),
        Setting(
            "storage",
            "fsspec arguments of the root's store, such as the endpoint of a store of your own; no secrets.",
            "Flyte's variables, else what the client finds",
            _arguments,
            "{endpoint_url: http://minio:9000}",
        ),
        Setting(
            "root_dir",
            "The project's folder, where it is not the nearest one with a pyproject.toml or .git.",
            "found from the task's file",
            _text,
            ".",
        ),
        Setting("log_level", "From which level this package speaks: a matter of taste.", "WARNING", _level, "INFO"),
        Setting("user_log_level", "From which level flyte.logger speaks: a matter of taste.", "INFO", _level, "DEBUG"),
        Setting(
            "pickles", "Whether values are pickled: how far those who share a root trust.", "sign", _policy, "refuse"
        ),
        Setting(
            "serve_port", "Where a Serve that is started for apps listens; 8000 may be taken.", "8000", _port, "8100"
        ),
        Setting(
            "serve_haproxy",
            "Whether that Serve takes requests by HAProxy, which not every head has.",
            "0",
            _switch,
            "1",
        ),
        Setting(
            "smtp",
            "The server that mails of notifications go through, where the ledger runs; only you know it.",
            "smtp://localhost:25",
            _text,
            "smtp://mail:25",
        ),
        Setting(
            "as_flyte", "Whether 'import flyte' means this package, in runs of Flyte's own programs.", "0", _switch, "1"
        ),
        Setting(
            "smtp_from", "Who those mails are from; only you know it.", "flyte-ray@<host>", _text, "runs@example.com"
        ),
    )
}


def shown(value: Any) -> str:
    """Write a value for people, without the password of a URL."""
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"(://[^:/@\s]+:)[^@/\s]+@", r"\1***@", text)
