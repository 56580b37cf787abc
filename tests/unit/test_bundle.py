"""A code bundle holds what it should, is the same everywhere, and is unpacked once."""

from __future__ import annotations

import io
import os
import sys
import threading
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.cluster import bundle
from flyte_ray.cluster.bundle import Bundle, Inclusion, build_bundle, collect, extract_bundle, find_root
from flyte_ray.cluster.code import pack_code
from flyte_ray.errors import CodeBundleError


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    write(root, main_py="x = 1\n", lib__tool_py="y = 2\n")
    return root


def names(root: Path, files: list[Path]) -> list[str]:
    return [path.relative_to(root.resolve()).as_posix() for path in files]


def packed(root: Path) -> Bundle:
    return build_bundle(root, collect(root, root / "main.py", "all"))


def test_equal_files_give_equal_bytes_whatever_their_times_and_order(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    write(other, lib__tool_py="y = 2\n", main_py="x = 1\n")
    os.utime(other / "main.py", (1, 1))
    files = collect(other, other / "main.py", "all")
    assert build_bundle(other, files[::-1]) == packed(project)
    assert packed(project).files == (("lib/tool.py", 6), ("main.py", 6))


def test_a_changed_a_renamed_and_a_made_executable_file_change_the_digest(project: Path) -> None:
    seen = {packed(project).digest}
    (project / "main.py").write_text("x = 2\n")
    seen.add(packed(project).digest)
    (project / "lib" / "tool.py").rename(project / "lib" / "other.py")
    seen.add(packed(project).digest)
    (project / "main.py").chmod(0o755)
    seen.add(packed(project).digest)
    assert len(seen) == 4


def test_the_root_is_the_folder_with_a_mark_else_the_one_that_imports_start_from(tmp_path: Path) -> None:
    write(tmp_path, a__pkg__sub__job_py="", a__pkg__sub____init___py="", plain__job_py="")
    for folder in ("pkg", "pkg/sub"):
        (tmp_path / "a" / folder / "__init__.py").write_text("")
    assert find_root(tmp_path / "plain" / "job.py") == tmp_path / "plain"
    assert find_root(tmp_path / "a" / "pkg" / "sub" / "job.py") == tmp_path / "a"
    (tmp_path / "a" / "pyproject.toml").write_text("")
    assert find_root(tmp_path / "a" / "pkg" / "sub" / "job.py") == tmp_path / "a"
    (tmp_path / ".git").mkdir()
    assert find_root(tmp_path / "plain" / "job.py") == tmp_path


def test_all_takes_what_gitignore_does_not_name(project: Path) -> None:
    write(project, data__big="1", data__keep="1", lib__secret="1", __pycache____x="", build__x="")
    (project / ".venv").mkdir()
    (project / ".venv" / "pip.py").write_text("")
    (project / ".git").mkdir()
    (project / ".git" / "config").write_text("")
    (project / "env").mkdir()
    (project / "env" / "pyvenv.cfg").write_text("")
    (project / ".env").write_text("API_KEY=hunter2!\n")
    (project / ".gitignore").write_text("data/*\n!data/keep\nbuild/\n")
    (project / "lib" / ".gitignore").write_text("secret\n")
    assert names(project, collect(project, project / "main.py", "all")) == [
        ".gitignore",
        "data/keep",
        "lib/.gitignore",
        "lib/tool.py",
        "main.py",
    ]


def test_a_deeper_gitignore_can_take_a_file_back(project: Path) -> None:
    write(project, lib__table="1", table="1")
    (project / ".gitignore").write_text("table\n.gitignore\n")
    (project / "lib" / ".gitignore").write_text("!table\n")
    assert names(project, collect(project, project / "main.py", "all")) == ["lib/table", "lib/tool.py", "main.py"]


def test_a_link_out_of_the_project_is_not_followed(project: Path, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("secret")
    (project / "link").symlink_to(tmp_path / "private")
    (project / "loop").symlink_to(project)
    assert names(project, collect(project, project / "main.py", "all")) == ["lib/tool.py", "main.py"]


def test_loaded_modules_takes_the_imported_files_and_the_entry(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, lib__unused_py="")
    installed = project / "env" / "site-packages" / "dep.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("")
    for name, path in {"tool_of_test": project / "lib" / "tool.py", "dep_of_test": installed}.items():
        module = types.ModuleType(name)
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, name, module)
    assert names(project, collect(project, project / "main.py", "loaded_modules")) == ["lib/tool.py", "main.py"]


def test_none_takes_only_what_is_included(project: Path) -> None:
    write(project, conf__a="", conf__deep__b="", t1="", t2="")
    assert collect(project, project / "main.py", "none") == []
    found = collect(project, project / "main.py", "none", [Inclusion(project, "conf"), Inclusion(project, "t*")])
    assert names(project, found) == ["conf/a", "conf/deep/b", "t1", "t2"]


def test_an_included_path_that_is_not_there_is_named(project: Path) -> None:
    with pytest.raises(CodeBundleError, match="got 'nothing.txt'"):
        collect(project, project / "main.py", "all", [Inclusion(project, "nothing.txt")])


def test_a_file_outside_the_root_is_refused(project: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("")
    with pytest.raises(CodeBundleError, match="must lie below"):
        collect(project, project / "main.py", "all", [Inclusion(project, "../outside")])
    with pytest.raises(CodeBundleError, match="must lie below"):
        build_bundle(project, [tmp_path / "outside"])


def test_the_parts_of_a_package_are_imported_from_where_it_lies(project: Path) -> None:
    write(project, src__pack__flow_py="")
    for name in ("pyproject.toml", "src/pack/__init__.py"):
        (project / name).write_text("")
    folders = {}
    for name in ("main.py", "src/pack/flow.py"):
        scope: dict[str, Any] = {"__name__": "flow", "flyte": flyte}
        code = "env = flyte.TaskEnvironment('bundled')\n@env.task\ndef main() -> int: ..."
        exec(compile(code, str(project / name), "exec"), scope)
        packed = pack_code(scope["main"].spec)
        assert packed is not None
        folders[name] = packed[0].split(":")[1:]
    # In a package its own folder comes last: a module in it may have the name of one of Python's.
    assert folders == {"main.py": [""], "src/pack/flow.py": ["src", "", "src/pack"]}


def test_an_unknown_copy_style_is_refused(project: Path) -> None:
    with pytest.raises(CodeBundleError, match="got 'some'"):
        collect(project, project / "main.py", "some")  # type: ignore[arg-type]


def test_too_many_bytes_are_refused_with_the_five_largest(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 8):
        (project / f"file{number}").write_bytes(b"x" * number * 100)
    monkeypatch.setattr(bundle, "MAX_BUNDLE_BYTES", 1000)
    with pytest.raises(CodeBundleError) as refused:
        packed(project)
    text = str(refused.value)
    assert [text.find(f"file{number}") for number in (7, 6, 5, 4, 3)] == sorted(
        text.find(f"file{number}") for number in (7, 6, 5, 4, 3)
    )
    assert all(f"file{number}" in text for number in (7, 6, 5, 4, 3))
    assert "file2" not in text


def test_what_is_unpacked_is_what_was_packed(project: Path, tmp_path: Path) -> None:
    (project / "main.py").chmod(0o755)
    made = packed(project)
    target = extract_bundle(made.data, made.digest, tmp_path / "code")
    assert target == tmp_path / "code" / made.digest
    assert (target / "lib" / "tool.py").read_text() == "y = 2\n"
    assert os.access(target / "main.py", os.X_OK)
    assert packed(target).digest == made.digest
    assert [path.name for path in (tmp_path / "code").iterdir()] == [made.digest]


def test_an_unpacked_bundle_is_used_again(project: Path, tmp_path: Path) -> None:
    made = packed(project)
    target = extract_bundle(made.data, made.digest, tmp_path)
    (target / "mark").write_text("")
    assert extract_bundle(b"not read", made.digest, tmp_path) == target
    assert (target / "mark").exists()


def test_the_loser_of_a_race_uses_the_copy_of_the_winner(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = packed(project)
    winner = tmp_path / "code" / made.digest
    real = os.rename

    def rename_late(source: Path, target: Path) -> None:
        winner.mkdir()
        (winner / "mark").write_text("")
        real(source, target)

    monkeypatch.setattr("os.rename", rename_late)
    assert extract_bundle(made.data, made.digest, tmp_path / "code") == winner
    assert [path.name for path in (tmp_path / "code").rglob("*")] == [made.digest, "mark"]


def test_threads_of_one_process_may_unpack_at_once(project: Path, tmp_path: Path) -> None:
    for number in range(50):
        (project / f"file{number}").write_text("x" * number)
    made = packed(project)
    found: list[Path] = []
    ready = threading.Barrier(4)

    def unpack() -> None:
        ready.wait()
        found.append(extract_bundle(made.data, made.digest, tmp_path / "code"))

    threads = [threading.Thread(target=unpack) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / "code" / made.digest] * 4
    assert packed(found[0]).digest == made.digest


def test_a_bundle_of_another_digest_is_refused(project: Path, tmp_path: Path) -> None:
    with pytest.raises(CodeBundleError, match=f"got one of {packed(project).digest}"):
        extract_bundle(packed(project).data, "ab" * 32, tmp_path)
    assert not (tmp_path / ("ab" * 32)).exists()


def test_damaged_bytes_are_refused(project: Path, tmp_path: Path) -> None:
    made = packed(project)
    with pytest.raises(CodeBundleError, match="should be a zip"):
        extract_bundle(made.data[:40], made.digest, tmp_path)


@pytest.mark.parametrize("name", ["../out.py", "/out.py", "a/../../out.py", "..\\out.py", "C:/out.py"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(CodeBundleError, match="must lie inside"):
        extract_bundle(target.getvalue(), "ab" * 32, tmp_path / "code")
    assert not list(tmp_path.rglob("out.py"))


@pytest.mark.parametrize("digest", ["", "../x", "A"])
def test_a_digest_is_hex(tmp_path: Path, digest: str) -> None:
    with pytest.raises(CodeBundleError, match="hex digits"):
        extract_bundle(b"", digest, tmp_path)
