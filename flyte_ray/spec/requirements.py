"""Package lists out of the files that people keep them in.

Only names and versions are read: no index, no resolution.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from flyte_ray.errors import InvalidDeclaration, UnsupportedError

_SCRIPT_BLOCK: Final = re.compile(r"(?m)^# /// script[ \t]*\r?\n(?P<body>(?:^#(?: .*)?\r?\n)*?)^# ///[ \t]*$")


def read_text(path: Path, purpose: str = "lists its packages in") -> str:
    """Read a file that an image names; `purpose` says for what.

    Raises:
        InvalidDeclaration: It cannot be read.

    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidDeclaration(
            f"An image {purpose} {path}, which cannot be read: {error.strerror}. Correct the path."
        ) from error


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Read the text of a TOML file; `path` is for what is said where it is none."""
    try:
        # In the standard library from Python 3.11 on.
        import tomllib
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            f"Reading {path} needs Python 3.11 or later. List the packages in Image.with_pip_packages in its place."
        ) from error
    try:
        parsed: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidDeclaration(f"{path} should be TOML, but: {error}. Correct the file.") from error
    return parsed


def load_requirements(path: Path) -> tuple[str, ...]:
    """Read a requirements file; nested files (`-r`) are followed.

    Raises:
        InvalidDeclaration: A file cannot be read.
        UnsupportedError: A line holds an option, such as an index: those belong to the nodes.

    """
    packages: list[str] = []
    for raw in read_text(path).replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        nested = re.match(r"(?:-r|--requirement)[ =]+(\S+)", line)
        if nested:
            packages += load_requirements(path.parent / nested[1])
        elif line.startswith("-"):
            # Only the option's name: its value may be an address with a password.
            option = line.split("=")[0].split()[0]
            raise UnsupportedError(
                f"{path} should list packages, got the option {option}. Configure it on the cluster's nodes."
            )
        elif line:
            packages.append(re.split(r"\s--hash", line)[0].strip())
    return tuple(packages)


def load_script_packages(path: Path) -> tuple[str, ...]:
    """Read `dependencies` of a script's inline metadata (PEP 723); none if it has no such block.

    Raises:
        InvalidDeclaration: The file cannot be read, or its block is no TOML.
        UnsupportedError: Python is older than 3.11.

    """
    block = _SCRIPT_BLOCK.search(read_text(path))
    if block is None:
        return ()
    body = "\n".join(line[2:] for line in block["body"].splitlines())
    return tuple(parse_toml(body, path).get("dependencies", ()))


def load_project_packages(path: Path) -> tuple[str, ...]:
    """Read `project.dependencies` of a `pyproject.toml`; a lock file beside it is not used.

    Raises:
        InvalidDeclaration: The file cannot be read, or is no TOML.
        UnsupportedError: Python is older than 3.11.

    """
    return tuple(parse_toml(read_text(path), path).get("project", {}).get("dependencies", ()))
