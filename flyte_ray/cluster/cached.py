"""Say which packages and containers lie ready on the nodes of the connected cluster: each node looks for itself.

Ray tells nobody whether an environment is in use; it removes those that are not when they hold more than 10 GB.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from flyte_ray.cluster.nodes import ask_nodes

LOOK_S: Final = 30.0
"""How long nodes may take: an environment that was copied may have 100,000 files, whose sizes are added up."""


class Cached(NamedTuple):
    """What lies ready."""

    rows: list[dict[str, Any]]
    """Each with `node`, `by` (`uv`, `pip` or `podman`), `environment` (its packages, or the container's address),
    `bytes` and `age_s`, or None where it cannot be known."""
    unknown: list[str]
    """What could not be found out, a sentence each."""


def describe_environments() -> Cached:
    """Describe what the nodes have; one that is being installed is among it."""
    answers, silent = ask_nodes(looking(), limit_s=LOOK_S)
    rows, unknown = [], [f"Node {node} did not say what it has: {reason}" for node, reason in silent.items()]
    for node, (found, lacking) in answers.items():
        rows += [{"node": node, **each} for each in found]
        unknown += [f"Node {node}: {reason}" for reason in lacking]
    return Cached(rows, unknown)


def looking() -> Any:
    """Return the function with which a node looks. Made here, so that Ray pickles it by value."""

    def look(folder: str | None = None, now_s: float | None = None) -> tuple[list[dict[str, Any]], list[str]]:
        import contextlib
        import json
        import os
        import shutil
        import subprocess
        import time
        from pathlib import Path

        if folder is None:
            from ray._private import worker  # nothing public says where a session keeps this

            folder = worker._global_node.get_runtime_env_dir_path()
        now = time.time() if now_s is None else now_s
        rows: list[dict[str, Any]] = []
        lacking: list[str] = []

        def size_of(top: Path) -> int:
            total = 0
            for place, _, names in os.walk(top):
                for name in names:
                    with contextlib.suppress(FileNotFoundError):  # Ray removes what nobody uses meanwhile
                        total += os.lstat(os.path.join(place, name)).st_size
            return total

        def packages_of(top: Path) -> str:
            files = sorted(top.glob("ray_runtime_env_internal_pip_requirements.txt*"))
            words = [line.strip() for file in files for line in file.read_text().splitlines()]
            return ", ".join(word for word in words if word) or f"unknown packages in {top}"

        for by in ("uv", "pip"):
            for top in sorted(Path(folder, by).glob("*")):
                with contextlib.suppress(FileNotFoundError):  # as above
                    age = max(0.0, now - top.stat().st_mtime)
                    rows.append({"by": by, "environment": packages_of(top), "bytes": size_of(top), "age_s": age})
        if shutil.which("podman") is None:
            return rows, lacking  # it can have no container
        try:
            asked = ["podman", "images", "--format", "json"]
            told = subprocess.run(asked, check=True, capture_output=True, timeout=10).stdout
            for image in json.loads(told):
                made = image.get("Created")
                since = max(0.0, now - made) if isinstance(made, (int, float)) else None
                for name in image.get("Names") or ():
                    rows.append({"by": "podman", "environment": name, "bytes": image.get("Size"), "age_s": since})
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            lacking.append(f"podman does not say which containers it has: {error}")
        return rows, lacking

    return look
