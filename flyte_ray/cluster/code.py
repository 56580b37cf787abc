"""Bring a run's code to where it runs: packed when the run starts, unpacked once per machine.

The marker `<digest>:<folder>:…` names a bundle and the folders in it that belong on `sys.path`; it is recorded with
the run, so that a resumed run uses the code it began with.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from flyte_ray.cluster.bundle import (
    Bundle,
    CopyStyle,
    Inclusion,
    build_bundle,
    collect,
    extract_bundle,
    find_base,
    find_root,
)
from flyte_ray.ledger.paths import code_key
from flyte_ray.spec.origin import is_installed, is_own
from flyte_ray.spec.task import Sourced
from flyte_ray.storage import Store


def pack_code(
    declared: Sourced,
    copy_style: CopyStyle = "loaded_modules",
    include: Sequence[Inclusion] = (),
    root_dir: str | None = None,
) -> tuple[str, Bundle] | None:
    """Pack the project of a task's or an app's file; None if it has nothing that travels.

    A notebook's functions travel by value; its project is the folder where it runs, with the modules that it imported.

    Args:
        declared: A task or an app, whose file it is.
        copy_style: Which files travel; see `collect`.
        include: More files.
        root_dir: The project's folder, from which its modules are imported; None finds it from the file.

    Returns:
        The marker, and the bundle.

    Raises:
        CodeBundleError: The files are too large, or lie outside the project.

    """
    source = Path(declared.source_file)
    entry = source if source.is_file() and not is_installed(str(source)) else None
    file = entry or Path.cwd() / "notebook"
    root = Path(root_dir).resolve() if root_dir is not None else find_root(file)
    files = [path for path in collect(root, entry, copy_style, include) if not is_own(str(path))]
    if not files:
        return None
    bundle = build_bundle(root, files)
    places = [find_base(file), root, file.resolve().parent]
    if root_dir is not None:
        places = places[1:]  # a root that the user names is where names are looked up first, as in his own process
    inside = [place.relative_to(root).as_posix().removeprefix(".") for place in places if place.is_relative_to(root)]
    return ":".join([bundle.digest, *dict.fromkeys(inside)]), bundle


def send_code(
    store: Store,
    declared: Sourced,
    copy_style: CopyStyle = "loaded_modules",
    include: Sequence[Inclusion] = (),
    root_dir: str | None = None,
    packed: Callable[[str | None], None] = lambda marker: None,
) -> str | None:
    """Pack the project of such a file, see `pack_code`, and store it unless the root has it; return the marker.

    `packed` is told the marker before anything is stored.
    """
    found = pack_code(declared, copy_style, include, root_dir)
    packed(found[0] if found else None)
    if found is None:
        return None
    marker, bundle = found
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
