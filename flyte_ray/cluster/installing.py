"""Read out of Ray's text why an environment could not be set up: what the installer said last, and about what.

Ray gives a traceback of its agent, the command, and the last fifty lines that the command printed. Pure.
"""

from __future__ import annotations

import re
from typing import Final

SHOWN: Final = 12
"""Lines of the installer that are shown."""
ONE_TRY: Final = ("RUNTIME_ENV_RETRY_TIMES", "1")
"""Variable of a Ray that we start: an environment that cannot be installed would else be tried three times, which takes
a minute; installers themselves try again where a network fails."""
_OUTPUT: Final = re.compile(r"^Last \d+ lines of std(?:out|err):\n", re.MULTILINE)
_MISSING: Final = (
    re.compile(r"Because (\S+) was not found in the package registry"),
    re.compile(r"No matching distribution found for ([^\s(]+)"),
)
_LACKS_UV: Final = re.compile(r"'-m', 'pip', 'install'[^\]]*'uv[^']*'\]|No module named uv\b")
_NOISE: Final = re.compile(r"^(Using Python .* environment at|\[notice\]|WARNING: You are using pip)")
_LAST_WORDS: Final = re.compile(r"^(?:[\w.]+(?:Error|Exception)): (.+)$", re.MULTILINE)


def lacks_uv(text: str) -> bool:
    """Whether there is no uv and Ray has failed to get it, so that pip may still do."""
    return _LACKS_UV.search(text) is not None


def missing_package(text: str) -> str | None:
    """Name the package that no index has, if it is that."""
    found = (match[1].rstrip(",.;") for pattern in _MISSING for match in pattern.finditer(text))
    return next(found, None)


def last_lines(text: str) -> str:
    """Return what the installer printed last; where none ran, Ray's last sentence.

    Args:
        text: Of Ray's `RuntimeEnvSetupError`.

    """
    if "No such file or directory: 'podman'" in text:
        return "the node lacks podman, by which Ray starts containers: install it on the nodes, or leave out the image"
    parts = _OUTPUT.split(text)
    if len(parts) > 1:
        lines = [line.strip() for line in parts[-1].splitlines()]
        told = [line for line in lines if line and not _NOISE.match(line)]
        return "\n".join(told[-SHOWN:])
    words = _LAST_WORDS.findall(text)
    return words[-1] if words else "\n".join(text.strip().splitlines()[-SHOWN:])
