"""The code bundle: a project's files as one zip whose name is the digest of its contents.

Invariants: the same files give the same bytes on every machine; nothing is ever written outside the target folder; a
bundle that exists under its digest is complete.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import shutil
import stat
import sys
import threading
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, Literal

from flyte_ray.errors import CodeBundleError
from flyte_ray.spec.origin import is_project_file

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

CopyStyle = Literal["loaded_modules", "all", "none"]
MAX_BUNDLE_BYTES: Final = 100 * 1024 * 1024
"""Largest sum of the files' sizes, before compression."""
_SHOWN: Final = 5
_SKIPPED: Final = frozenset({".git", ".venv", "__pycache__"})
_SECRETS: Final = ".env"
"""Where people keep secrets, which a bundle shows to all who can read the root; travels if it is asked for by name."""
_ROOT_MARKS: Final = ("pyproject.toml", ".git")
# The earliest time that a zip can hold: real times would make equal files differ.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Bundle:
    """A zip of a project's files."""

    digest: str
    """Hex SHA-256 of the paths and contents; independent of the compression."""
    data: bytes
    files: tuple[tuple[str, int], ...]
    """Path below the root with `/`, and size in bytes; sorted by path."""


@dataclass(frozen=True)
class Inclusion:
    """Files that travel because an environment names them."""

    base: Path
    """Folder that `pattern` is relative to."""
    pattern: str
    """A path or a glob; folders count with all below them."""

    def files(self) -> Iterator[Path]:
        """List them.

        Raises:
            CodeBundleError: There are none.

        """
        is_glob = any(mark in self.pattern for mark in "*?[")
        found = sorted(self.base.glob(self.pattern)) if is_glob else [self.base / self.pattern]
        existing = [path for path in found if path.exists()]
        if not existing:
            raise CodeBundleError(
                f"include must name files that exist, got {self.pattern!r}, of which nothing is in {self.base}."
                f" Correct the path."
            )
        for path in existing:
            inner = (item for item in path.rglob("*") if item.is_file()) if path.is_dir() else iter([path])
            yield from (item.resolve() for item in inner if not _SKIPPED.intersection(item.relative_to(path).parts))


def find_base(file: Path) -> Path:
    """Find the folder from which a file is imported: where its outermost package lies, for a plain file its own."""
    base = file.resolve().parent
    while (base / "__init__.py").is_file() and base.parent != base:
        base = base.parent
    return base


def find_root(file: Path) -> Path:
    """Find the folder from which a file's imports are resolved.

    Args:
        file: The submitted file.

    Returns:
        The nearest folder above the file, at or above the package it lies in, that has a `pyproject.toml` or a `.git`;
        without one, the folder that holds the file's outermost package, which for a plain file is its own folder.

    """
    base = find_base(file)
    for folder in (base, *base.parents):
        if any((folder / mark).exists() for mark in _ROOT_MARKS):
            return folder
    return base


def collect(
    root: Path, entry_file: Path | None, copy_style: CopyStyle, include: Sequence[Inclusion] = ()
) -> list[Path]:
    """List the files that travel.

    Args:
        root: Folder that `find_root` gave.
        entry_file: The submitted file; travels unless `copy_style` is `none`, even where `.gitignore` names it. None
            for code without a file of its own.
        copy_style: `loaded_modules` takes the Python files below `root` that this process has imported, `all` every
            file that `.gitignore` does not name but `.env`, `none` only what `include` says.
        include: More paths, which are not filtered by `.gitignore` because the user asked for them by name.

    Returns:
        Absolute paths below `root`, sorted.

    Raises:
        CodeBundleError: `copy_style` is unknown, or a file lies outside `root` or does not exist.

    """
    root = root.resolve()
    if copy_style not in ("loaded_modules", "all", "none"):
        raise CodeBundleError(
            f"copy_style must be 'loaded_modules', 'all' or 'none', got {copy_style!r}. Choose one of them."
        )
    chosen = {path for one in include for path in one.files()}
    if copy_style != "none" and entry_file is not None:
        chosen.add(entry_file.resolve())
    if copy_style == "all":
        chosen.update(_walk(root, ()))
    elif copy_style == "loaded_modules":
        chosen.update(_loaded(root))
    for path in chosen:
        if not path.is_relative_to(root):
            raise CodeBundleError(
                f"The files of a code bundle must lie below {root}, got {path}. "
                f"Move the file into the project, or put a pyproject.toml into a folder above both."
            )
    return sorted(chosen)


def build_bundle(root: Path, files: Sequence[Path]) -> Bundle:
    """Pack files into a zip that depends on nothing but their paths, contents and executable bits.

    Args:
        root: Folder that the paths in the bundle are relative to.
        files: Files below `root`, in any order; a file named twice travels once.

    Raises:
        CodeBundleError: The files are larger together than `MAX_BUNDLE_BYTES` (the message names the largest), one
            cannot be read, or one lies outside `root`.

    """
    root = root.resolve()
    named = {_relative(root, path): path for path in files}
    try:
        sizes = {name: path.stat().st_size for name, path in named.items()}
        _refuse_large(sizes)
        contents = [(name, named[name].read_bytes(), _is_executable(named[name])) for name in sorted(named)]
    except OSError as error:
        raise CodeBundleError(
            f"The files of a code bundle must be readable, but: {error}. Remove the file from the project or the "
            f"environment's include."
        ) from error
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, executable in contents:
            archive.writestr(_entry(name, executable), data)
    return Bundle(_digest(contents), target.getvalue(), tuple((name, len(data)) for name, data, _ in contents))


def extract_bundle(data: bytes, digest: str, into: Path) -> Path:
    """Unpack a bundle, once per machine however many processes ask.

    Args:
        data: The zip.
        digest: What `build_bundle` called it.
        into: Folder that keeps bundles; made if missing.

    Returns:
        `into/<digest>`, complete.

    Raises:
        CodeBundleError: The zip is damaged, holds something else than `digest` says, or names a path outside.

    """
    if not digest or not all(letter in "0123456789abcdef" for letter in digest):
        raise CodeBundleError(f"A bundle's digest must be hex digits, got {digest!r}. Submit the run again.")
    target = into / digest
    if target.is_dir():
        return target
    contents = _read_entries(data, digest)
    # The thread as well: threads of one process must not write into one folder.
    own = into / f"{digest}.{os.getpid()}.{threading.get_ident()}"
    shutil.rmtree(own, ignore_errors=True)  # a killed process with our id may have left one
    own.mkdir(parents=True)
    try:
        for name, content, executable in contents:
            path = own / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            if executable:
                path.chmod(0o755)
        os.rename(own, target)
    except OSError:
        # Renaming onto a folder with files in it fails: another process was first, and its copy is complete.
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return target


def _read_entries(data: bytes, digest: str) -> list[tuple[str, bytes, bool]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > MAX_BUNDLE_BYTES:
                raise CodeBundleError(
                    f"A code bundle may unpack to {_mb(MAX_BUNDLE_BYTES)} at most, {digest} holds more. "
                    f"Submit the run again."
                )
            contents = [(entry.filename, archive.read(entry), _was_executable(entry)) for entry in entries]
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise CodeBundleError(f"Bundle {digest} should be a zip, but: {error}. Submit the run again.") from error
    for name, _, _ in contents:
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in name or ":" in name or name.endswith("/"):
            raise CodeBundleError(
                f"The paths of a code bundle must lie inside it, got {name!r} in {digest}. Submit the run again."
            )
    found = _digest(contents)
    if found != digest:
        raise CodeBundleError(f"Expected the code bundle {digest}, got one of {found}. Submit the run again.")
    return contents


def _digest(contents: Iterable[tuple[str, bytes, bool]]) -> str:
    total = hashlib.sha256()
    for name, data, executable in contents:
        # Lengths in front, so that no two lists of files give the same stream of bytes.
        total.update(f"{len(name.encode())}:{name}:{int(executable)}:{len(data)}:".encode())
        total.update(data)
    return total.hexdigest()


def _entry(name: str, executable: bool) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=_EPOCH)
    entry.create_system = 3  # Unix, whatever machine packs: it decides how the mode is read
    entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _was_executable(entry: zipfile.ZipInfo) -> bool:
    return bool(entry.external_attr >> 16 & stat.S_IXUSR)


def _is_executable(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXUSR)


def _refuse_large(sizes: dict[str, int]) -> None:
    total = sum(sizes.values())
    if total <= MAX_BUNDLE_BYTES:
        return
    largest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    raise CodeBundleError(
        f"A code bundle may hold {_mb(MAX_BUNDLE_BYTES)} at most, got {_mb(total)} in {len(sizes)} files. "
        f"The largest are {', '.join(f'{name} ({_mb(size)})' for name, size in largest)}. "
        f"Name them in .gitignore, or use copy_style='loaded_modules'."
    )


def _mb(size: int) -> str:
    return f"{size / 1024**2:.1f} MB"


def _relative(root: Path, path: Path) -> str:
    try:
        return path.resolve().relative_to(root).as_posix()
    except ValueError as error:
        raise CodeBundleError(
            f"The files of a code bundle must lie below {root}, got {path}. Move the file into the project."
        ) from error


def _loaded(root: Path) -> Iterator[Path]:
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if not isinstance(name, str) or not name.endswith(".py"):
            continue
        path = _of_project(name if os.path.isabs(name) else os.path.abspath(name))
        if path is None or not path.is_relative_to(root):
            continue
        if path.is_file() and not _SKIPPED.intersection(path.relative_to(root).parts):
            yield path


# To resolve the files of all modules takes 60 ms, which each run of a process would pay anew.
@functools.cache
def _of_project(file: str) -> Path | None:
    """Resolve a module's file; None if that is no file of the user's.

    What is installed may lie below the root, in an environment of any name.
    """
    folder, name = os.path.split(file)
    # What Python imports lies in few folders, and few of its files are links.
    path = os.path.realpath(file) if os.path.islink(file) else os.path.join(_real_folder(folder), name)
    return Path(path) if is_project_file(path) else None


_real_folder = functools.cache(os.path.realpath)


def _walk(folder: Path, rules: tuple[tuple[Path, GitIgnoreSpec], ...]) -> Iterator[Path]:
    own = folder / ".gitignore"
    if own.is_file():
        from pathspec import GitIgnoreSpec  # slow to import; slots, and runs that send what is loaded, do without it

        rules = (*rules, (folder, GitIgnoreSpec.from_lines(own.read_text(errors="replace").splitlines())))
    for entry in sorted(os.scandir(folder), key=lambda item: item.name):
        path = Path(entry.path)
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name in _SKIPPED or entry.name == _SECRETS or _is_ignored(path, is_folder, rules):
            continue
        if is_folder:
            if not (path / "pyvenv.cfg").is_file():  # a virtual environment by another name
                yield from _walk(path, rules)
        # A link could lead out of the project, and a folder behind it could hold itself.
        elif entry.is_file(follow_symlinks=False):
            yield path


def _is_ignored(path: Path, is_folder: bool, rules: Iterable[tuple[Path, GitIgnoreSpec]]) -> bool:
    ignored = False
    for base, spec in rules:
        # The deepest file that says something about a path decides, as in git.
        verdict = spec.check_file(path.relative_to(base).as_posix() + "/" * is_folder).include
        ignored = ignored if verdict is None else verdict
    return ignored
