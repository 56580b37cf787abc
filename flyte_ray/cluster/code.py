"""Bring a run's code to where it runs: packed when the run starts, unpacked once per machine.

The marker `<digest>:<folder>:…` names a bundle and the folders in it that belong on `sys.path`; it is recorded with
the run, so that a resumed run uses the code it began with.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from flyte_ray.cluster.bundle import Bundle, CopyStyle, build_bundle, collect, extract_bundle, find_root
from flyte_ray.ledger.paths import code_key
from flyte_ray.spec.task import TaskSpec
from flyte_ray.storage import Store


def pack_code(
    task: TaskSpec,
    copy_style: CopyStyle = "loaded_modules",
    include: Sequence[str] = (),
    root_dir: str | None = None,
) -> tuple[str, Bundle] | None:
    """Pack the project of a task's file; None for code that has no file of its own to travel.

    Args:
        task: Whose file it is.
        copy_style: Which files travel; see `collect`.
        include: More paths.
        root_dir: The project's folder, from which its modules are imported; None finds it from the file.

    Returns:
        The marker, and the bundle.

    Raises:
        CodeBundleError: The files are too large, or lie outside the project.

    """
    file = Path(task.func.__code__.co_filename)
    if not file.is_file() or _is_installed(file):
        # A notebook's function travels by value; its project is the folder where the notebook runs.
        file = Path(os.path.abspath("notebook"))
    root = Path(root_dir) if root_dir is not None else find_root(file)
    ours = Path(__file__).parent.parent
    chosen = [path for path in collect(root, file, copy_style, include) if path.is_file()] if file.is_file() else []
    files = [path for path in chosen if not path.is_relative_to(ours)]
    if not files:
        return None
    bundle = build_bundle(root, files)
    folder = file.resolve().parent.relative_to(root.resolve()).as_posix()
    # A root that the user names is where names are looked up first, as in his own process.
    folders = [""] if folder == "." else ["", folder] if root_dir is not None else [folder, ""]
    return ":".join([bundle.digest, *folders]), bundle


def send_code(
    store: Store,
    task: TaskSpec,
    copy_style: CopyStyle = "loaded_modules",
    include: Sequence[str] = (),
    root_dir: str | None = None,
) -> str | None:
    """Pack the project of a task's file, see `pack_code`, and store it unless the root has it; return the marker."""
    packed = pack_code(task, copy_style, (*task.environment.include, *include), root_dir)
    if packed is None:
        return None
    marker, bundle = packed
    if not store.exists(code_key(bundle.digest)):
        store.put(code_key(bundle.digest), bundle.data)
    return marker


def unpack_code(store: Store, marker: str | None) -> None:
    """Put the code that a marker names first on `sys.path`."""
    if not marker:
        return
    digest, *folders = marker.split(":")
    into = Path(tempfile.gettempdir()) / f"flyte-ray-code-{os.getuid()}"
    target = into / digest
    if not target.is_dir():
        target = extract_bundle(store.get(code_key(digest)), digest, into)
    for folder in reversed(folders):
        path = str(target / folder) if folder else str(target)
        if path not in sys.path:
            sys.path.insert(0, path)


def _is_installed(file: Path) -> bool:
    return any(part in ("site-packages", "dist-packages") for part in file.parts)
